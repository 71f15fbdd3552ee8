package nntest

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// host checks that values survive the round trip to the backend, in either precision.
func (s suite) host(t *testing.T) {
	in := []float64{1, -2, 0.5, math.Copysign(0, -1), 3e30, math.Inf(1)}
	for _, life := range []nn.Lifetime{nn.Step, nn.Kept} {
		a := s.of(t, life, in, []int{1, 2, 3, 1, 1})
		assert.Equal(t, []int{1, 2, 3, 1, 1}, a.Shape())
		assert.Equal(t, s.DType(), a.DType())
		got := s.values(t, a)
		for i, v := range got {
			if s.DType() == nn.Float32 {
				assert.Equal(t, float64(float32(in[i])), v)
			} else {
				assert.Equal(t, in[i], v)
			}
		}
	}
	single := tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{1, 2, 3, 4}))
	a, err := s.FromHost(single, nn.Step)
	require.NoError(t, err)
	single.Data().([]float32)[0] = 7
	assert.Equal(t, []float64{1, 2, 3, 4}, s.values(t, a), "FromHost copies")
	out := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(4))
	require.NoError(t, s.ToHost(a, out))
	assert.Equal(t, []float32{1, 2, 3, 4}, out.Data())

	_, err = s.FromHost(nil, nn.Step)
	assert.ErrorContains(t, err, "nil")
	_, err = s.FromHost(tensor.New(tensor.WithShape(2), tensor.WithBacking([]int{1, 2})), nn.Step)
	assert.ErrorContains(t, err, "float32 or float64")
	view, err := tensor.New(tensor.WithShape(4, 4), tensor.Of(tensor.Float32)).Slice(nil, tensor.S(1, 3))
	require.NoError(t, err)
	_, err = s.FromHost(view.(*tensor.Dense), nn.Step)
	assert.ErrorContains(t, err, "contiguous")
	assert.ErrorContains(t, s.ToHost(a, nil), "nil")
	assert.ErrorContains(t, s.ToHost(a, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(5))), "shape")
	assert.ErrorContains(t, s.ToHost(nil, out), "nil")
}

// dropout checks the mask: entire channels, the same for the same seed, with the given
// probability and scale.
func (s suite) dropout(t *testing.T) {
	const n, c, voxels, p = 3, 200, 6, 0.25
	x := make([]float64, n*c*voxels)
	for i := range x {
		x[i] = 1 + float64(i%7)
	}
	x[0] = math.Inf(1)
	run := func(seed uint64) []float64 {
		y, _, err := s.Dropout3D(s.array(t, x, n, c, 1, 2, 3), p, seed)
		require.NoError(t, err)
		return s.values(t, y)
	}
	dropped := 0
	y := run(1)
	mask := nn.DropoutMask(n*c, p, 1)
	for plane := range n * c {
		for i := plane * voxels; i < (plane+1)*voxels; i++ {
			if mask[plane] == 0 {
				require.Zero(t, y[i])
			} else {
				require.InEpsilon(t, 1/(1-p), mask[plane], 1e-12)
				require.InDelta(t, x[i]/(1-p), y[i], 1e-5)
			}
		}
		if mask[plane] == 0 {
			dropped++
		}
	}
	sigma := math.Sqrt(n * c * p * (1 - p))
	assert.InDelta(t, n*c*p, float64(dropped), 4*sigma)
	assert.Equal(t, y, run(1))
	assert.NotEqual(t, y, run(2))
	for _, bad := range []float64{-0.1, 1, math.NaN()} {
		_, _, err := s.Dropout3D(s.array(t, x, n, c, 1, 2, 3), bad, 1)
		assert.ErrorContains(t, err, "probability")
	}
	s.EndStep()
}

