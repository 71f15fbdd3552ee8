package nntest

import (
	"hash/fnv"
	"math"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// HashValues returns n values in [−1, 1): hashes of a tensor's name, a seed and the index of
// the element. The golden files use them, so that no weights need to be stored.
func HashValues(name string, n int, seed uint64) []float64 {
	f := fnv.New64a()
	f.Write([]byte(name))
	h := f.Sum64() + seed
	values := make([]float64, n)
	for i := range values {
		z := h + uint64(i+1)*0x9E3779B97F4A7C15
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		values[i] = float64(z>>11)*0x1p-52 - 1
	}
	return values
}

// HashWeights returns the values of a parameter or buffer, scaled according to its kind,
// which follows from its name and shape. All are exact in float32.
func HashWeights(name string, shape []int, seed uint64) []float64 {
	n, fan := 1, 1
	for i, d := range shape {
		n *= d
		if i > 0 {
			fan *= d
		}
	}
	var value func(u float64) float64
	switch {
	case strings.HasSuffix(name, "running_mean"):
		value = func(u float64) float64 { return 0.1 * u }
	case strings.HasSuffix(name, "running_var"):
		value = func(u float64) float64 { return 1 + float64(0.1*math.Abs(u)) }
	case len(shape) >= 2:
		value = func(u float64) float64 { return u * math.Sqrt(6/float64(fan)) }
	case strings.HasSuffix(name, ".A.weight"):
		value = func(u float64) float64 { return 0.25 + float64(0.05*u) }
	case strings.HasSuffix(name, "weight"):
		value = func(u float64) float64 { return 1 + float64(0.1*u) }
	default:
		value = func(u float64) float64 { return 0.1 * u }
	}
	values := HashValues(name, n, seed)
	for i, u := range values {
		values[i] = float64(float32(value(u)))
	}
	return values
}

// HashState returns the state of a network with hashed values.
func HashState(net nn.Network, seed uint64) map[string]*tensor.Dense {
	state := map[string]*tensor.Dense{}
	set := func(name string, shape []int) {
		state[name] = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(HashWeights(name, shape, seed)))
	}
	for _, p := range net.Parameters() {
		set(p.Name, p.Value.Shape())
	}
	for _, f := range net.Buffers() {
		if f.Value == nil {
			state[f.Name] = tensor.New(tensor.FromScalar(int64(0)))
			continue
		}
		set(f.Name, f.Value.Shape())
	}
	return state
}
