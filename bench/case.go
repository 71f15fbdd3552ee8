package main

import (
	"fmt"
	"math"
	"time"

	"github.com/x/afl"
	"github.com/x/afl/internal/workload"
)

// benchmark is a computation to time here and in the peer. Both return its values,
// which must agree.
type benchmark struct {
	name, title string
	pass        string         // what is computed
	work        *workload.Work // nil if it is not counted
	run         func() ([]float64, error)
	// runPeer times the same computation in the peer with so many threads.
	runPeer func(p *peer, threads int, atLeast time.Duration) (measured, error)
}

// The passes of a loss.
const (
	passForward  = "forward"
	passGradient = "forward+gradient"
	passSurface  = "HD+ASD+surface Dice"
)

// surfaceTolerance is that of the surface Dice, in mm.
const surfaceTolerance = 1.0

// lossBenchmarks returns the forward pass of a loss on a batch, and the forward pass
// with the gradient, which is written to the batch's own tensor.
func lossBenchmarks(name string, b *workload.Batch) ([]*benchmark, error) {
	l, err := afl.ByName(name)
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
		w, err := workload.Count(l, b.Size, workload.Float32Uint8, gradient)
		if err != nil {
			return nil, fmt.Errorf("loss %s: %w", name, err)
		}
		grad := b.Grad
		if !gradient {
			grad = nil
		}
		list = append(list, &benchmark{
			name: name, title: title, pass: pass, work: &w,
			run: func() ([]float64, error) {
				v, err := afl.GradInto(l, b.Logits, b.Labels, grad)
				return []float64{v}, err
			},
			runPeer: func(p *peer, threads int, atLeast time.Duration) (measured, error) {
				return p.loss(name, gradient, threads, atLeast)
			},
		})
	}
	return list, nil
}

// surfaceBenchmark measures the Hausdorff distance, the average surface distance and
// the surface Dice of two masks. SciPy's distance transform uses one core whatever
// the number of threads.
func surfaceBenchmark(s workload.Size, m workload.MaskPair) *benchmark {
	return &benchmark{
		name: "surface-" + m.Name, title: "Surfaces of " + m.Name, pass: passSurface,
		run: func() ([]float64, error) {
			d, err := afl.NewSurfaceDistances(m.Prediction, m.Reference, s.Spacing[:])
			if err != nil {
				return nil, err
			}
			dice, err := d.SurfaceDice(surfaceTolerance)
			return []float64{d.Hausdorff(), d.Average(), dice}, err
		},
		runPeer: func(p *peer, _ int, atLeast time.Duration) (measured, error) {
			return p.surface(s.Spacing, atLeast)
		},
	}
}

// agree compares values with those of the peer, which sums in float32.
func agree(ours, peers []float64) error {
	if len(ours) != len(peers) {
		return fmt.Errorf("%d values here, %d in PyTorch", len(ours), len(peers))
	}
	for i, a := range ours {
		b := peers[i]
		if !(math.Abs(a-b) <= 2e-5*math.Abs(b)+1e-6) {
			return fmt.Errorf("value %v here, %v in PyTorch: not the same computation", a, b)
		}
	}
	return nil
}
