package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/internal/atomicfile"
)

// writeReport writes README.md and steps.png, which merge the results of all parts and runs.
func (all *records) writeReport(folder string) error {
	var b strings.Builder
	fmt.Fprint(&b, "# Checks and measurements on a GPU\n\n")
	all.describe(&b)
	if err := all.partTable(&b, folder); err != nil {
		return err
	}
	steps, err := readSteps(folder)
	if err != nil {
		return err
	}
	if len(steps) > 0 {
		stepTable(&b, steps)
		if err := writeStepChart(filepath.Join(folder, "steps.png"), steps); err != nil {
			return err
		}
	}
	for _, p := range all.Parts {
		if strings.HasPrefix(p.Name, "steps-") || strings.HasPrefix(p.Name, "losses-") {
			continue // merged above, or a report of its own
		}
		if err := include(&b, folder, p.Name); err != nil {
			return err
		}
	}
	return atomicfile.WriteString(filepath.Join(folder, "README.md"), b.String())
}

// describe says what ran where.
func (all *records) describe(b *strings.Builder) {
	fmt.Fprint(b, "Made by\n\n```sh\n")
	for _, c := range all.Calls {
		fmt.Fprintf(b, "%s   # %s\n", c.Command, c.Date)
	}
	fmt.Fprint(b, "```\n\n")
	if len(all.Calls) == 0 {
		return
	}
	c := all.Calls[len(all.Calls)-1]
	c.Machine.Commit = c.Commit
	fmt.Fprint(b, "| | |\n|---|---|\n")
	fieldRows(b, c.Device)
	c.Machine.Rows(b)
	fmt.Fprintf(b, "| PyTorch | %s |\n", oneLine(c.PyTorch))
	for i, c := range all.Calls {
		if len(c.Before) == 0 {
			continue
		}
		fmt.Fprintf(b, "\nnvidia-smi, run %d; the settings were not changed:\n\n", i+1)
		smiTable(b, c.Before, c.After)
	}
}

// partTable has a line for every part.
func (all *records) partTable(b *strings.Builder, folder string) error {
	fmt.Fprint(b, "\n## Parts\n\n| part | what | outcome | s | results |\n|---|---|---|--:|---|\n")
	var wrong []*record
	for _, p := range all.Parts {
		outcome := p.Outcome
		switch {
		case p.Outcome == failed:
			wrong = append(wrong, p)
			outcome = "**failed**"
		case p.Reason != "":
			outcome += ": " + oneLine(p.Reason)
		}
		var links []string
		for _, name := range []string{p.Name + "/README.md", p.Name + "/steps.md", p.Name + "/convolutions.md", p.Name + "/shapes.md", p.Name + ".md", p.Name + ".log"} {
			if info, err := os.Stat(filepath.Join(folder, name)); err == nil && info.Size() > 0 {
				links = append(links, fmt.Sprintf("[%s](%s)", filepath.Base(name), name))
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %.0f | %s |\n", p.Name, p.About, outcome, p.Seconds, strings.Join(links, ", "))
	}
	for _, p := range wrong {
		fmt.Fprintf(b, "\n%s failed:\n\n```\n%s\n```\n", p.Name, p.Reason)
	}
	return nil
}

// include adds the report of a part, with its headings two levels lower.
func include(b *strings.Builder, folder, name string) error {
	for _, path := range []string{filepath.Join(folder, name, "convolutions.md"), filepath.Join(folder, name+".md")} {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(b)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				line = "#" + line
			}
			b.WriteString(line)
		}
		return nil
	}
	return nil
}

// stepTable compares the training steps.
func stepTable(b *strings.Builder, steps []step) {
	fmt.Fprint(b, "\n## Training steps\n\nMilliseconds of the shortest step: forward pass, adaptive focal loss, backward pass and update. PyTorch runs in the\nsame precision with channels_last_3d and cudnn.benchmark. The last columns are its time over ours; above 1, we are faster.\n\n")
	fmt.Fprint(b, "| network | input | precision | own kernels | cuDNN | PyTorch | over own | over cuDNN |\n|---|---|---|--:|--:|--:|--:|--:|\n")
	for _, group := range report.GroupBy(steps, func(s step) string { return s.part }) {
		var own, cudnn []float64
		for _, s := range group {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", s.network, s.input, s.precision,
				report.Number(1e3*s.own), report.Number(1e3*s.cudnn), report.Number(1e3*s.peer), report.Number(s.peer/s.own), report.Number(s.peer/s.cudnn))
			if r := s.peer / s.own; !math.IsNaN(r) {
				own = append(own, r)
			}
			if r := s.peer / s.cudnn; !math.IsNaN(r) {
				cudnn = append(cudnn, r)
			}
		}
		fmt.Fprintf(b, "| geometric mean | | %s | | | | %s | %s |\n", group[0].precision, report.Number(report.GeometricMean(own)), report.Number(report.GeometricMean(cudnn)))
	}
}

// writeStepChart draws the ratios of the steps: a group for each network, a color for each part.
func writeStepChart(path string, steps []step) error {
	c := report.Bars{Title: "Training step: time of PyTorch over time of afl, own kernels", Axis: "times as fast as PyTorch"}
	group := map[string]int{}
	for _, s := range steps {
		if _, ok := group[s.network]; !ok {
			group[s.network] = len(c.Groups)
			c.Groups = append(c.Groups, s.network)
		}
	}
	at := map[string]int{}
	for _, s := range steps {
		ratio := s.peer / s.own
		if math.IsNaN(ratio) {
			continue
		}
		name := strings.ReplaceAll(strings.TrimPrefix(s.part, "steps-"), "-", ", ")
		if _, ok := at[name]; !ok {
			at[name] = len(c.Series)
			c.Series = append(c.Series, report.NewSeries(name, len(c.Groups)))
		}
		c.Series[at[name]].Ratios[group[s.network]] = ratio
	}
	if len(c.Series) == 0 {
		return nil // nothing to compare with
	}
	return c.Write(path)
}
