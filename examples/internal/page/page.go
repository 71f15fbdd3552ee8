// Package page writes report.html: the results of a run in one file that opens from disk,
// without a server and without a network. It has the tables of results.md, which sort, curves,
// a comparison of losses case by case, the figure, and a viewer of validation cases with
// the masks that the losses lead to.
//
// The tables are plain HTML. The rest is drawn by scripts in the page from data in it, as
// JSON. The same results give the same bytes.
package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"

	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/internal/atomicfile"
)

// MaxBytes is the size that a page with images of cases does not exceed, as long as the rest
// leaves room for them.
const MaxBytes = 10 << 20

// Page is the content of report.html.
type Page struct {
	Title string
	// Synthetic says that the images show no patient, which the page states at its top.
	Synthetic bool
	// Facts describe the run.
	Facts  []string
	Tables []report.NamedTable
	// Notes belong to all tables.
	Notes  []string
	Charts []Chart
	// Comparison is optional.
	Comparison *Comparison
	// Figure is optional.
	Figure *Figure
	// Viewer is optional.
	Viewer *Viewer
}

// Write writes the page to the file at path.
func (p *Page) Write(path string) error {
	html, err := p.html()
	if err != nil {
		return err
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(html)
		return err
	})
	if err != nil {
		return fmt.Errorf("page: write %s: %w", path, err)
	}
	return nil
}

// html returns the page. The images of the cases get the space that the rest leaves.
func (p *Page) html() ([]byte, error) {
	content := data{Charts: p.Charts, Comparison: p.Comparison}
	if !p.Viewer.empty() {
		rest, err := p.render(content)
		if err != nil {
			return nil, err
		}
		if content.Viewer, err = p.Viewer.store(MaxBytes - len(rest)); err != nil {
			return nil, err
		}
	}
	return p.render(content)
}

// data is what the scripts of the page draw.
type data struct {
	Charts     []Chart       `json:"charts"`
	Comparison *Comparison   `json:"cases"`
	Viewer     *storedViewer `json:"viewer"`
}

func (p *Page) render(content data) ([]byte, error) {
	// json.Marshal escapes <, > and &, so that the text cannot end the script element.
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	view := document{
		Page: p, Holds: p.holds(),
		HasCharts: len(p.Charts) > 0, HasCases: p.Comparison != nil, HasViewer: content.Viewer != nil,
		Data: template.JS(raw), assets: bundled,
	}
	if p.Figure != nil {
		if view.Figure, err = p.Figure.element(); err != nil {
			return nil, err
		}
	}
	view.addTables()
	view.Links = view.links()
	var b bytes.Buffer
	if err := layout.Execute(&b, view); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return b.Bytes(), nil
}

// holds states which images the page contains.
func (p *Page) holds() string {
	whose := "of patients"
	if p.Synthetic {
		whose = "of the phantom"
	}
	cases := 0
	if p.Viewer != nil {
		cases = len(p.Viewer.Cases)
	}
	switch {
	case cases == 0 && p.Figure == nil && p.Synthetic:
		return "This page contains no images."
	case cases == 0 && p.Figure == nil:
		return "This page contains no images of patients; -page_images 8 embeds those of eight cases."
	case cases == 0:
		return fmt.Sprintf("This page contains images %s: slices in the figure.", whose)
	case p.Figure == nil:
		return fmt.Sprintf("This page contains images %s: %s.", whose, inWords(cases))
	}
	return fmt.Sprintf("This page contains images %s: %s, and slices in the figure.", whose, inWords(cases))
}

func inWords(cases int) string {
	if cases == 1 {
		return "one case"
	}
	return fmt.Sprintf("%d cases", cases)
}