// determinism runs operations on different numbers of threads and requires bit-identical
// results.
func (s suite) determinism(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	rng := rand.New(rand.NewPCG(1, 1))
	shape := []int{2, 13, 11, 12, 19}
	x, g := normal(rng, elements(shape)), normal(rng, elements(shape))
	w, bias := normal(rng, 13*13*27), normal(rng, 13)
	run := func() (all [][]float64) {
		defer s.EndStep()
		inputs := 3
		check := func(y nn.Array, pullback nn.Pullback, err error) {
			require.NoError(t, err)
			all = append(all, s.values(t, y))
			grads, err := pullback(s.array(t, g[:elements(y.Shape())], y.Shape()...), allNeeded(inputs))
			require.NoError(t, err)
			for _, a := range grads {
				all = append(all, s.values(t, a))
			}
		}
		in, weight, add := s.array(t, x, shape...), s.array(t, w, 13, 13, 3, 3, 3), s.array(t, bias, 13)
		spec := nn.ConvSpec{Padding: [3]int{1, 1, 1}}
		check(s.Conv3D(in, weight, add, spec))
		check(s.ConvTranspose3D(in, weight, add, spec))
		ones := make([]float64, 13)
		for i := range ones {
			ones[i] = 1
		}
		check(s.BatchNorm(in, add, add, s.kept(t, ones, 13), s.kept(t, ones, 13), nn.BatchNormSpec{Training: true, Epsilon: 1e-5, Momentum: 0.1}))
		check(s.GroupNorm(in, add, add, 1, 1e-5))
		inputs = 2
		check(s.PReLU(in, s.array(t, bias[:1], 1)))
		check(s.Gate(in, s.array(t, x[:elements(shape)/13], 2, 1, 11, 12, 19)))
		inputs = 1
		check(s.Activate(in, nn.ELU))
		check(s.MaxPool3D(in, nn.PoolSpec{Kernel: [3]int{3, 3, 3}, Stride: [3]int{2, 2, 2}, Padding: [3]int{1, 1, 1}}))
		check(s.Resize(in, [3]int{9, 13, 17}, nn.Linear))
		sum, err := s.SumOfSquares(in, weight)
		require.NoError(t, err)
		all = append(all, []float64{sum})
		return all
	}
	runtime.GOMAXPROCS(1)
	want := run()
	for _, procs := range []int{2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		require.Equal(t, want, run(), "%d threads", procs)
	}
}

