// Command labelstats shows the label statistics that A-FL uses, for every mask in a
// folder: the foreground share γ_va and the smoothness γ_mSa, whose sum is the
// loss's focusing parameter γ. It prints a summary and writes the values as CSV and
// a plot of γ_mSa against γ_va as PNG.
//
//	go run ./examples/labelstats -masks DIR -out runs/labelstats
//
// A file that is not a mask is named and left out; the exit code is then 1, although the
// statistics of the others are written.
package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/internal/atomicfile"
)

func main() {
	flags := flag.NewFlagSet("labelstats", flag.ContinueOnError)
	masks := flags.String("masks", "", "folder of label images ("+volume.Extensions()+"), searched recursively;\nevery nonzero voxel is foreground (required)")
	match := flags.String("match", "*", "pattern of the file names to read, such as *_seg*: * stands for any characters, ? for one")
	out := flags.String("out", "runs/labelstats", "folder for labelstats.csv and labelstats.png")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), `Usage: labelstats -masks DIR [flags]

Shows the label statistics that A-FL uses, for every mask in a folder: the foreground
share γ_va and the smoothness γ_mSa, whose sum is the loss's focusing parameter γ.

Flags:
`)
		flags.PrintDefaults()
	}
	if err := flags.Parse(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		os.Exit(2)
	}
	if *masks == "" || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "labelstats: -masks is required and there must be no other arguments (-h lists the flags)")
		os.Exit(2)
	}
	if _, err := filepath.Match(*match, ""); err != nil {
		fmt.Fprintf(os.Stderr, "labelstats: -match is %q; it must be a pattern such as *_seg* (-h lists the flags)\n", *match)
		os.Exit(2)
	}
	if err := run(*masks, *match, *out, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "labelstats:", err)
		os.Exit(1)
	}
}

// maxNamed is the number of files left out that are named.
const maxNamed = 20

// mask holds the statistics of one label image.
type mask struct {
	name string // path relative to the folder, without extension
	afl.LabelStats
}

func run(dir, match, out string, stdout io.Writer) error {
	files, err := findMasks(dir, match)
	if err != nil {
		return err
	}
	table, picture := filepath.Join(out, "labelstats.csv"), filepath.Join(out, "labelstats.png")
	if err := tryOutput(out, table, picture); err != nil {
		return err
	}
	progress := report.NewProgress(stdout)
	list, wrong := readMasks(dir, files, progress)
	for i, err := range wrong {
		if i == maxNamed {
			progress.Println(fmt.Sprintf("Left out: %d more", len(wrong)-i))
			break
		}
		progress.Println("Left out: " + err.Error())
	}
	if len(list) == 0 {
		return fmt.Errorf("none of the %d files in %s is a mask", len(files), dir)
	}
	if err := writeCSV(table, list); err != nil {
		return err
	}
	if err := writePNG(picture, list); err != nil {
		return err
	}
	progress.Println(fmt.Sprintf("%d masks in %s\n\n%s\nvalues: %s\nplot: %s", len(list), dir, summary(list), table, picture))
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d files were left out (see above)", len(wrong), len(files))
	}
	return nil
}

// tryOutput creates the folder and a file in it, so that an output that cannot be written is
// found before the masks are read.
func tryOutput(folder string, files ...string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return fmt.Errorf("-out: %s is a folder", path)
		}
	}
	trial, err := os.CreateTemp(folder, ".labelstats.*")
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	if err := errors.Join(trial.Close(), os.Remove(trial.Name())); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	return nil
}

// findMasks lists the image files below dir whose name matches, in lexical order, relative to
// dir. Hidden files are skipped.
func findMasks(dir, match string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := entry.Name()
		matches, err := filepath.Match(match, name)
		if err != nil {
			return err
		}
		if _, ok := volume.TrimExtension(name); !ok || !matches || strings.HasPrefix(name, ".") {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, rel)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s contains no file that matches %s and ends in one of %s", dir, match, volume.Extensions())
	}
	return files, nil
}

// readMasks computes the statistics of the files. It returns an error for each that is not a
// mask.
func readMasks(dir string, files []string, progress *report.Progress) (list []mask, wrong []error) {
	start := time.Now()
	for i, file := range files {
		stats, err := measure(filepath.Join(dir, file))
		if err != nil {
			wrong = append(wrong, err)
		} else {
			name, _ := volume.TrimExtension(filepath.ToSlash(file))
			list = append(list, mask{name, stats})
		}
		done := i + 1
		left := time.Since(start) / time.Duration(done) * time.Duration(len(files)-done)
		progress.Update(fmt.Sprintf("mask %d/%d  left %s  %s", done, len(files), report.Duration(left), file))
	}
	return list, wrong
}

