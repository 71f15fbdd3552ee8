package page

import (
	"embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/x/afl/examples/internal/report"
)

//go:embed assets
var files embed.FS

// scripts are the page's own, in the order in which they run.
var scripts = []string{"theme.js", "table.js", "chart.js", "compare.js", "surface.js", "scene.js", "viewer.js", "main.js"}

// chartVersion is that of the bundled chart library.
const chartVersion = "1.6.32"

// assets are the parts of the page that are the same for every run.
type assets struct {
	Style, ChartStyle          template.CSS
	Script, ChartScript        template.JS
	ChartLicense, ChartVersion string
}

var bundled = func() assets {
	var own strings.Builder
	for _, name := range scripts {
		own.WriteString(asset(name))
	}
	return assets{
		Style: template.CSS(asset("page.css")), ChartStyle: template.CSS(asset("uplot/uPlot.min.css")),
		Script: template.JS(own.String()), ChartScript: template.JS(asset("uplot/uPlot.iife.min.js")),
		ChartLicense: asset("uplot/LICENSE"), ChartVersion: chartVersion,
	}
}()

// asset returns an embedded file.
func asset(name string) string {
	raw, err := files.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // the file is compiled in
	}
	return string(raw)
}

var layout = template.Must(template.New("page").Parse(asset("page.html")))

// table is a table of the page.
type table struct {
	ID string
	report.NamedTable
}

// IsNumber reports whether a column is right-aligned, as in results.md.
func (t table) IsNumber(column int) bool { return column > t.Table.MoreLabels }

// Cells returns the cells of each row, as many as there are columns.
func (t table) Cells() [][]string {
	var rows [][]string
	for _, row := range t.Table.Rows {
		cells := make([]string, len(t.Table.Header))
		copy(cells, row)
		rows = append(rows, cells)
	}
	return rows
}

// document is what the template is executed with.
type document struct {
	*Page
	assets
	Holds                          string
	Links                          []link
	First                          *table
	Further                        []table
	HasCharts, HasCases, HasViewer bool
	Figure                         *figureElement // hides the Page's
	Data                           template.JS
}

// link is a link to a section of the page.
type link struct{ ID, Text string }

func (d *document) links() []link {
	var all []link
	for _, l := range []struct {
		there bool
		link
	}{
		{d.First != nil, link{"table-1", "Results"}},
		{d.HasCharts, link{"curves", "Curves"}},
		{d.HasCases, link{"cases", "Case by case"}},
		{d.HasViewer, link{"viewer", "Images"}},
		{d.Figure != nil, link{"figure", "Figure"}},
		{len(d.Further) > 0, link{"table-2", "More tables"}},
		{len(d.Facts) > 0, link{"run", "Run"}},
	} {
		if l.there {
			all = append(all, l.link)
		}
	}
	return all
}

// addTables adds the first table, which opens the page, and the others, which end it.
func (d *document) addTables() {
	for i, named := range d.Tables {
		t := table{fmt.Sprintf("table-%d", i+1), named}
		if i == 0 {
			d.First = &t
		} else {
			d.Further = append(d.Further, t)
		}
	}
}
