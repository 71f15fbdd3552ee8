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

var layout = template.Must(template.New("page").Funcs(template.FuncMap{
	"tableID": tableID, "cells": cells,
	// A column is right-aligned, as in results.md, unless it holds labels.
	"number": func(t report.Table, column int) bool { return column > t.MoreLabels },
}).Parse(asset("page.html")))

// cells returns the cells of a row, as many as the table has columns.
func cells(t report.Table, row []string) []string {
	all := make([]string, len(t.Header))
	copy(all, row)
	return all
}

// document is what the template is executed with.
type document struct {
	*Page
	assets
	Holds                          string
	Links                          []link
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
		{len(d.Tables) > 0, link{tableID(0), "Tables"}},
		{d.HasCharts, link{"curves", "Curves"}},
		{d.HasCases, link{"cases", "Case by case"}},
		{d.HasViewer, link{"viewer", "Images"}},
		{d.Figure != nil, link{"figure", "Figure"}},
		{len(d.Facts) > 0, link{"run", "Run"}},
	} {
		if l.there {
			all = append(all, l.link)
		}
	}
	return all
}

// tableID returns the ID of the section of a table.
func tableID(i int) string { return fmt.Sprintf("table-%d", i+1) }
