//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// problem is a batch in Go memory, with logits in float64.
type problem struct {
	n, c  int
	space [3]int
	x     []float64
	plan.Target
}

func (p *problem) voxels() int { return p.space[0] * p.space[1] * p.space[2] }

// newProblem returns random logits, some of them so large that their probability is 0 or
// 1 in float32, and labels some of which are ignored.
func newProblem(n, c int, space [3]int, seed uint64) *problem {
	r := rand.New(rand.NewPCG(seed, 1))
	p := &problem{n: n, c: c, space: space}
	p.x = make([]float64, n*c*p.voxels())
	for i := range p.x {
		p.x[i] = 3 * r.NormFloat64()
		if r.IntN(20) == 0 {
			p.x[i] *= 40
		}
	}
	labels := make([]int64, n*p.voxels())
	for i := range labels {
		labels[i] = int64(r.IntN(max(c, 2)))
		if r.IntN(9) == 0 {
			labels[i] = -7
		}
	}
	p.Target = plan.Target{Argument: "target", Ignore: -7, HasIgnore: true,
		Tensor: tensor.New(tensor.WithShape(n, p.voxels()), tensor.WithBacking(labels))}
	return p
}

// logits returns the logits in a type, and the rounded values in float64.
func (p *problem) logits(dt tensor.Dtype) (typed *tensor.Dense, exact []float64) {
	exact = slices.Clone(p.x)
	var backing any
	switch dt {
	case tensor.Float64:
		backing = p.x
	case tensor.Float32:
		x := make([]float32, len(p.x))
		for i, v := range p.x {
			x[i] = float32(v)
			exact[i] = float64(x[i])
		}
		backing = x
	case Float16:
		x := make([]F16, len(p.x))
		for i, v := range p.x {
			x[i] = NewF16(float32(v))
			exact[i] = float64(x[i].Float32())
		}
		backing = x
	case BFloat16:
		x := make([]BF16, len(p.x))
		for i, v := range p.x {
			x[i] = NewBF16(float32(v))
			exact[i] = float64(x[i].Float32())
		}
		backing = x
	}
	return tensor.New(tensor.WithShape(p.n, p.c, p.voxels()), tensor.WithBacking(backing)), exact
}

func (p *problem) batch(logits, label *tensor.Dense) *plan.Batch {
	b := &plan.Batch{N: p.n, C: p.c, V: p.voxels(), Space: p.space, Logits: logits, Target: p.Target}
	b.Target.Tensor = label
	return b
}

// onCPU evaluates a loss in float64 on the CPU.
func (p *problem) onCPU(t testing.TB, x []float64, l *plan.Loss) (value float64, grad []float64) {
	t.Helper()
	g := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(p.n, p.c, p.voxels()))
	b := p.batch(tensor.New(tensor.WithShape(p.n, p.c, p.voxels()), tensor.WithBacking(slices.Clone(x))), p.Tensor)
	v, err := cpu.Backend{}.Eval(b, l, &plan.Call{Grad: g})
	require.NoError(t, err)
	value, err = plan.Number(v)
	require.NoError(t, err)
	return value, g.Data().([]float64)
}

// onDevice evaluates a loss on an engine.
func (p *problem) onDevice(t testing.TB, e *Engine, logits *tensor.Dense, l *plan.Loss) (value float64, grad []float64) {
	t.Helper()
	d, err := e.Upload(logits)
	require.NoError(t, err)
	label, err := e.Upload(p.Tensor)
	require.NoError(t, err)
	g, err := e.Upload(logits)
	require.NoError(t, err)
	v, err := backend{e}.Eval(p.batch(d, label), l, &plan.Call{Grad: g})
	require.NoError(t, err)
	value, err = backend{e}.Number(v)
	require.NoError(t, err)
	host, err := e.Download(g)
	require.NoError(t, err)
	for _, d := range []*tensor.Dense{d, label, g} {
		require.NoError(t, e.Release(d))
	}
	return value, wide(host)
}

// wide returns the elements of a host tensor of a float type.
func wide(t *tensor.Dense) []float64 {
	var x []float64
	switch s := hostSlice(t).(type) {
	case []float64:
		x = slices.Clone(s)
	case []float32:
		for _, v := range s {
			x = append(x, float64(v))
		}
	case []F16:
		for _, v := range s {
			x = append(x, float64(v.Float32()))
		}
	case []BF16:
		for _, v := range s {
			x = append(x, float64(v.Float32()))
		}
	}
	return x
}