func measure(path string) (afl.LabelStats, error) {
	v, err := volume.ReadLabel(path)
	if err != nil {
		return afl.LabelStats{}, err
	}
	foreground := make([]bool, len(v.Data))
	for i, y := range v.Data {
		foreground[i] = y != 0
	}
	st, err := afl.StatsOf(tensor.New(tensor.WithShape(v.Dims[:]...), tensor.WithBacking(foreground)), afl.IgnoreIndex{})
	if err != nil {
		return st, fmt.Errorf("%s: %w", path, err)
	}
	return st, nil
}

func writeCSV(path string, list []mask) error {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	rows := [][]string{{"mask", "voxels", "foreground", "gamma_va", "gamma_msa", "gamma", "boundary_voxels", "boundary_mean"}}
	for _, m := range list {
		rows = append(rows, []string{m.name, strconv.Itoa(m.Voxels), strconv.Itoa(m.Foreground), number(m.GammaVa),
			number(m.GammaMSa), number(m.Gamma()), strconv.Itoa(m.BoundaryVoxels), number(m.Boundary)})
	}
	return atomicfile.Write(path, func(w io.Writer) error { return csv.NewWriter(w).WriteAll(rows) })
}

// summary returns a table of the smallest, median and largest value over the masks.
func summary(list []mask) string {
	t := report.Table{Header: []string{"over the masks", "smallest", "median", "largest"}}
	row := func(name string, of func(mask) float64) {
		values := make([]float64, len(list))
		for i, m := range list {
			values[i] = of(m)
		}
		slices.Sort(values)
		cells := []string{name}
		n := len(values)
		for _, v := range []float64{values[0], (values[(n-1)/2] + values[n/2]) / 2, values[n-1]} {
			cells = append(cells, fmt.Sprintf("%.3g", v))
		}
		t.Rows = append(t.Rows, cells)
	}
	row("foreground voxels", func(m mask) float64 { return float64(m.Foreground) })
	row("γ_va, foreground share", func(m mask) float64 { return m.GammaVa })
	row("γ_mSa, mean gradient magnitude", func(m mask) float64 { return m.GammaMSa })
	row("γ = γ_va + γ_mSa", func(m mask) float64 { return m.Gamma() })
	row("mean over the boundary only", func(m mask) float64 { return m.Boundary })
	return t.String()
}

// writePNG plots γ_mSa against γ_va on logarithmic axes. The title counts the masks
// left out because either value is zero.
func writePNG(path string, list []mask) error {
	// Plot the logarithms on linear axes with decade ticks: with plot.LogScale the
	// library reserves the space of an axis label in the wrong place.
	var points plotter.XYs
	low, high := 0.0, math.Inf(-1)
	for _, m := range list {
		if m.GammaVa > 0 && m.GammaMSa > 0 {
			x, y := math.Log10(m.GammaVa), math.Log10(m.GammaMSa)
			points = append(points, plotter.XY{X: x, Y: y})
			low, high = min(low, x, y), max(high, x, y)
		}
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Label statistics of A-FL: size and smoothness of %d masks", len(points))
	if rest := len(list) - len(points); rest > 0 {
		p.Title.Text += fmt.Sprintf(" (%d empty or full, not shown)", rest)
	}
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = "γ_va, foreground share of the image"
	p.Y.Label.Text = "γ_mSa, mean gradient magnitude of the mask"
	if len(points) > 0 {
		low, high = math.Floor(low), math.Ceil(high)
		for _, axis := range []*plot.Axis{&p.X, &p.Y} {
			axis.Min, axis.Max, axis.Tick.Marker = low, high, decades{}
		}
		scatter, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: color.RGBA{0x00, 0x72, 0xB2, 0xFF}, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
		equal, err := plotter.NewLine(plotter.XYs{{X: low, Y: low}, {X: high, Y: high}})
		if err != nil {
			return err
		}
		equal.Color, equal.Dashes = color.RGBA{0xD5, 0x5E, 0x00, 0xFF}, []vg.Length{vg.Points(4), vg.Points(4)}
		p.Add(plotter.NewGrid(), equal, scatter)
		p.Legend.Add("one mask", scatter)
		p.Legend.Add("γ_mSa = γ_va", equal)
		p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(3)
		p.Legend.XOffs = vg.Points(6)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		png, err := p.WriterTo(15*vg.Centimeter, 14*vg.Centimeter, "png")
		if err != nil {
			return err
		}
		_, err = png.WriteTo(w)
		return err
	})
}

// decades places the ticks of an axis that shows decimal logarithms.
type decades struct{}

func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for e := low; e <= high; e++ {
		ticks = append(ticks, plot.Tick{Value: e, Label: fmt.Sprintf("1e%g", e)})
		for i := 2.0; i < 10 && e < high; i++ {
			ticks = append(ticks, plot.Tick{Value: e + math.Log10(i)})
		}
	}
	return ticks
}
