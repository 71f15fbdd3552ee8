package train

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/x/afl/examples/internal/page"
)

// writePage writes the page. It has images of cases only if the Job asks for them.
func (r *results) writePage(p *pictures) error {
	content, err := page.New(r.run())
	if err != nil {
		return err
	}
	content.Synthetic = r.job.Synthetic
	if r.job.PageCases > 0 {
		picture, err := readPNG(filepath.Join(r.job.Dir, figureName))
		if err != nil {
			return err
		}
		if picture != nil {
			content.Figure = &page.Figure{
				Title: "Predictions of typical cases", Image: picture,
				Text: "Surfaces and the slices with most lesion: the ground truth, and what the best weights of each loss predict.",
			}
		}
		content.Viewer = p.viewer()
	}
	return r.write(pageName, content.Write)
}

// viewer returns the cases of the page, by ID.
func (p *pictures) viewer() *page.Viewer {
	v := &page.Viewer{Layers: []page.Layer{page.GroundTruth}}
	for _, l := range p.layers {
		v.Layers = append(v.Layers, page.Layer{Name: l.name, Color: page.ColorOf(l.color)})
	}
	for _, c := range p.cases {
		if c.scan != nil {
			v.Cases = append(v.Cases, c.scan)
		}
	}
	slices.SortFunc(v.Cases, func(a, b *page.Scan) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

// readPNG returns nil if there is no file.
func readPNG(path string) (image.Image, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		return nil, fmt.Errorf("train: %s: %w", path, err)
	}
	return picture, nil
}
