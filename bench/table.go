package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/atomicfile"
)

// writeTable writes the report as Markdown.
func (r *results) writeTable(path string) error {
	return atomicfile.WriteString(path, r.markdown())
}

func (r *results) markdown() string {
	var b strings.Builder
	r.describe(&b)
	for _, group := range r.groups() {
		switch first := group[0]; {
		case first.isCall():
			callTable(&b, append(r.plainRows(group), group...))
		case first.work == nil:
			surfaceTable(&b, group)
		default:
			lossTable(&b, group)
		}
	}
	return b.String()
}

func (r *results) describe(b *strings.Builder) {
	fmt.Fprintf(b, "# Speed of the losses and surface distances\n\n")
	fmt.Fprintf(b, "Made on %s by\n\n```sh\n%s\n```\n\n", r.date.Format("2006-01-02 15:04 MST"), r.command)
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	r.machine.Rows(b)
	if r.peer != nil {
		fmt.Fprintf(b, "| Compared with | PyTorch %s, SciPy %s, Python %s |\n", r.peer.Torch, r.peer.SciPy, r.peer.Python)
	} else {
		fmt.Fprintf(b, "| Compared with | nothing: PyTorch and SciPy were not found |\n")
	}
	fmt.Fprintf(b, "| Load average | %s before, %s after (this run's own work included) |\n", r.loadBefore, r.loadAfter)
	fmt.Fprintf(b, "| exp and log, of afl and of the limit | %s |\n\n", r.evaluations)

	fmt.Fprintf(b, `Times are the shortest of %s, in which afl and PyTorch alternate: those that other
load of the machine affects least. results.csv has the medians too. Logits are
float32, labels uint8 with a small lesion, unless the kind of call says otherwise. afl writes its gradient to the caller's
memory, PyTorch's is made by autograd. "Of limit" is the least time that the work
can take over the measured time: that of moving its bytes at the rate of a copy of
arrays of this size, or of evaluating its exponentials and logarithms at the rate
measured in the first-level cache, whichever is longer, with the same number of
cores in the same run; with float64 logits it is that of moving the bytes alone. Bytes
are each logit, target, voxel weight and upstream gradient read once per pass, and each
gradient and un-reduced loss written once. "Ratio" is PyTorch's time over afl's: above 1 afl is faster.
`, report.Plural(r.repeats, "turn"))
	if r.peer != nil {
		fmt.Fprintf(b, "Every value agrees with PyTorch's or SciPy's to 2e-5, and so do the sums of a\ngradient's positive and negative numbers.\n")
	}
	ours, peers := r.unrest()
	fmt.Fprintf(b, "\nThe median call took %.2f times as long as the shortest one in afl", ours)
	if r.peer != nil {
		fmt.Fprintf(b, " and %.2f times\nin PyTorch and SciPy", peers)
	}
	fmt.Fprintf(b, ".\nFar above 1 it means that the machine had other work.\n")
}

// meanRatio is the geometric mean of a pass's ratios; NaN without a peer.
func meanRatio(rows []*row, pass string) float64 {
	var ratios []float64
	for _, r := range rows {
		if r.pass == pass {
			ratios = append(ratios, r.ratio())
		}
	}
	return report.GeometricMean(ratios)
}

// unrest is the median over the rows of the median time of a call over the shortest,
// here and in the peer.
func (r *results) unrest() (ours, peers float64) {
	var a, b timing.Samples
	for _, row := range r.rows {
		a = append(a, row.ours.Median()/row.ours.Min())
		if len(row.peers) > 0 {
			b = append(b, row.peers.Median()/row.peers.Min())
		}
	}
	return a.Median(), b.Median()
}

// groups splits the rows into tables: by size, losses or surfaces, and cores. The kinds
// of calls of all sizes are together.
func (r *results) groups() [][]*row {
	type key struct {
		size    string
		surface bool
		call    bool
		cores   int
	}
	return report.GroupBy(r.rows, func(row *row) key {
		k := key{row.size.Name, row.work == nil, row.isCall(), row.cores}
		if k.surface {
			k.cores = 0 // all in one table
		}
		if k.call {
			k.size = ""
		}
		return k
	})
}

