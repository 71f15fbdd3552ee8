package main

import (
	"fmt"
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
			r.callTable(&b, append(r.plainRows(group), group...))
		case first.work == nil:
			r.surfaceTable(&b, group)
		default:
			r.lossTable(&b, group)
		}
	}
	return b.String()
}

func (r *results) describe(b *strings.Builder) {
	fmt.Fprintf(b, "# Speed of the losses and surface distances\n\n")
	fmt.Fprintf(b, "Made on %s by\n\n```sh\n%s\n```\n\n", r.date.Format("2006-01-02 15:04 MST"), r.command)
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	r.machine.Rows(b)
	if len(r.peers) == 0 {
		fmt.Fprintf(b, "| Compared with | nothing |\n")
	}
	for _, p := range r.peers {
		switch p.way {
		case compiled:
			fmt.Fprintf(b, "| Compared with | the same through torch.compile |\n")
		case classes:
			fmt.Fprintf(b, "| Compared with | the classes of MONAI %s, where it has one (values to 2e-4) |\n", p.version.MONAI)
		default:
			fmt.Fprintf(b, "| Compared with | PyTorch %s, SciPy %s, Python %s |\n", p.version.Torch, p.version.SciPy, p.version.Python)
		}
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
	if len(r.peers) > 0 {
		fmt.Fprintf(b, "Every value agrees with PyTorch's or SciPy's to 2e-5, and so do the sums of a\ngradient's positive and negative numbers.\n")
	}
	ours, peers := r.unrest()
	fmt.Fprintf(b, "\nThe median call took %.2f times as long as the shortest one in afl", ours)
	if len(r.peers) > 0 {
		fmt.Fprintf(b, " and %.2f times\nin PyTorch and SciPy", peers)
	}
	fmt.Fprintf(b, ".\nFar above 1 it means that the machine had other work.\n")
}

// meanRatio is the geometric mean of a pass's ratios to contender i, over the losses that it
// has.
func meanRatio(rows []*row, pass string, i int) float64 {
	var ratios []float64
	for _, r := range rows {
		if r.pass == pass && len(r.peers[i]) > 0 {
			ratios = append(ratios, r.ratio(i))
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
		for _, p := range row.peers {
			if len(p) > 0 {
				b = append(b, p.Median()/p.Min())
			}
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
func (r *results) callTable(b *strings.Builder, rows []*row) {
	fmt.Fprintf(b, "\n## Kinds of calls, %s\n\n", report.Plural(rows[0].cores, "core"))
	columns := " ms | ns/voxel | of limit | limited by |" + r.peerColumns()
	rules := strings.Repeat("--:|", strings.Count(columns, "|"))
	fmt.Fprintf(b, "| call | logits | loss | forward:%s + gradient:%s\n|---|---|---|%s%s\n", columns, columns, rules, rules)
	for _, row := range rows {
		if row.pass == passForward {
			fmt.Fprintf(b, "| %s | %s | %s |", row.call.Title, row.size, row.title)
		}
		share, by := row.share()
		fmt.Fprintf(b, " %s | %s | %s | %s |%s", report.Number(1e3*row.ours.Min()), report.Number(row.nsPerVoxel()),
			report.Percent(share), by, row.peerCells())
		if row.pass == passGradient {
			fmt.Fprintln(b)
		}
	}
}

// peerColumns heads the times and ratios of the contenders in a table of losses.
func (r *results) peerColumns() string {
	columns := ""
	for _, p := range r.peers {
		columns += " " + p.torch() + " ms | ratio |"
	}
	return columns
}

// peerCells are the times in ms and ratios of the contenders.
func (r *row) peerCells() string {
	cells := ""
	for i, p := range r.peers {
		cells += " " + report.Number(1e3*p.Min()) + " | " + report.Number(r.ratio(i)) + " |"
	}
	return cells
}

// lossTable has a line for each loss with the forward pass on the left.
func (r *results) lossTable(b *strings.Builder, rows []*row) {
	first := rows[0]
	fmt.Fprintf(b, "\n## Losses, %s, %s\n\n", first.size, report.Plural(first.cores, "core"))
	fmt.Fprintf(b, "Limits: copy %.1f GB/s, exp %.3g million/s, log %.3g million/s.\n\n",
		first.limits.bandwidth.Max()/1e9, first.limits.exp.Max()/1e6, first.limits.log.Max()/1e6)
	columns := " ns/voxel | GB/s | of limit | limited by | afl ms |" + r.peerColumns()
	rules := strings.Repeat("--:|", strings.Count(columns, "|"))
	fmt.Fprintf(b, "| | forward:%s + gradient:%s\n|---|%s%s\n", columns, columns, rules, rules)
	for _, row := range rows {
		if row.pass == passForward {
			fmt.Fprintf(b, "| %s |", row.title)
		}
		share, by := row.share()
		fmt.Fprintf(b, " %s | %s | %s | %s | %s |%s", report.Number(row.nsPerVoxel()), report.Number(row.gigabytes()),
			report.Percent(share), by, report.Number(1e3*row.ours.Min()), row.peerCells())
		if row.pass == passGradient {
			fmt.Fprintln(b)
		}
	}
	for i, p := range r.peers {
		fmt.Fprintf(b, "\nGeometric mean of the ratios to %s: forward %s, with gradient %s.\n", p.torch(),
			report.Number(meanRatio(rows, passForward, i)), report.Number(meanRatio(rows, passGradient, i)))
	}
}

func (r *results) surfaceTable(b *strings.Builder, rows []*row) {
	fmt.Fprintf(b, "\n## Hausdorff distance, average surface distance and surface Dice, %s\n\n", strings.Trim(strings.ReplaceAll(fmt.Sprint(rows[0].size.Space), " ", "×"), "[]"))
	fmt.Fprintf(b, "The two transforms are plain ones in Go on all cores, with the distances sorted. SciPy's distance\ntransform uses one core.\n\n")
	columns := " cores | ns/voxel | afl ms | two transforms ms | ratio |"
	for _, p := range r.peers {
		if p.way == operations {
			columns += " " + p.sciPy() + " ms | ratio |"
		}
	}
	fmt.Fprintf(b, "| |%s\n|---|%s\n", columns, strings.Repeat("--:|", strings.Count(columns, "|")))
	for _, row := range rows {
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s |", row.title, row.cores, report.Number(row.nsPerVoxel()),
			report.Number(1e3*row.ours.Min()), report.Number(1e3*row.plain.Min()), report.Number(row.plainRatio()))
		for i, p := range r.peers {
			if p.way == operations {
				fmt.Fprintf(b, " %s | %s |", report.Number(1e3*row.peers[i].Min()), report.Number(row.ratio(i)))
			}
		}
		fmt.Fprintln(b)
	}
}