// accuracy holds the tolerances for logits of a type against the CPU in float64: relative
// ones of value and gradient, and for the gradient one relative to its largest element and
// an absolute one.
type accuracy struct{ value, gradient, largest, absolute float64 }

var accuracies = map[tensor.Dtype]accuracy{
	tensor.Float64: {1e-12, 1e-10, 1e-12, 0},
	tensor.Float32: {2e-6, 5e-6, 1e-6, 0},
	BFloat16:       {2e-6, 0x1p-8, 1e-6, 0},
	Float16:        {2e-6, 0x1p-11 + 5e-6, 1e-6, 0x1p-25},
}

// requireLikeCPU evaluates a loss in every type of logits and compares with the CPU.
func (p *problem) requireLikeCPU(t testing.TB, e *Engine, l *plan.Loss, name string) {
	t.Helper()
	for dt, allowed := range accuracies {
		logits, x := p.logits(dt)
		want, wantGrad := p.onCPU(t, x, l)
		got, gotGrad := p.onDevice(t, e, logits, l)
		require.InDelta(t, want, got, allowed.value*math.Abs(want)+1e-7*allowed.value, "%s %v", name, dt)
		largest := 0.0
		for _, g := range wantGrad {
			largest = max(largest, math.Abs(g))
		}
		for i, g := range wantGrad {
			require.InDelta(t, g, gotGrad[i], allowed.gradient*math.Abs(g)+allowed.largest*largest+allowed.absolute, "%s %v: element %d", name, dt, i)
		}
	}
}

// focalLoss returns a pointwise loss with a gamma for each channel.
func focalLoss(activation plan.Activation, first int, gamma ...float64) *plan.Loss {
	c := len(gamma)
	w := &plan.Focal{Activation: activation, First: first, Gamma: gamma, Scale: 1, Denominator: plan.Valid,
		Pos: make([]float64, c), Neg: make([]float64, c), CE: make([]float64, c)}
	for i := range c {
		w.CE[i] = 1
		if i >= first {
			w.Pos[i], w.Neg[i] = 1+0.3*float64(i), 1-0.02*float64(i)
		}
	}
	return &plan.Loss{Focal: w}
}

// withDice adds a Dice term of the same activation.
func withDice(l *plan.Loss) *plan.Loss {
	c := len(l.Focal.Gamma)
	l.Overlap = &plan.Overlap{Kind: plan.Dice, Activation: l.Focal.Activation, First: l.Focal.First, Nr: 1e-5, Dr: 1e-5,
		Weight: make([]float64, c-l.Focal.First), Scale: 1, Mean: true}
	for i := range l.Overlap.Weight {
		l.Overlap.Weight[i] = 1
	}
	return l
}

func TestGammaByChannel(t *testing.T) {
	e, _ := openEmulated(t)
	patterns := map[string]func(c int) float64{
		"zero":        func(c int) float64 { return 0 },
		"two":         func(c int) float64 { return 2 },
		"zero first":  func(c int) float64 { return 2 * float64(min(c, 1)) },
		"two first":   func(c int) float64 { return 2 * float64(max(1-c, 0)) },
		"last alone":  func(c int) float64 { return 1.5 * float64(c/19) },
		"all unlike":  func(c int) float64 { return 0.3 * float64(c) },
		"below one":   func(c int) float64 { return 1 / (1 + float64(c)) },
		"from nought": func(c int) float64 { return []float64{0, 2, 0.5}[c%3] },
	}
	for _, c := range []int{1, 2, 3, 4, 5, 20} { // more than 16 are passed in device memory
		space := [3]int{3, 5, 7}
		if c == 2 {
			space = [3]int{13, 17, 11} // two chunks
		}
		p := newProblem(2, c, space, uint64(c))
		for name, pattern := range patterns {
			gamma := make([]float64, c)
			for i := range gamma {
				gamma[i] = pattern(i)
			}
			for _, activation := range []plan.Activation{plan.Sigmoid, plan.Softmax} {
				if activation == plan.Softmax && c == 1 {
					continue
				}
				name := fmt.Sprintf("%s, activation %d of %d", name, activation, c)
				p.requireLikeCPU(t, e, focalLoss(activation, 0, gamma...), name)
				if c > 1 {
					// The gamma of a channel that takes no part has no effect.
					p.requireLikeCPU(t, e, withDice(focalLoss(activation, 1, append([]float64{3}, gamma[1:]...)...)), name+", overlap")
				}
			}
		}
	}
}

