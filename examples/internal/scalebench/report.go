package main

import (
	"encoding/csv"
	"fmt"
	"image/color"
	"io"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/x/afl/internal/atomicfile"
)

func writeCSV(path string, rows [][]string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		c := csv.NewWriter(w)
		return c.WriteAll(rows)
	})
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }

// writeMeasured writes what was measured on this machine.
func writeMeasured(path string, measured []measurement) error {
	rows := [][]string{{"network", "input", "backend", "library", "processes", "threads", "step_seconds", "volumes_per_second", "waiting_share", "gradient_bytes"}}
	for _, m := range measured {
		rows = append(rows, []string{
			m.Model, fmt.Sprintf("%dx%dx%dx%d", inChannels, m.Size[0], m.Size[1], m.Size[2]), m.Backend, m.Library, fmt.Sprint(m.Processes), fmt.Sprint(m.Threads),
			number(m.Step), number(float64(m.Processes) / m.Step), number(m.Waiting), fmt.Sprint(m.Bytes),
		})
	}
	return writeCSV(path, rows)
}

// modeled are the numbers of processes of the model.
func modeled() (all []int) {
	for p := 1; p <= 1024; p *= 2 {
		all = append(all, p)
	}
	return all
}

// writeModel writes the estimates and draws them.
func writeModel(table, chart string, measured []measurement) error {
	rows := [][]string{{"network", "fabric", "processes", "modeled_step_seconds", "modeled_efficiency"}}
	var single []measurement
	for _, m := range measured {
		if m.Processes == 1 {
			single = append(single, m)
		}
	}
	plots := make([]*plot.Plot, len(fabrics))
	for i, f := range fabrics {
		p := plot.New()
		p.Title.Text = "Model: " + f.Name
		p.X.Label.Text, p.Y.Label.Text = "processes", "efficiency"
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Min, p.Y.Max = 0, 1.02
		p.Legend.Top, p.Legend.Left = false, true
		p.Add(plotter.NewGrid())
		for k, m := range single {
			var points plotter.XYs
			for _, n := range modeled() {
				step, alone := f.step(m, n)
				rows = append(rows, []string{m.Model, f.Name, fmt.Sprint(n), number(step), number(alone / step)})
				points = append(points, plotter.XY{X: float64(n), Y: alone / step})
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			line.Color, line.Width = colors[k%len(colors)], vg.Points(1.5)
			p.Add(line)
			if i == 0 {
				p.Legend.Add(m.Model, line)
			}
		}
		plots[i] = p
	}
	if err := writeCSV(table, rows); err != nil || len(single) == 0 {
		return err
	}
	canvas := vgimg.NewWith(vgimg.UseWH(vg.Points(760), vg.Points(600)), vgimg.UseDPI(110))
	tiles := draw.Tiles{Rows: 2, Cols: 2, PadX: vg.Points(14), PadY: vg.Points(14), PadTop: vg.Points(6), PadRight: vg.Points(10)}
	for i, p := range plots {
		p.Draw(tiles.At(draw.New(canvas), i%2, i/2))
	}
	return atomicfile.Write(chart, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}

// colors are told apart with any color vision (Okabe and Ito).
var colors = []color.Color{
	color.RGBA{0x00, 0x72, 0xB2, 0xFF}, color.RGBA{0xE6, 0x9F, 0x00, 0xFF}, color.RGBA{0x00, 0x9E, 0x73, 0xFF}, color.RGBA{0xD5, 0x5E, 0x00, 0xFF},
	color.RGBA{0x56, 0xB4, 0xE9, 0xFF}, color.RGBA{0xCC, 0x79, 0xA7, 0xFF}, color.RGBA{0xF0, 0xE4, 0x42, 0xFF}, color.RGBA{0x00, 0x00, 0x00, 0xFF},
}
