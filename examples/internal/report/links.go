package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// WriteMarkdown writes Markdown to file, followed by links to the curves of each network and
// to other files, given by their paths from the folder of file, of those that exist.
func (r *Run) WriteMarkdown(file string, others ...string) error {
	links, err := r.links(filepath.Dir(file), others)
	if err != nil {
		return err
	}
	return writeFile(file, func(w io.Writer) error {
		_, err := io.WriteString(w, r.Markdown()+links)
		return err
	})
}

// links returns the section of links, empty if no file exists.
func (r *Run) links(dir string, others []string) (string, error) {
	names := slices.Clone(others)
	for _, l := range r.Results {
		for _, name := range append(CurveNames(), detectionFigureName) {
			if name := path.Join(l.Network, name); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	var b strings.Builder
	for _, name := range names {
		_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("report: %w", err)
		default:
			fmt.Fprintf(&b, "- [%s](%s)\n", name, name)
		}
	}
	if b.Len() == 0 {
		return "", nil
	}
	return "\n## Figures\n\n" + b.String(), nil
}
