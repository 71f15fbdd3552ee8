package main

import (
	"fmt"
	"math"

	"github.com/x/afl"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
)

// element is the type of a tensor's numbers.
type element struct {
	name  string // as NumPy and PyTorch know it
	bytes int
}

var (
	float32s  = element{"float32", 4}
	float16s  = element{"float16", 2}
	bfloat16s = element{"bfloat16", 2}
	uint8s    = element{"uint8", 1}
	int64s    = element{"int64", 8}
)

// types are those of a batch's logits and labels.
type types struct{ logits, labels element }

func (t types) String() string { return t.logits.name + " logits, " + t.labels.name + " labels" }

// The passes of a loss.
const (
	passForward  = "forward"
	passGradient = "forward+gradient"
)

// row is one loss, forward or with its gradient, on one batch.
type row struct {
	loss, title string
	gradient    bool
	size        workload.Size
	types       types
	call        workload.Call // the zero value is class indices
	work        workload.Work
	sets        int // of buffers, through which the calls rotate

	// Seconds of a call, one sample per turn: of calls made one by one, calls in a
	// captured graph, and in both ways copies on the device that move the same bytes.
	calls, graph, copies, copyGraph timing.Samples
	peers                           map[mode]timing.Samples

	value      float64
	peerValues map[mode]float64
	compiling  float64         // seconds that PyTorch's compiler took
	failed     map[mode]string // why PyTorch has no times
}

func newRow(loss string, gradient bool, s workload.Size, t types, call workload.Call) (*row, error) {
	l, err := call.NewLoss(loss)
	if err != nil {
		return nil, err
	}
	title, err := afl.Title(loss)
	if err != nil {
		return nil, err
	}
	work, err := workload.Count(l, s, workload.Elements{Logit: t.logits.bytes, Label: t.labels.bytes}, gradient)
	if isOther(call) {
		work, err = call.Count(l, s, gradient)
	}
	return &row{
		loss: loss, title: title, gradient: gradient, size: s, types: t, call: call, work: work,
		peers: map[mode]timing.Samples{}, peerValues: map[mode]float64{}, failed: map[mode]string{},
	}, err
}

func (r *row) pass() string {
	if r.gradient {
		return passGradient
	}
	return passForward
}

func (r *row) String() string {
	return fmt.Sprintf("%s, %s, %s, %s", r.loss, r.pass(), r.size, r.kind())
}

// kind names what the loss is evaluated on.
func (r *row) kind() string {
	if isOther(r.call) {
		return r.types.String() + ", " + r.call.Title
	}
	return r.types.String()
}

// isOther reports whether a call differs from that of class indices.
func isOther(c workload.Call) bool { return c != workload.Call{} }

// rate is the rate in bytes per second at which the bytes that must move were moved.
func (r *row) rate(s timing.Samples) float64 { return float64(r.work.Bytes) / s.Median() }

// share is the fraction of the copies' rate that the calls reach, graphShare that in a
// graph.
func (r *row) share() float64      { return r.copies.Median() / r.calls.Median() }
func (r *row) graphShare() float64 { return r.copyGraph.Median() / r.graph.Median() }

// ratio is PyTorch's time over that of the calls; NaN if PyTorch has none.
func (r *row) ratio(how mode) float64 { return r.peers[how].Median() / r.calls.Median() }

// goal is a minimum for a number of every row of some kind.
type goal struct {
	text    string
	minimum float64
	of      func(*row) float64 // NaN for a row of another kind
}

var goals = []goal{
	{"share of the copies' rate, from the BraTS size up", 0.85, func(r *row) float64 {
		if r.size.Voxels() < workload.BraTS.Voxels() {
			return math.NaN()
		}
		return r.share()
	}},
	{"times as fast as PyTorch", 5, func(r *row) float64 { return r.ratio(eager) }},
	{"times as fast as PyTorch with torch.compile", 1.5, func(r *row) float64 { return r.ratio(compiled) }},
	{"A-FL's step: times as fast as one whose statistics are the CPU's", 100, func(r *row) float64 { return r.ratio(released) }},
}

// outcome says how far the rows reach a goal.
type outcome struct {
	goal
	values []float64
	met    int
	worst  *row // nil without rows
}

func (g goal) judge(rows []*row) outcome {
	o := outcome{goal: g}
	for _, r := range rows {
		v := g.of(r)
		if math.IsNaN(v) {
			continue
		}
		o.values = append(o.values, v)
		if v >= g.minimum {
			o.met++
		}
		if o.worst == nil || v < g.of(o.worst) {
			o.worst = r
		}
	}
	return o
}
