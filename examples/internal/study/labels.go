package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/internal/atomicfile"
	"github.com/x/afl/internal/bootstrap"
)

// labels is the command of the same name.
func labels(args []string, out io.Writer) error {
	f := flag.NewFlagSet("study labels", flag.ContinueOnError)
	data := f.String("data", "", "`folder` with TrainLabel and ValidLabel (required)")
	to := f.String("out", "", "`file` of the page (required)")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *data == "" || *to == "" || f.NArg() > 0 {
		return errors.New("labels: -data and -out are required, and there must be no other arguments")
	}
	var all []afl.LabelStats
	for _, folder := range folders {
		if !folder.label {
			continue
		}
		files, err := filepath.Glob(filepath.Join(*data, folder.name, "*.nii.gz"))
		if err != nil {
			return err
		}
		for _, file := range files {
			st, err := statsOfFile(file)
			if err != nil {
				return err
			}
			all = append(all, st)
		}
	}
	page, err := labelsPage(all)
	if err != nil {
		return err
	}
	fmt.Fprint(out, page)
	return atomicfile.Write(*to, func(w io.Writer) error {
		_, err := io.WriteString(w, page)
		return err
	})
}

func statsOfFile(path string) (afl.LabelStats, error) {
	v, err := volume.ReadLabel(path)
	if err != nil {
		return afl.LabelStats{}, err
	}
	mask := make([]bool, len(v.Data))
	for i, x := range v.Data {
		mask[i] = x != 0
	}
	return afl.StatsOf(tensor.New(tensor.WithShape(v.Dims[:]...), tensor.WithBacking(mask)), afl.IgnoreIndex{})
}

// labelsPage explains γ and the weights of A-FL as released on labels like these.
func labelsPage(all []afl.LabelStats) (string, error) {
	with := slices.DeleteFunc(slices.Clone(all), func(s afl.LabelStats) bool { return s.Foreground == 0 })
	if len(with) == 0 {
		return "", fmt.Errorf("labels: none of the %d labels has a lesion", len(all))
	}
	t := report.Table{Header: []string{"", "smallest", "quarter", "median", "three quarters", "largest"}}
	quantile := func(of func(afl.LabelStats) float64, q float64) float64 {
		var values []float64
		for _, s := range with {
			values = append(values, of(s))
		}
		slices.Sort(values)
		return bootstrap.Quantile(values, q)
	}
	row := func(name string, of func(afl.LabelStats) float64) {
		cells := []string{name}
		for _, q := range []float64{0, 0.25, 0.5, 0.75, 1} {
			cells = append(cells, fmt.Sprintf("%.3g", quantile(of, q)))
		}
		t.Rows = append(t.Rows, cells)
	}
	share := func(s afl.LabelStats) float64 { return s.GammaVa }
	gamma := afl.LabelStats.Gamma
	row("γ_va, share of the lesion", share)
	row("γ_mSa, smoothness", func(s afl.LabelStats) float64 { return s.GammaMSa })
	row("γ = γ_va + γ_mSa", gamma)
	row("weight of the background's channel", func(s afl.LabelStats) float64 { return 1 - s.GammaVa })
	row("weight of the lesion's channel", share)
	row("focal factor (1−p)^γ at p = 0.5", func(s afl.LabelStats) float64 { return math.Pow(0.5, gamma(s)) })
	row("at p = 0.9", func(s afl.LabelStats) float64 { return math.Pow(0.1, gamma(s)) })
	row("at p = 0.99", func(s afl.LabelStats) float64 { return math.Pow(0.01, gamma(s)) })
	row("γ_mSa over the boundary", func(s afl.LabelStats) float64 { return s.Boundary })
	median, largest := quantile(gamma, 0.5), quantile(gamma, 1)

	var text strings.Builder
	fmt.Fprintf(&text, `# What γ and the weights of A-FL are in these data

Of %d labels %d have a lesion. A-FL as released weights the element of a voxel and channel as

    W_c·(1−p)^γ·(−log p),  W = (1 − γ_va, γ_va),  γ = γ_va + γ_mSa,

p being the probability of the voxel's own label. Over the labels with a lesion:

%s
**γ hardly focuses.** γ = %.3f, the median, multiplies the loss of a voxel that is right with
p = 0.99 by %.2f, and the largest γ, %.3f, by %.2f; γ = 2, the focal loss's, by 0.0001. The rank
correlation of γ_mSa with γ_va is %.2f: the smoothness of the whole image says little that the
size does not. Over the boundary alone it would be %.2f to %.2f: larger, but nearly the same for
every lesion.

**The weights do the rest, and work against the lesion.** The masks are those of the lesion's
channel, which has the weight γ_va: %.3f in the median, %.0f times less than the background's
channel, whose output no mask uses. The rate of its last layer is effectively that much smaller,
and a lesion counts the less the smaller it is: the largest has %.0f times the weight of the
smallest.
`, len(all), len(with), t, median, math.Pow(0.01, median), largest, math.Pow(0.01, largest),
		rankCorrelation(with), quantile(func(s afl.LabelStats) float64 { return s.Boundary }, 0), quantile(func(s afl.LabelStats) float64 { return s.Boundary }, 1),
		quantile(share, 0.5), (1-quantile(share, 0.5))/quantile(share, 0.5), quantile(share, 1)/quantile(share, 0))
	if free := len(all) - len(with); free > 0 {
		fmt.Fprintf(&text, `
**Patients without a lesion do not train the lesion's channel.** Their γ_va is 0, and with it the
gradient of that channel: %d of the %d labels say that a false lesion is wrong only through the
layers that it shares with the background's channel.
`, free, len(all))
	}
	return text.String(), nil
}

// rankCorrelation returns Spearman's correlation of γ_va and γ_mSa, with midranks.
func rankCorrelation(of []afl.LabelStats) float64 {
	var va, msa []float64
	for _, s := range of {
		va, msa = append(va, s.GammaVa), append(msa, s.GammaMSa)
	}
	x, y := ranks(va), ranks(msa)
	var xy, xx, yy float64
	center := float64(len(x)+1) / 2
	for i := range x {
		dx, dy := x[i]-center, y[i]-center
		xy, xx, yy = xy+float64(dx*dy), xx+float64(dx*dx), yy+float64(dy*dy)
	}
	return xy / math.Sqrt(xx*yy)
}

// ranks returns the ranks from 1 of values, of equal ones their mean.
func ranks(values []float64) []float64 {
	r := make([]float64, len(values))
	for i, v := range values {
		for _, other := range values {
			switch {
			case other < v:
				r[i]++
			case other == v:
				r[i] += 0.5
			}
		}
		r[i] += 0.5
	}
	return r
}
