// Package infer runs a network over a volume of any size, window by window ([Plan]), and
// makes label maps and probabilities of one or several networks' logits ([Mean]).
//
// # Windows
//
// Along each axis, windows of the given size start at 0, step, 2·step, … with
// step = max(1, ⌊size·(1−overlap)⌋), until one reaches the end of the axis; that
// window is moved back so that it ends with the axis. Each combination of the axes'
// windows is one pass of the network. Where windows overlap, their logits are averaged,
// either with equal weights or with weights that decrease from a window's center. This
// is the sliding window of the paper's released code, whose library defaults to equal
// weights and an overlap of a quarter.
//
// # Padding
//
// A window at least as long as the axis covers it at once: the axis is padded with
// zeros at both ends (the odd voxel at the end) to the next length that the network
// accepts and no further, exactly as in training and validation. A window that covers
// the whole volume therefore gives the same logits as validation, bit for bit.
package infer

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// Blend is a method of averaging overlapping windows.
type Blend string

const (
	// Constant gives every voxel of a window the same weight.
	Constant Blend = "constant"
	// Gaussian weights voxels by their distance from the window's center, with a
	// standard deviation of an eighth of the window along each axis. Predictions are
	// worst at a window's border, where the network sees context on one side only.
	Gaussian Blend = "gaussian"
)

// DefaultOverlap is the fraction of a window that the next one overlaps in the paper's
// released code.
const DefaultOverlap = 0.25

// Window describes how a volume is covered by windows.
type Window struct {
	// Size is the window size in voxels along X, Y and Z. Zero covers the whole axis.
	// A length that the network does not accept is rounded up to the next one that it
	// does.
	Size [3]int
	// Overlap is the fraction of a window that the next one overlaps, in [0, 1).
	Overlap float64
	// Blend is the method of averaging overlapping windows. Default Constant.
	Blend Blend
}

// Check returns an error for a negative Size, an Overlap outside [0, 1) and an unknown Blend.
func (w Window) Check() error {
	for _, n := range w.Size {
		if n < 0 {
			return fmt.Errorf("infer: Window.Size is %v; it must not be negative", w.Size)
		}
	}
	if !(w.Overlap >= 0 && w.Overlap < 1) {
		return fmt.Errorf("infer: Window.Overlap is %v; it must be at least 0 and less than 1", w.Overlap)
	}
	if w.Blend != "" && w.Blend != Constant && w.Blend != Gaussian {
		return fmt.Errorf("infer: Window.Blend is %q, want %q or %q", w.Blend, Constant, Gaussian)
	}
	return nil
}

// Plan holds the windows that cover a volume of a given size.
type Plan struct {
	// Size is the size of every window.
	Size [3]int
	// Count is the number of windows.
	Count int

	volume [3]int
	axes   [3]axis
}

// NewPlan returns a plan that covers a volume of the given size with windows that the
// network accepts.
func NewPlan(net nn.Network, volume [3]int, w Window) (*Plan, error) {
	if err := w.Check(); err != nil {
		return nil, err
	}
	p := &Plan{Count: 1, volume: volume}
	multiple := nn.SizeMultiple(net)
	for i, n := range volume {
		if n < 1 {
			return nil, fmt.Errorf("infer: the volume has %v voxels; every axis must be at least 1", volume)
		}
		p.axes[i] = newAxis(n, w.Size[i], multiple[i], w.Overlap, w.Blend)
		p.Size[i] = p.axes[i].size
		p.Count *= len(p.axes[i].starts)
	}
	if err := net.CheckSize(p.Size); err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	return p, nil
}

// Logits returns the network's logits for an image, float32 1×C×X×Y×Z of the plan's
// size, as float32 1×K×X×Y×Z. If progress is not nil, it is called after each window
// with the number of windows done. When ctx is done, Logits stops after the current
// window and returns ctx's error. A logit that is NaN or infinite is a *nn.NonFiniteError.
func (p *Plan) Logits(ctx context.Context, b nn.Backend, net nn.Network, image *tensor.Dense, progress func(done int)) (*tensor.Dense, error) {
	if image == nil || image.Dtype() != tensor.Float32 || image.RequiresIterator() || !image.DataOrder().IsRowMajor() {
		return nil, errors.New("infer: the image must be float32 and contiguous")
	}
	if s := image.Shape(); len(s) != 5 || s[0] != 1 || [3]int(s[2:]) != p.volume {
		return nil, fmt.Errorf("infer: the image has shape %v, want 1×C×%d×%d×%d", []int(s), p.volume[0], p.volume[1], p.volume[2])
	}
	r := &run{plan: p, backend: b, net: net, image: image}
	done := 0
	for x := range p.axes[0].starts {
		for y := range p.axes[1].starts {
			for z := range p.axes[2].starts {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				if err := r.window([3]int{x, y, z}); err != nil {
					return nil, err
				}
				done++
				if progress != nil {
					progress(done)
				}
			}
		}
	}
	out := make([]float32, len(r.sum))
	for i, v := range r.sum {
		out[i] = float32(v)
	}
	return tensor.New(tensor.WithShape(1, r.channels, p.volume[0], p.volume[1], p.volume[2]), tensor.WithBacking(out)), nil
}

