// Package qualitative draws the figure of the paper that compares segmentations: a row for
// the ground truth and one for each loss, and columns for a large and a small lesion and for
// those with the lowest and the highest γ_mSa over the boundary, each as a shaded surface and as the slice with most lesion.
package qualitative

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"

	"github.com/x/afl/examples/internal/surface"
	"github.com/x/afl/internal/atomicfile"
)

// Figure specifies the figure.
type Figure struct {
	// Title is above the figure; optional.
	Title string
	// Rows are the predictions below the ground truth.
	Rows    []Row
	Columns []Column
}

// Row is a row of predictions: those of a network trained with a loss.
type Row struct {
	Name  string
	Color color.Color // of its surfaces and outlines
}

// Column is a case of the figure. The axes of its image and masks point to the patient's
// right, to anterior and to superior.
type Column struct {
	// ID is the name of the case.
	ID string
	// Kinds is what the case is an example of.
	Kinds []Kind
	// Image holds the image that the slices show, on the grid of Label. Values that are not
	// finite are drawn in a dark blue.
	Image []float32
	// Label is the ground truth. The view is centered on it, with a margin, and is the same
	// for all masks; what is beyond it is cut off, and its volume stated.
	Label surface.Mask
	// Masks are the predictions, one for each of the Figure's Rows, on the grid of Label.
	Masks [][]bool
}

// check returns an error if the column does not fit the rows.
func (c *Column) check(rows []Row) error {
	if err := c.Label.Check(); err != nil {
		return fmt.Errorf("qualitative: case %s: label: %w", c.ID, err)
	}
	n := len(c.Label.Voxels)
	if len(c.Image) != n {
		return fmt.Errorf("qualitative: case %s: the image has %d voxels, want %d as the label", c.ID, len(c.Image), n)
	}
	if len(c.Masks) != len(rows) {
		return fmt.Errorf("qualitative: case %s has %d masks, want %d, one for each row", c.ID, len(c.Masks), len(rows))
	}
	for i, m := range c.Masks {
		if len(m) != n {
			return fmt.Errorf("qualitative: case %s: the mask of %s has %d voxels, want %d as the label", c.ID, rows[i].Name, len(m), n)
		}
	}
	return nil
}

// WritePNG draws the figure into the file at path.
func (f *Figure) WritePNG(path string) error {
	img, err := f.Draw()
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed} // the last step of every run
	if err := atomicfile.Write(path, func(w io.Writer) error { return encoder.Encode(w, img) }); err != nil {
		return fmt.Errorf("qualitative: write %s: %w", path, err)
	}
	return nil
}

// Draw returns the figure.
func (f *Figure) Draw() (image.Image, error) {
	if len(f.Columns) == 0 {
		return nil, errors.New("qualitative: Figure.Columns is empty, want at least one case")
	}
	for _, r := range f.Rows {
		if r.Color == nil {
			return nil, fmt.Errorf("qualitative: the row %s has no color", r.Name)
		}
	}
	for i := range f.Columns {
		if err := f.Columns[i].check(f.Rows); err != nil {
			return nil, err
		}
	}
	s := newSheet(f)
	for i := range f.Columns {
		if err := s.column(i); err != nil {
			return nil, err
		}
	}
	s.rowNames()
	s.frame()
	return s.canvas.Image(), nil
}