// errors checks that invalid arguments are rejected with an error that names them.
func (s suite) errors(t *testing.T) {
	a := func(shape ...int) nn.Array { return s.array(t, make([]float64, elements(shape)), shape...) }
	x, w, v3, v4 := a(1, 3, 4, 5, 6), a(4, 3, 3, 3, 3), a(3), a(4)
	two := [3]int{2, 2, 2}
	norm := nn.BatchNormSpec{Training: true, Epsilon: 1e-5, Momentum: 0.1}
	for name, c := range map[string]struct {
		run  func() error
		want string
	}{
		"conv channels":    {func() error { _, _, err := s.Conv3D(a(1, 2, 4, 5, 6), w, nil, nn.ConvSpec{}); return err }, "channels"},
		"conv x axes":      {func() error { _, _, err := s.Conv3D(a(3, 4, 5, 6), w, nil, nn.ConvSpec{}); return err }, "x has shape"},
		"conv weight axes": {func() error { _, _, err := s.Conv3D(x, v3, nil, nn.ConvSpec{}); return err }, "weight has shape"},
		"conv nil":         {func() error { _, _, err := s.Conv3D(nil, w, nil, nn.ConvSpec{}); return err }, "x is nil"},
		"conv no weight":   {func() error { _, _, err := s.Conv3D(x, nil, nil, nn.ConvSpec{}); return err }, "weight is nil"},
		"conv bias":        {func() error { _, _, err := s.Conv3D(x, w, v3, nn.ConvSpec{}); return err }, "bias has shape"},
		"conv kernel":      {func() error { _, _, err := s.Conv3D(x, a(4, 3, 5, 3, 3), nil, nn.ConvSpec{}); return err }, "does not fit"},
		"conv stride":      {func() error { _, _, err := s.Conv3D(x, w, nil, nn.ConvSpec{Stride: [3]int{1, 0, 1}}); return err }, "stride along y"},
		"conv dilation":    {func() error { _, _, err := s.Conv3D(x, w, nil, nn.ConvSpec{Dilation: [3]int{1, -1, 1}}); return err }, "dilation along y"},
		"conv padding":     {func() error { _, _, err := s.Conv3D(x, w, nil, nn.ConvSpec{Padding: [3]int{0, 0, -1}}); return err }, "padding along z"},
		"conv output padding": {func() error {
			_, _, err := s.Conv3D(x, w, nil, nn.ConvSpec{Stride: [3]int{2, 2, 2}, OutputPadding: [3]int{1, 0, 0}})
			return err
		}, "output padding"},
		"transposed channels": {func() error { _, _, err := s.ConvTranspose3D(x, w, nil, nn.ConvSpec{}); return err }, "channels"},
		"transposed padding": {func() error {
			_, _, err := s.ConvTranspose3D(a(1, 4, 1, 1, 1), w, nil, nn.ConvSpec{Padding: [3]int{2, 1, 1}})
			return err
		}, "leaves an empty output"},
		"transposed output padding": {func() error {
			_, _, err := s.ConvTranspose3D(a(1, 4, 1, 1, 1), w, nil, nn.ConvSpec{OutputPadding: [3]int{1, 0, 0}})
			return err
		}, "output padding along x"},
		"batch norm weight": {func() error { _, _, err := s.BatchNorm(x, v4, v3, v3, v3, norm); return err }, "weight has shape"},
		"batch norm mean":   {func() error { _, _, err := s.BatchNorm(x, v3, v3, nil, v3, norm); return err }, "runningMean is nil"},
		"batch norm one value": {func() error {
			_, _, err := s.BatchNorm(a(1, 3, 1, 1, 1), v3, v3, v3, v3, norm)
			return err
		}, "more than one value"},
		"batch norm epsilon": {func() error {
			_, _, err := s.BatchNorm(x, v3, v3, v3, v3, nn.BatchNormSpec{Epsilon: math.NaN()})
			return err
		}, "epsilon"},
		"group norm one value": {func() error { _, _, err := s.GroupNorm(a(2, 3, 1, 1, 1), nil, nil, 3, 1e-5); return err }, "more than one value"},
		"group norm half":      {func() error { _, _, err := s.GroupNorm(x, v3, nil, 3, 1e-5); return err }, "both"},
		"group norm groups":    {func() error { _, _, err := s.GroupNorm(x, v3, v3, 2, 1e-5); return err }, "groups is 2"},
		"group norm no group":  {func() error { _, _, err := s.GroupNorm(x, v3, v3, 0, 1e-5); return err }, "groups is 0"},
		"group norm epsilon":   {func() error { _, _, err := s.GroupNorm(x, v3, v3, 3, math.NaN()); return err }, "epsilon"},
		"pool no kernel":       {func() error { _, _, err := s.MaxPool3D(x, nn.PoolSpec{}); return err }, "kernel along x"},
		"pool stride": {func() error {
			_, _, err := s.MaxPool3D(x, nn.PoolSpec{Kernel: two, Stride: [3]int{1, 0, 1}})
			return err
		}, "stride along y"},
		"pool padding": {func() error {
			_, _, err := s.MaxPool3D(x, nn.PoolSpec{Kernel: two, Padding: [3]int{0, 0, 2}})
			return err
		}, "padding along z"},
		"pool kernel":    {func() error { _, _, err := s.MaxPool3D(x, nn.PoolSpec{Kernel: [3]int{5, 2, 2}}); return err }, "does not fit"},
		"pool axes":      {func() error { _, _, err := s.MaxPool3D(v3, nn.PoolSpec{Kernel: two}); return err }, "x has shape"},
		"resize size":    {func() error { _, _, err := s.Resize(x, [3]int{4, 0, 6}, nn.Nearest); return err }, "resized to 0"},
		"resize mode":    {func() error { _, _, err := s.Resize(x, two, nn.ResizeMode(9)); return err }, "ResizeMode(9)"},
		"resize axes":    {func() error { _, _, err := s.Resize(v3, two, nn.Linear); return err }, "x has shape"},
		"activation":     {func() error { _, _, err := s.Activate(x, nn.Activation(9)); return err }, "Activation(9)"},
		"mean none":      {func() error { _, _, err := s.Mean(); return err }, "no arrays"},
		"mean sizes":     {func() error { _, _, err := s.Mean(x, w); return err }, "array 1 has shape"},
		"gate channels":  {func() error { _, _, err := s.Gate(x, x); return err }, "gate has shape"},
		"gate size":      {func() error { _, _, err := s.Gate(x, a(1, 1, 4, 5, 5)); return err }, "gate has shape"},
		"repeat fewer":   {func() error { _, _, err := s.RepeatChannels(x, 2); return err }, "channels is 2"},
		"prelu slopes":   {func() error { _, _, err := s.PReLU(x, v4); return err }, "slope has shape"},
		"relu nil":       {func() error { _, _, err := s.Activate(nil, nn.ReLU); return err }, "x is nil"},
		"concat none":    {func() error { _, _, err := s.Concat(); return err }, "no arrays"},
		"concat sizes":   {func() error { _, _, err := s.Concat(x, a(1, 3, 4, 5, 7)); return err }, "array 1 has shape"},
		"add sizes":      {func() error { _, _, err := s.Add(x, w); return err }, "b has shape"},
		"sgd gradient":   {func() error { return s.SGDStep(v3, v4, nil, true, nn.SGDSpec{LearningRate: 1}) }, "gradient has shape"},
		"adamw gradient": {func() error { return s.AdamWStep(v3, v4, v3, v3, nn.AdamWSpec{}) }, "gradient has shape"},
		"adamw first":    {func() error { return s.AdamWStep(v3, v3, nil, v3, nn.AdamWSpec{}) }, "first is nil"},
		"adamw second":   {func() error { return s.AdamWStep(v3, v3, v3, v4, nn.AdamWSpec{}) }, "second has shape"},
		"zeros":          {func() error { _, err := s.Zeros([]int{3, 0}); return err }, "shape [3 0]"},
		"squares":        {func() error { _, err := s.SumOfSquares(v3, nil); return err }, "array 1 is nil"},
		"scale":          {func() error { _, err := s.Scale(nil, 2); return err }, "array is nil"},
		"sgd velocity":   {func() error { return s.SGDStep(v3, v3, nil, true, nn.SGDSpec{LearningRate: 1, Momentum: 0.9}) }, "velocity is nil"},
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorContains(t, c.run(), c.want) })
	}
	y, pullback, err := s.Conv3D(x, w, nil, nn.ConvSpec{})
	require.NoError(t, err)
	_, err = pullback(x, allNeeded(3))
	assert.ErrorContains(t, err, "gradient has shape")
	_, err = pullback(y, []bool{true})
	assert.ErrorContains(t, err, "need")
	s.EndStep()
}