// The float32 kernels skip the focal factor if gamma is 0 for all channels that take part,
// whatever it is for the others.
func TestIsFocal(t *testing.T) {
	for _, test := range []struct {
		loss *plan.Loss
		want bool
	}{
		{focalLoss(plan.Sigmoid, 0, 0, 0, 0), false},
		{focalLoss(plan.Sigmoid, 1, 2, 0, 0), false},
		{focalLoss(plan.Sigmoid, 1, 0, 0, 2), true},
		{focalLoss(plan.Sigmoid, 0, 1e-300, 0), true},
	} {
		assert.Equal(t, test.want, isFocal(test.loss.Focal), "%v", test.loss.Focal.Gamma)
	}
	adaptive := focalLoss(plan.Sigmoid, 0, 0, 0)
	adaptive.Focal.Adaptive = &plan.Adaptive{}
	assert.True(t, isFocal(adaptive.Focal))
}

func TestExponentByChannel(t *testing.T) {
	e, _ := openEmulated(t)
	for _, c := range []int{1, 2, 3, 5, 20} {
		p := newProblem(2, c, [3]int{3, 5, 7}, uint64(c))
		for _, activation := range []plan.Activation{plan.Sigmoid, plan.Softmax} {
			for _, batch := range []bool{false, true} {
				for _, first := range []int{0, 1} {
					if c == 1 && (first == 1 || activation == plan.Softmax) {
						continue
					}
					active := c - first
					o := &plan.Overlap{Kind: plan.Tversky, Activation: activation, First: first, Batch: batch, Alpha: 0.3, Beta: 0.7,
						Nr: 1e-5, Dr: 1e-5, Weight: make([]float64, active), Exponent: make([]float64, active), Scale: 1.25, Mean: true}
					for i := range active {
						o.Weight[i] = 1 + 0.1*float64(i)
						o.Exponent[i] = []float64{0.75, 1, 4.0 / 3, 0.2}[i%4]
					}
					p.requireLikeCPU(t, e, &plan.Loss{Overlap: o}, fmt.Sprintf("%d channels from %d, activation %d, batch %v", c, first, activation, batch))
					o.Exponent = nil
					p.requireLikeCPU(t, e, &plan.Loss{Overlap: o}, "no exponents")
				}
			}
		}
	}
}

// Where the ratio is 0, a perfect prediction, or negative, loss and gradient are 0 for
// every exponent.
func TestExponentAtZero(t *testing.T) {
	e, _ := openEmulated(t)
	p := newProblem(1, 2, [3]int{3, 5, 1}, 1)
	p.HasIgnore = false
	labels := p.Tensor.Data().([]int64)
	for i := range labels {
		labels[i] = int64(i % 2)
		p.x[i], p.x[15+i] = float64(1-i%2), float64(i%2)
	}
	for _, nr := range []float64{1e-5, 1} {
		o := &plan.Overlap{Kind: plan.Tversky, Activation: plan.None, Alpha: 0.5, Beta: 0.5, Nr: nr, Dr: 1e-5,
			Weight: []float64{1, 1}, Exponent: []float64{0.5, 2}, Scale: 1}
		logits, x := p.logits(tensor.Float32)
		value, grad := p.onDevice(t, e, logits, &plan.Loss{Overlap: o})
		assert.Zero(t, value)
		assert.Equal(t, make([]float64, 30), grad)
		want, wantGrad := p.onCPU(t, x, &plan.Loss{Overlap: o})
		assert.Zero(t, want)
		assert.Equal(t, wantGrad, grad)
	}
}

// adaptiveLosses calls f with A-FL in all forms, with all modes of statistics and all
// denominators.
func adaptiveLosses(c int, f func(name string, l *plan.Loss)) {
	for form := plan.Released; form <= plan.Multiclass; form++ {
		if form != plan.Multiclass && c > 2 || form == plan.Released && c == 1 {
			continue
		}
		for mode := plan.StatsReleased; mode <= plan.StatsPerSample; mode++ {
			for denominator := plan.One; denominator <= plan.LabelWeight; denominator++ {
				if c == 1 && denominator == plan.LabelWeight {
					continue // needs several channels
				}
				activation := plan.Sigmoid
				if form == plan.Multiclass && c > 1 {
					activation = plan.Softmax
				}
				l := focalLoss(activation, 0, make([]float64, c)...)
				l.Focal.Denominator = denominator
				l.Focal.Adaptive = &plan.Adaptive{Form: form, Stats: mode, Smoothness: plan.Smoothness(mode % 2)}
				if c > 1 && mode == plan.StatsPooled {
					withDice(l)
				}
				f(fmt.Sprintf("form %d, mode %d, denominator %d, %d channels", form, mode, denominator, c), l)
			}
		}
	}
}

