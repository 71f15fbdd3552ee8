package dataset

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNormalizeByHand(t *testing.T) {
	// Nonzero voxels 2, 4, 4, 6: mean 4, population variance (4+0+0+4)/4 = 2.
	a := array[float32]{channels: 3, dims: [3]int{1, 2, 3}, data: []float32{
		0, 2, 4, 0, 4, 6,
		0, 0, 0, 0, 0, 0,
		0.1, 0.1, 0, 0.1, 0.1, 0.1,
	}}
	normalize(a)
	r := float32(math.Sqrt2)
	assert.InDeltaSlice(t, []float32{0, -r, 0, 0, 0, r}, a.data[:6], 1e-6)
	assert.Equal(t, make([]float32, 12), a.data[6:], "zero or constant channels become zero, not NaN")
}

func TestNormalizeLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, scale := range []float64{1e-20, 1, 1e30} {
		a := random(rng, 1, [3]int{11, 7, 5}, identity)
		for i := range a.data {
			a.data[i] *= float32(scale)
			if i%3 == 0 {
				a.data[i] = 0
			}
		}
		normalize(a)
		var n, sum, squares float64
		for i, v := range a.data {
			if i%3 == 0 {
				assert.Zero(t, v)
				continue
			}
			n, sum, squares = n+1, sum+float64(v), squares+float64(v)*float64(v)
		}
		assert.InDelta(t, 0, sum/n, 1e-6)
		assert.InDelta(t, 1, squares/n, 1e-6)
	}
}

func TestNoise(t *testing.T) {
	a := array[float32]{channels: 1, dims: [3]int{40, 40, 40}, data: make([]float32, 64000)}
	addNoise(a, 0.1, rand.New(rand.NewPCG(1, 1)))
	var sum, squares float64
	for _, v := range a.data {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	assert.InDelta(t, 0, sum/64000, 0.1*5/math.Sqrt(64000))
	assert.InDelta(t, 0.1, math.Sqrt(squares/64000), 0.002)
}

func TestLinear(t *testing.T) {
	a := array[float32]{channels: 1, dims: [3]int{1, 1, 3}, data: []float32{0, 1, -2}}
	linear(a, 1.5, 0.25)
	assert.Equal(t, []float32{0.25, 1.75, -2.75}, a.data)
}
