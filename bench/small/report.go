package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/internal/atomicfile"
)

// results are those of a run.
type results struct {
	command               string
	date                  time.Time
	machine               report.Machine
	loadBefore, loadAfter string
	config                config
	peer                  struct{ Python, Torch, SciPy string } // empty without one
	rows                  []*row
}

// unit returns the shortest time of the benchmark that a row's cost is relative to.
func (r *results) unit(of *row) float64 {
	for _, o := range r.rows {
		if o.size.name == of.size.name && o.content == of.content && o.benchmark.name == of.benchmark.relative {
			return o.afl.Min()
		}
	}
	return math.NaN()
}

// write writes README.md, results.csv and, with a peer, ratios.png.
func (r *results) write(folder string) error {
	files := map[string]func() ([]byte, error){"README.md": r.markdown, "results.csv": r.csv}
	for name, content := range files {
		text, err := content()
		if err != nil {
			return err
		}
		if err := atomicfile.Write(filepath.Join(folder, name), func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		}); err != nil {
			return err
		}
	}
	if r.peer.Torch == "" {
		return nil
	}
	return r.chart(filepath.Join(folder, "ratios.png"))
}

func (r *results) markdown() ([]byte, error) {
	var b strings.Builder
	b.WriteString("# Losses for small lesions\n\n| | |\n|---|---|\n")
	fmt.Fprintf(&b, "| Date | %s |\n| Command | `%s` |\n", r.date.Format(time.DateOnly), r.command)
	r.machine.Rows(&b)
	if r.peer.Torch != "" {
		fmt.Fprintf(&b, "| Compared with | PyTorch %s and SciPy %s on Python %s |\n", r.peer.Torch, r.peer.SciPy, r.peer.Python)
	}
	fmt.Fprintf(&b, "| Load before and after | %s, %s |\n\n", r.loadBefore, r.loadAfter)
	b.WriteString(`Loss and gradient of one image of float32 logits in two channels, or in four with lesions of
three classes, of 3×3×3 voxels, on all cores: the shortest of all calls. Ratio: PyTorch's time
over afl's. Cost: afl's time over that of its cross-entropy, and for the blob loss over that of
the loss inside, Dice + BCE of one channel. PyTorch runs the arithmetic of MONAI or of the
authors by plain operations, with SciPy's distance transforms and, for the blob loss, a loss of
the image for each lesion.
`)
	groups := report.GroupBy(r.rows, func(o *row) string { return fmt.Sprint(o.size.name, o.content) })
	for _, g := range groups {
		s := g[0].size
		fmt.Fprintf(&b, "\n## %d×%d×%d, %v\n\n| Loss | afl ms | PyTorch ms | Ratio | Cost |\n|---|---:|---:|---:|---:|\n", s.shape[0], s.shape[1], s.shape[2], g[0].content)
		for _, o := range g {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", o.benchmark.title, report.Number(1e3*o.afl.Min()), report.Number(1e3*o.peer.Min()), report.Number(o.peer.Min()/o.afl.Min()), report.Number(o.afl.Min()/r.unit(o)))
		}
	}
	return []byte(b.String()), nil
}

func (r *results) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"loss", "size", "channels", "lesions", "afl_min_s", "afl_median_s", "afl_calls", "peer_min_s", "peer_median_s", "peer_calls", "peer_over_afl", "cost_relative_to", "cost", "value", "peer_value"})
	for _, o := range r.rows {
		w.Write([]string{o.benchmark.name, fmt.Sprintf("%dx%dx%d", o.size.shape[0], o.size.shape[1], o.size.shape[2]), strconv.Itoa(o.content.channels), strconv.Itoa(o.content.lesions),
			report.Cell(o.afl.Min()), report.Cell(o.afl.Median()), strconv.Itoa(len(o.afl)),
			report.Cell(o.peer.Min()), report.Cell(o.peer.Median()), strconv.Itoa(len(o.peer)),
			report.Cell(o.peer.Min() / o.afl.Min()), o.benchmark.relative, report.Cell(o.afl.Min() / r.unit(o)),
			report.Cell(o.value), report.Cell(o.want)})
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// chart draws the ratios: a group for each loss, a color for each size and number of lesions.
func (r *results) chart(path string) error {
	c := report.Bars{Title: "Time of PyTorch and SciPy over time of afl, loss and gradient", Axis: "times as fast"}
	for _, b := range r.config.benchmarks {
		c.Groups = append(c.Groups, b.name)
	}
	for _, o := range r.rows {
		if len(o.peer) == 0 {
			continue
		}
		name := fmt.Sprintf("%s, %v", o.size.name, o.content)
		at := slices.IndexFunc(c.Series, func(s report.Series) bool { return s.Name == name })
		if at < 0 {
			at = len(c.Series)
			c.Series = append(c.Series, report.NewSeries(name, len(c.Groups)))
		}
		c.Series[at].Ratios[slices.Index(c.Groups, o.benchmark.name)] = o.peer.Min() / o.afl.Min()
	}
	return c.Write(path)
}