// statsOf returns the statistics of a problem's label for A-FL, made on the CPU.
func (p *problem) statsOf(t testing.TB, a *plan.Adaptive) *plan.Stats {
	t.Helper()
	st, err := cpu.Backend{}.Stats(p.batch(nil, p.Tensor), a.Request())
	require.NoError(t, err)
	return st
}

func TestGivenStatistics(t *testing.T) {
	e, _ := openEmulated(t)
	for _, c := range []int{1, 2, 5, 20} {
		p := newProblem(3, c, [3]int{5, 7, 9}, uint64(c))
		other := newProblem(3, c, [3]int{11, 3, 2}, 99)
		for i := range other.Tensor.Data().([]int64) {
			if i%3 > 0 {
				other.Tensor.Data().([]int64)[i] = 0
			}
		}
		adaptiveLosses(c, func(name string, l *plan.Loss) {
			given := *l
			focal, adaptive := *l.Focal, *l.Focal.Adaptive
			given.Focal, focal.Adaptive = &focal, &adaptive
			adaptive.Given = other.statsOf(t, &adaptive)
			p.requireLikeCPU(t, e, &given, "other statistics, "+name)

			// The label's own statistics, given, change nothing.
			adaptive.Given = p.statsOf(t, &adaptive)
			logits, _ := p.logits(tensor.Float32)
			want, wantGrad := p.onDevice(t, e, logits, l)
			got, gotGrad := p.onDevice(t, e, logits, &given)
			require.InDelta(t, want, got, 1e-9*math.Abs(want), name)
			require.InDeltaSlice(t, wantGrad, gotGrad, 1e-7*(1+math.Abs(want)), name)
		})
	}
}

// If all voxels are ignored, the given statistics apply, and the denominators are the
// label's.
func TestGivenStatisticsOfIgnoredLabel(t *testing.T) {
	e, _ := openEmulated(t)
	p := newProblem(2, 2, [3]int{3, 5, 7}, 1)
	other := newProblem(2, 2, [3]int{3, 5, 7}, 2)
	for i := range p.Tensor.Data().([]int64) {
		p.Tensor.Data().([]int64)[i] = -7
	}
	logits, x := p.logits(tensor.Float32)
	for denominator := plan.One; denominator <= plan.LabelWeight; denominator++ {
		l := focalLoss(plan.Softmax, 0, 0, 0)
		l.Focal.Denominator = denominator
		l.Focal.Adaptive = &plan.Adaptive{Form: plan.Multiclass}
		l.Focal.Adaptive.Given = other.statsOf(t, l.Focal.Adaptive)
		want, wantGrad := p.onCPU(t, x, l)
		got, gotGrad := p.onDevice(t, e, logits, l)
		assert.Equal(t, math.IsNaN(want), math.IsNaN(got), "denominator %d", denominator)
		if !math.IsNaN(want) {
			assert.Equal(t, want, got, "denominator %d", denominator)
		}
		assert.Equal(t, wantGrad, gotGrad)
	}
}

// A graph holds the values of given statistics rather than their address.
func TestGivenStatisticsInGraph(t *testing.T) {
	e, _ := openEmulated(t)
	p := newProblem(4, 20, [3]int{3, 5, 7}, 3)
	l := focalLoss(plan.Softmax, 0, make([]float64, 20)...)
	l.Focal.Adaptive = &plan.Adaptive{Form: plan.Multiclass, Stats: plan.StatsPerSample}
	st := p.statsOf(t, l.Focal.Adaptive)
	l.Focal.Adaptive.Given = st
	host, _ := p.logits(tensor.Float32)
	want, _ := p.onDevice(t, e, host, l)

	logits, err := e.Upload(host)
	require.NoError(t, err)
	label, err := e.Upload(p.Tensor)
	require.NoError(t, err)
	var value *tensor.Dense
	g, err := e.Capture(func() (err error) {
		value, err = backend{e}.Eval(p.batch(logits, label), l, &plan.Call{})
		return err
	})
	require.NoError(t, err)
	for _, x := range [][]float64{st.Valid, st.Count, st.Foreground, st.Magnitude, st.Boundary} {
		for i := range x {
			x[i] = math.NaN()
		}
	}
	for range 2 {
		require.NoError(t, g.Launch())
		got, err := e.readResult(addressOf(value.Raw))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	require.NoError(t, g.Close())
}
