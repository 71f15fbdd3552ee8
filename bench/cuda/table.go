package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/atomicfile"
	"github.com/x/afl/internal/workload"
)

// writeTable writes the report as Markdown.
func (r *results) writeTable(path string) error {
	return atomicfile.WriteString(path, r.markdown())
}

func (r *results) markdown() string {
	var b strings.Builder
	r.describe(&b)
	if len(r.checks) > 0 {
		r.checkTable(&b)
	}
	if len(r.rows) > 0 {
		r.explain(&b)
		r.goalTable(&b)
		for _, group := range groups(r.rows) {
			lossTable(&b, group)
		}
		r.releasedTable(&b)
	}
	if len(r.skipped) > 0 {
		fmt.Fprintf(&b, "\n## Skipped\n\n")
		for _, line := range r.skipped {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	return b.String()
}

func (r *results) describe(b *strings.Builder) {
	fmt.Fprintf(b, "# The losses on a GPU\n\n")
	if r.stopped != nil {
		fmt.Fprintf(b, "**The run stopped before its end:** %s\n\n", oneLine(r.stopped.Error()))
	}
	fmt.Fprintf(b, "Made on %s by\n\n```sh\n%s\n```\n\n", r.date.Format("2006-01-02 15:04 MST"), r.command)
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	fieldRows(b, r.device)
	r.machine.Rows(b)
	if p := r.peer; p != nil {
		fmt.Fprintf(b, "| Compared with | PyTorch %s (CUDA %s, Triton %s, NumPy %s, Python %s) on %s |\n", p.Torch, p.CUDA, p.Triton, p.NumPy, p.Python, p.Device)
	} else {
		fmt.Fprintf(b, "| Compared with | nothing |\n")
	}
	if len(r.before)+len(r.after) == 0 {
		return
	}
	fmt.Fprintf(b, "\nThe settings of the device were not changed. nvidia-smi:\n\n")
	smiTable(b, r.before, r.after)
}

// fieldRows has a row of a table for each field.
func fieldRows(b *strings.Builder, fields []field) {
	for _, f := range fields {
		fmt.Fprintf(b, "| %s | %s |\n", f.Name, f.Value)
	}
}

// smiTable compares the state of the device before and after a run.
func smiTable(b *strings.Builder, before, after []field) {
	fmt.Fprintf(b, "| | before | after |\n|---|---|---|\n")
	values := map[string]string{}
	for _, f := range after {
		values[f.Name] = f.Value
	}
	for _, f := range before {
		fmt.Fprintf(b, "| %s | %s | %s |\n", f.Name, f.Value, values[f.Name])
	}
}

func (r *results) checkTable(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Checks\n\n| | what | outcome | s |\n|---|---|---|--:|\n")
	for _, c := range r.checks {
		fmt.Fprintf(b, "| %s | %s | %s | %.1f |\n", c.name, c.what, c.outcome, c.took.Seconds())
	}
}

func (r *results) explain(b *strings.Builder) {
	withPeer := ""
	if r.peer != nil {
		withPeer = ", and the value\nand the sums of the gradient with PyTorch's"
	}
	fmt.Fprintf(b, `
## Measurements

Times are medians of %s. A turn is the mean of as many calls as fill it, between two
events of the device, after a quarter as many that bring it up to its clock frequency;
results.csv has the shortest and longest turns too. Turns of afl, of copies and of
PyTorch alternate. Calls rotate through several sets of buffers, so that what one reads
is no longer in the second-level cache. "Calls" are made one by one without waiting,
"graph" replays them captured in a graph. GB/s counts each logit and label read once per
pass and each gradient written once; A-FL reads the label once more for its statistics,
and an overlap loss with its gradient takes two passes. "Of copy" is the fraction of the
rate of a copy on the device that moves the same number of bytes, read and written,
measured in the same way. The last columns are PyTorch's times on the same device and
their ratios to the time of the calls. PyTorch's gradient is made by autograd, and its
half-precision logits are converted to float32 first. Before a loss was timed, its value
and gradient were compared with the CPU's%s. The
kinds of calls besides class indices are measured without PyTorch.
`, report.Plural(r.turns, "turn"), withPeer)
}

func (r *results) goalTable(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Goals\n\n| | minimum | met by | geometric mean | lowest | where |\n|---|--:|--:|--:|--:|---|\n")
	for _, g := range goals {
		o := g.judge(r.rows)
		if o.worst == nil {
			fmt.Fprintf(b, "| %s | ≥ %v | not measured | – | – | |\n", g.text, g.minimum)
			continue
		}
		fmt.Fprintf(b, "| %s | ≥ %v | %d of %d | %s | %s | %s |\n", g.text, g.minimum, o.met, len(o.values),
			report.Number(report.GeometricMean(o.values)), report.Number(g.of(o.worst)), o.worst)
	}
}

// groups splits the rows into tables: by size, types, kind of call and pass.
func groups(rows []*row) [][]*row {
	type key struct {
		size     workload.Size
		types    types
		call     workload.Call
		gradient bool
	}
	return report.GroupBy(rows, func(r *row) key { return key{r.size, r.types, r.call, r.gradient} })
}

// lossTable has a line for each loss.
func lossTable(b *strings.Builder, rows []*row) {
	first := rows[0]
	fmt.Fprintf(b, "\n### %s, %s, %s\n\n", first.pass(), first.size, first.kind())
	fmt.Fprintf(b, "| | calls µs | GB/s | of copy | graph µs | GB/s | of copy | PyTorch µs | times | compiled µs | times |\n|---|%s\n", strings.Repeat("--:|", 10))
	for _, r := range rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.title,
			micro(r.calls), giga(r.rate(r.calls)), report.Percent(r.share()),
			micro(r.graph), giga(r.rate(r.graph)), report.Percent(r.graphShare()),
			r.peerCell(eager), report.Number(r.ratio(eager)), r.peerCell(compiled), report.Number(r.ratio(compiled)))
	}
	var eagers, compileds []float64
	for _, r := range rows {
		if v := r.ratio(eager); !math.IsNaN(v) {
			eagers = append(eagers, v)
		}
		if v := r.ratio(compiled); !math.IsNaN(v) {
			compileds = append(compileds, v)
		}
	}
	fmt.Fprintf(b, "\nA copy of the first line's bytes ran at %s GB/s, and at %s in a graph.", giga(first.rate(first.copies)), giga(first.rate(first.copyGraph)))
	if len(eagers) > 0 {
		fmt.Fprintf(b, " Geometric means of the times as fast: %s", report.Number(report.GeometricMean(eagers)))
		if len(compileds) > 0 {
			fmt.Fprintf(b, ", compiled %s", report.Number(report.GeometricMean(compileds)))
		}
		fmt.Fprint(b, ".")
	}
	fmt.Fprintln(b)
	for _, r := range rows {
		for _, how := range modes {
			if why := r.failed[how]; why != "" {
				fmt.Fprintf(b, "\n%s, PyTorch (%s) failed: %s\n", r.title, how, oneLine(why))
			}
		}
	}
}

// releasedTable compares A-FL with the step of the released code.
func (r *results) releasedTable(b *strings.Builder) {
	var rows []*row
	for _, row := range r.rows {
		if len(row.peers[released]) > 0 {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, `
### A-FL's step as released

At every step the authors' released code computes the label's statistics on the CPU
with NumPy, and the loss and its gradient on the GPU.

| | calls µs | as released µs | times |
|---|--:|--:|--:|
`)
	for _, row := range rows {
		fmt.Fprintf(b, "| %s, %s | %s | %s | %s |\n", row.size, row.types, micro(row.calls), micro(row.peers[released]), report.Number(row.ratio(released)))
	}
}

func (r *row) peerCell(how mode) string {
	if r.failed[how] != "" {
		return "failed"
	}
	return micro(r.peers[how])
}

func micro(s timing.Samples) string { return report.Number(1e6 * s.Median()) }

func giga(rate float64) string { return report.Number(rate / 1e9) }

// oneLine puts a message on one line of Markdown.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