// axis holds the windows along one axis.
type axis struct {
	size   int         // window size
	starts []int       // window starts; negative if the axis is padded
	weight [][]float64 // by window and voxel; the weights of a voxel sum to one
}

func newAxis(n, size, multiple int, overlap float64, blend Blend) axis {
	if size == 0 || size > n {
		size = n
	}
	size = (size + multiple - 1) / multiple * multiple
	a := axis{size: size}
	if size >= n {
		a.starts = []int{-((size - n) / 2)}
	} else {
		step := max(1, int(float64(size)*(1-overlap)))
		for at := 0; ; at += step {
			a.starts = append(a.starts, min(at, n-size))
			if at >= n-size {
				break
			}
		}
	}
	profile := make([]float64, size)
	for i := range profile {
		profile[i] = 1
		if blend == Gaussian {
			d := (float64(i) - float64(size-1)/2) / (float64(size) / 8)
			profile[i] = math.Exp(-d * d / 2)
		}
	}
	total := make([]float64, n)
	each := func(do func(window, voxel, inside int)) {
		for w, start := range a.starts {
			for i := max(0, -start); i < size && start+i < n; i++ {
				do(w, start+i, i)
			}
		}
	}
	each(func(_, voxel, inside int) { total[voxel] += profile[inside] })
	a.weight = make([][]float64, len(a.starts))
	for w := range a.weight {
		a.weight[w] = make([]float64, size)
	}
	each(func(w, voxel, inside int) { a.weight[w][inside] = profile[inside] / total[voxel] })
	return a
}

// run is the state of one call of Logits.
type run struct {
	plan    *Plan
	backend nn.Backend
	net     nn.Network
	image   *tensor.Dense

	part, logits *tensor.Dense // buffers of a window, reused
	channels     int           // number of channels of the logits
	sum          []float64     // weighted logits of the whole volume
}

// window predicts the window with the given index along each axis and adds its weighted
// logits to the sum.
func (r *run) window(index [3]int) error {
	defer r.backend.EndStep()
	var start [3]int
	var weight [3][]float64
	for i, a := range r.plan.axes {
		start[i], weight[i] = a.starts[index[i]], a.weight[index[i]]
	}
	shape := r.image.Shape()
	if r.part == nil {
		r.part = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, shape[1], r.plan.Size[0], r.plan.Size[1], r.plan.Size[2]))
	}
	part, image := r.part.Data().([]float32), r.image.Data().([]float32)
	r.rows(shape[1], start, func(_, _, inside, whole, n int) { copy(part[inside:inside+n], image[whole:]) })

	x, err := r.backend.FromHost(r.part, nn.Step)
	if err != nil {
		return fmt.Errorf("infer: %w", err)
	}
	tape := nn.NewTape(r.backend, nn.Inference, 0)
	y, err := r.net.Forward(tape, tape.Input(x))
	if err != nil {
		return fmt.Errorf("infer: %w", err)
	}
	if r.logits == nil {
		r.logits = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(y.Shape()...))
		r.channels = y.Shape()[1]
		r.sum = make([]float64, r.channels*shape[2]*shape[3]*shape[4])
	}
	if err := r.backend.ToHost(y.Array(), r.logits); err != nil {
		return fmt.Errorf("infer: %w", err)
	}
	logits := r.logits.Data().([]float32)
	if bad, found := nn.FirstNonFinite(logits); found {
		return fmt.Errorf("infer: window at %v: %w", start, &nn.NonFiniteError{Value: float64(bad)})
	}
	r.rows(r.channels, start, func(i, j, inside, whole, n int) {
		k := max(0, -start[2])
		for z := range n {
			v := float64(logits[inside+z])
			r.sum[whole+z] += float64(float64(weight[0][i]*weight[1][j]) * weight[2][k+z] * v)
		}
	})
	return nil
}

// rows calls do for every row along Z, in every channel, of the part of a window that is
// inside the volume. The arguments are the row's X and Y in the window, its offsets in
// the window and in the volume, and its length.
func (r *run) rows(channels int, start [3]int, do func(i, j, inside, whole, n int)) {
	shape := r.image.Shape()
	var lo, hi [3]int
	for axis, s := range start {
		lo[axis], hi[axis] = max(0, -s), min(r.plan.Size[axis], shape[2+axis]-s)
	}
	for c := range channels {
		for i := lo[0]; i < hi[0]; i++ {
			for j := lo[1]; j < hi[1]; j++ {
				inside := ((c*r.plan.Size[0]+i)*r.plan.Size[1]+j)*r.plan.Size[2] + lo[2]
				whole := ((c*shape[2]+start[0]+i)*shape[3]+start[1]+j)*shape[4] + start[2] + lo[2]
				do(i, j, inside, whole, hi[2]-lo[2])
			}
		}
	}
}