// plainRows returns the rows of class indices to compare with those of calls: of the
// same losses and number of cores, at the first size.
func (r *results) plainRows(calls []*row) []*row {
	var plain []*row
	for _, p := range r.rows {
		measured := func(c *row) bool { return c.name == p.name && c.cores == p.cores }
		if p.work != nil && !p.isCall() && p.size == r.rows[0].size && slices.ContainsFunc(calls, measured) {
			plain = append(plain, p)
		}
	}
	return plain
}

// callTable has a line for each kind of call and loss with the forward pass on the left.
func callTable(b *strings.Builder, rows []*row) {
	fmt.Fprintf(b, "\n## Kinds of calls, %s\n\n", report.Plural(rows[0].cores, "core"))
	const columns = " ms | ns/voxel | of limit | limited by | PyTorch ms | ratio |"
	fmt.Fprintf(b, "| call | logits | loss | forward:%s + gradient:%s\n|---|---|---|%s%s\n", columns, columns,
		strings.Repeat("--:|", 6), strings.Repeat("--:|", 6))
	for _, r := range rows {
		if r.pass == passForward {
			fmt.Fprintf(b, "| %s | %s | %s |", r.call.Title, r.size, r.title)
		}
		share, by := r.share()
		fmt.Fprintf(b, " %s | %s | %s | %s | %s | %s |", report.Number(1e3*r.ours.Min()), report.Number(r.nsPerVoxel()),
			report.Percent(share), by, report.Number(1e3*r.peers.Min()), report.Number(r.ratio()))
		if r.pass == passGradient {
			fmt.Fprintln(b)
		}
	}
}

// lossTable has a line for each loss with the forward pass on the left.
func lossTable(b *strings.Builder, rows []*row) {
	first := rows[0]
	fmt.Fprintf(b, "\n## Losses, %s, %s\n\n", first.size, report.Plural(first.cores, "core"))
	fmt.Fprintf(b, "Limits: copy %.1f GB/s, exp %.3g million/s, log %.3g million/s.\n\n",
		first.limits.bandwidth.Max()/1e9, first.limits.exp.Max()/1e6, first.limits.log.Max()/1e6)
	const columns = " ns/voxel | GB/s | of limit | limited by | afl ms | PyTorch ms | ratio |"
	fmt.Fprintf(b, "| | forward:%s + gradient:%s\n|---|%s%s\n", columns, columns,
		strings.Repeat("--:|", 7), strings.Repeat("--:|", 7))
	for _, r := range rows {
		if r.pass == passForward {
			fmt.Fprintf(b, "| %s |", r.title)
		}
		share, by := r.share()
		fmt.Fprintf(b, " %s | %s | %s | %s | %s | %s | %s |", report.Number(r.nsPerVoxel()), report.Number(r.gigabytes()),
			report.Percent(share), by, report.Number(1e3*r.ours.Min()), report.Number(1e3*r.peers.Min()), report.Number(r.ratio()))
		if r.pass == passGradient {
			fmt.Fprintln(b)
		}
	}
	forward, gradient := meanRatio(rows, passForward), meanRatio(rows, passGradient)
	if !math.IsNaN(forward) {
		fmt.Fprintf(b, "\nGeometric mean of the ratios: forward %s, with gradient %s.\n", report.Number(forward), report.Number(gradient))
	}
}

func surfaceTable(b *strings.Builder, rows []*row) {
	fmt.Fprintf(b, "\n## Hausdorff distance, average surface distance and surface Dice, %s\n\n", strings.Trim(strings.ReplaceAll(fmt.Sprint(rows[0].size.Space), " ", "×"), "[]"))
	fmt.Fprintf(b, "SciPy's distance transform uses one core.\n\n")
	fmt.Fprintf(b, "| | cores | ns/voxel | afl ms | SciPy ms | ratio |\n|---|--:|--:|--:|--:|--:|\n")
	for _, r := range rows {
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s |\n", r.title, r.cores, report.Number(r.nsPerVoxel()),
			report.Number(1e3*r.ours.Min()), report.Number(1e3*r.peers.Min()), report.Number(r.ratio()))
	}
}
