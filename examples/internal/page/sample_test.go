package page

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/surface"
)

// hostile is a name that must not be taken for HTML or JavaScript.
const hostile = `<b id="bad">a</b></script><!--'"+&`

// sample returns a page with everything: three losses, six cases of which two have images.
func sample(t *testing.T) *Page {
	t.Helper()
	titles := []string{"A-FL", "FL", hostile}
	var results outcome.Store
	for l, title := range titles {
		r := outcome.Result{Network: "unet", NetworkTitle: "UNet", Loss: fmt.Sprint("loss", l), Title: title, Evaluated: 3, BestEpoch: 3}
		for n := range 6 {
			c := outcome.Case{ID: fmt.Sprintf("case_%d", n), Values: outcome.NoValues()}
			c.Values[outcome.Dice] = outcome.Number(0.5 + 0.07*float64(n) - 0.05*float64(l*(n%2)))
			c.Values[outcome.Hausdorff95] = outcome.Number(10 - float64(n+l))
			if n == 5 {
				c.Values[outcome.Dice], c.Values[outcome.Hausdorff95] = outcome.Undefined, outcome.Number(math.Inf(1))
			}
			r.Cases = append(r.Cases, c)
		}
		results = append(results, r)
	}
	loss := Chart{Title: "Training loss", X: Axis{Label: "epoch"}, Y: Axis{Label: "loss"}, Note: "Each loss is divided by its first value."}
	roc := Chart{Title: "ROC", X: Axis{Label: "false positive rate"}, Y: Axis{Label: "sensitivity"}}
	zero, one := 0.0, 1.0
	roc.X.Min, roc.X.Max, roc.Y.Min, roc.Y.Max = &zero, &one, &zero, &one
	viewer := &Viewer{Layers: []Layer{GroundTruth}}
	for l, title := range titles {
		c := Curve{Name: title, Color: ColorOf(report.Color(l))}
		for e := range 3 {
			y := Number(math.Exp(-float64(e*(l+1)) / 3))
			c.X, c.Y = append(c.X, Number(e+1)), append(c.Y, y)
			if l == 0 {
				c.Low, c.High = append(c.Low, y*0.9), append(c.High, y*1.1)
			}
		}
		loss.Curves = append(loss.Curves, c)
		roc.Curves = append(roc.Curves, Curve{Name: title, Color: c.Color, Dashed: l == 1,
			X: []Number{0, 0, 0.1 * Number(l+1), 1}, Y: []Number{0, 0.5, 0.8, 1}})
		viewer.Layers = append(viewer.Layers, Layer{title, c.Color})
	}
	for n := range 2 {
		viewer.Cases = append(viewer.Cases, ball(t, fmt.Sprintf("case_%d", n), [3]int{20, 18, 9}, len(titles)-n))
	}
	figure := image.NewRGBA(image.Rect(0, 0, 60, 30))
	for i := range figure.Pix {
		figure.Pix[i] = 0xC0
	}
	figure.Set(0, 0, color.White)
	return &Page{
		Title: "brats: unet, epochs 3, seed 0 " + hostile, Synthetic: true,
		Facts: []string{"Data: " + hostile},
		Tables: []report.NamedTable{
			{Title: "Validation", Table: report.Table{Header: []string{"Loss", "Dice", "best epoch"}, Rows: [][]string{
				{"A-FL", "0.712", "10"}, {"FL", "–", "9"}, {"Dice", "0.080 (n=3)"}, {hostile, "1.000", "100"}}}, Notes: []string{"A note."}},
			{Title: "Lesions", Table: report.Table{Header: []string{"Loss", "Region", "HD95 mm"}, MoreLabels: 1, Rows: [][]string{
				{"A-FL", "WT", "∞"}, {"FL", "ET", "12.50"}}}},
		},
		Notes:      []string{"Hard masks of " + hostile},
		Charts:     []Chart{loss, roc},
		Comparison: Compare(results),
		Figure:     &Figure{Title: "Figure", Text: "Ground truth and predictions.", Image: figure},
		Viewer:     viewer,
	}
}

// ball returns a case with a ball as ground truth, the same ball moved by one voxel as the
// prediction of each of the first predicted layers, and no prediction of the others, of three.
func ball(t *testing.T, id string, dims [3]int, predicted int) *Scan {
	t.Helper()
	label := surface.Mask{Dims: dims, Spacing: [3]float64{1, 1, 2.5}}
	inside := func(shift int) []bool {
		var mask []bool
		for i := range dims[0] {
			for j := range dims[1] {
				for k := range dims[2] {
					x, y, z := float64(i-shift)-6, float64(j)-7, 2.5*(float64(k)-4)
					mask = append(mask, x*x+y*y+z*z < 20)
				}
			}
		}
		return mask
	}
	label.Voxels = inside(0)
	scan := make([]float32, len(label.Voxels))
	for n, in := range label.Voxels {
		scan[n] = float32(n % 97)
		if in {
			scan[n] += 200
		}
	}
	s, err := NewScan(id, scan, label)
	require.NoError(t, err)
	for l := range 3 {
		mask := inside(l + 1)
		if l >= predicted {
			mask = nil
		}
		require.NoError(t, s.AddMask(mask))
	}
	return s
}