// steps checks the lifetimes of arrays.
func (s suite) steps(t *testing.T) {
	x := s.array(t, []float64{1, 2}, 1, 2, 1, 1, 1)
	slope := s.kept(t, []float64{3}, 1)
	y, pullback, err := s.PReLU(x, slope)
	require.NoError(t, err)
	s.EndStep()
	assert.Equal(t, []float64{3}, s.values(t, slope))
	_, _, err = s.Add(x, x)
	assert.ErrorContains(t, err, "end of its step")
	assert.ErrorContains(t, s.ToHost(y, tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 2, 1, 1, 1))), "end of its step")
	fresh := s.array(t, []float64{1, 1}, 1, 2, 1, 1, 1)
	_, err = pullback(fresh, allNeeded(2))
	assert.ErrorContains(t, err, "end of")

	fresh = s.array(t, []float64{1, 1}, 1, 2, 1, 1, 1)
	y, pullback, err = s.PReLU(fresh, slope)
	require.NoError(t, err)
	kept, _, err := s.Add(y, y) // some backends compute it when it is read
	require.NoError(t, err)
	s.EndStep(kept)
	_, err = pullback(kept, allNeeded(2))
	assert.ErrorContains(t, err, "end of")
	_, _, err = s.Add(kept, y)
	assert.ErrorContains(t, err, "end of its step")
	for range 3 { // steps that use memory again
		s.array(t, []float64{8, 9}, 1, 2, 1, 1, 1)
		s.EndStep(kept)
	}
	assert.Equal(t, []float64{2, 2}, s.values(t, kept))
	s.EndStep()
	_, _, err = s.Add(kept, kept)
	assert.ErrorContains(t, err, "end of its step")

	fresh = s.array(t, []float64{1, 1}, 1, 2, 1, 1, 1)
	s.Release(slope)
	assert.Equal(t, []float64{3}, s.values(t, slope), "Release has no effect on a kept array")
	y, pullback, err = s.PReLU(fresh, slope)
	require.NoError(t, err)
	other, _, err := s.Add(fresh, fresh)
	require.NoError(t, err)
	s.Release(fresh)
	s.Release(fresh)
	_, _, err = s.Add(fresh, fresh)
	assert.ErrorContains(t, err, "release")
	_, err = pullback(y, allNeeded(2))
	assert.ErrorContains(t, err, "release")
	assert.Equal(t, []float64{1, 1}, s.values(t, y), "the result of an operation outlives its input")
	again := s.array(t, []float64{8, 9}, 1, 2, 1, 1, 1)
	assert.Equal(t, []float64{2, 2}, s.values(t, other))
	assert.Equal(t, []float64{8, 9}, s.values(t, again))
	s.EndStep()
}
