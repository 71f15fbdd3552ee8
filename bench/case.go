package main

import (
	"fmt"
	"iter"
	"math"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/edt"
	"github.com/x/afl/internal/workload"
)

// benchmark is a computation to time here and in the peer. Both return its values,
// which must agree.
type benchmark struct {
	name, title string
	call        workload.Call  // of a loss
	pass        string         // what is computed
	work        *workload.Work // nil if it is not counted
	run         func() error   // what is timed
	// values returns those of the last run.
	values func() []float64
	// plain computes the values of surface distances by plain transforms; nil for a loss.
	plain func() ([]float64, error)
	// runPeer times the same computation in a peer with so many threads.
	runPeer func(p contender, threads int, atLeast time.Duration) (measured, error)
}

// The passes of a loss.
const (
	passForward  = "forward"
	passGradient = "forward+gradient"
	passSurface  = "HD+ASD+surface Dice"
)

// surfaceTolerance is that of the surface Dice, in mm.
const surfaceTolerance = 1.0

// classIndices is the call that differs in nothing, of the tables of the losses.
var classIndices = workload.Call{Name: "class-indices", Title: "class indices"}

// lossBenchmarks returns the forward pass of a loss on the batch of a call, and the
// forward pass with the gradient, which is written to the batch's own tensor.
func lossBenchmarks(name string, c workload.Call, b *workload.Batch) ([]*benchmark, error) {
	l, err := c.NewLoss(name)
	if err != nil {
		return nil, err
	}
	title, err := afl.Title(name)
	if err != nil {
		return nil, err
	}
	var list []*benchmark
	for _, pass := range []string{passForward, passGradient} {
		gradient := pass == passGradient
		fail := func(err error) error { return fmt.Errorf("loss %s, %s: %w", name, c.Name, err) }
		w, err := c.Count(l, b.Size, gradient)
		if err != nil {
			return nil, fail(err)
		}
		options, err := c.EvalOptions(l, b, gradient)
		if err != nil {
			return nil, fail(err)
		}
		grad := b.Grad
		if !gradient {
			grad = nil
		}
		var value *tensor.Dense
		list = append(list, &benchmark{
			name: name, title: title, call: c, pass: pass, work: &w,
			run: func() (err error) {
				value, err = l.Eval(b.Logits, b.Labels, grad, options...)
				return err
			},
			values: func() []float64 { return lossValues(c, value, grad) },
			runPeer: func(p contender, threads int, atLeast time.Duration) (measured, error) {
				return p.loss(name, c, gradient, threads, atLeast)
			},
		})
	}
	return list, nil
}

// lossValues returns the loss and, where there is a gradient, the sums of its positive
// and negative numbers. An un-reduced loss is multiplied by the upstream gradient and
// summed.
func lossValues(c workload.Call, value, grad *tensor.Dense) []float64 {
	sum := 0.0
	for i, v := range floats(value) {
		if c.Unreduced {
			v *= workload.Factor(i)
		}
		sum += v
	}
	if grad == nil {
		return []float64{sum}
	}
	positive, negative := 0.0, 0.0
	for _, g := range floats(grad) {
		positive += max(g, 0)
		negative += min(g, 0)
	}
	return []float64{sum, positive, negative}
}

// floats iterates over the numbers of a float32 or float64 tensor.
func floats(t *tensor.Dense) iter.Seq2[int, float64] {
	return func(yield func(int, float64) bool) {
		switch data := t.Data().(type) {
		case float64:
			yield(0, data)
		case []float64:
			for i, x := range data {
				if !yield(i, x) {
					return
				}
			}
		case []float32:
			for i, x := range data {
				if !yield(i, float64(x)) {
					return
				}
			}
		default:
			panic(fmt.Sprintf("a tensor of %v", t.Dtype()))
		}
	}
}

// surfaces are the distances between two surfaces, over their voxels or their elements.
type surfaces interface {
	Hausdorff() float64
	Average() float64
	SurfaceDice(tolerance float64) (float64, error)
}

// surfaceBenchmark measures the Hausdorff distance, the average surface distance and
// the surface Dice of two masks. SciPy's distance transform uses one core whatever
// the number of threads.
func surfaceBenchmark(s workload.Size, m workload.MaskPair) *benchmark {
	b := distancesBenchmark(s, func() (surfaces, error) {
		return afl.NewSurfaceDistances(m.Prediction, m.Reference, s.Spacing[:])
	}, nil)
	b.name, b.title = "surface-"+m.Name, "Surfaces of "+m.Name
	b.plain = func() ([]float64, error) { return plainSurfaces(s, m) }
	return b
}

// elementsBenchmark measures the same over the elements of the surfaces, by area.
func elementsBenchmark(s workload.Size, m workload.MaskPair) *benchmark {
	areas := edt.NewAreas(edt.NewMask(s.Space), s.Spacing)
	b := distancesBenchmark(s, func() (surfaces, error) {
		return afl.NewSurfaceElementDistances(m.Prediction, m.Reference, s.Spacing[:])
	}, areas.ByCode[:])
	b.name, b.title = "surface-elements-"+m.Name, "Surface elements of "+m.Name
	b.plain = func() ([]float64, error) { return plainElements(s, m, areas) }
	return b
}

// distancesBenchmark measures surfaces without names. The areas are those of
// [peer.surface].
func distancesBenchmark(s workload.Size, measure func() (surfaces, error), areas []float64) *benchmark {
	var values []float64
	return &benchmark{
		pass: passSurface,
		run: func() error {
			d, err := measure()
			if err != nil {
				return err
			}
			dice, err := d.SurfaceDice(surfaceTolerance)
			values = []float64{d.Hausdorff(), d.Average(), dice}
			return err
		},
		values: func() []float64 { return values },
		runPeer: func(p contender, _ int, atLeast time.Duration) (measured, error) {
			return p.surface(s.Spacing, areas, atLeast)
		},
	}
}

// surfaceBenchmarks returns those of a pair of masks.
func surfaceBenchmarks(s workload.Size, m workload.MaskPair) []*benchmark {
	return []*benchmark{surfaceBenchmark(s, m), elementsBenchmark(s, m)}
}

// agree compares values with those of the peer, which sums in float32, to a relative
// tolerance.
func agree(ours, peers []float64, tolerance float64) error {
	if len(ours) != len(peers) {
		return fmt.Errorf("%d values here, %d in PyTorch", len(ours), len(peers))
	}
	for i, a := range ours {
		b := peers[i]
		if !(math.Abs(a-b) <= tolerance*math.Abs(b)+1e-6) {
			return fmt.Errorf("value %v here, %v in PyTorch: not the same computation", a, b)
		}
	}
	return nil
}
