package dataset

import (
	"math"
	"math/rand/v2"
)

// normalize shifts and scales each channel so that its nonzero voxels have mean 0 and
// population standard deviation 1. Zeros are unchanged.
func normalize(a array[float32]) {
	for c := range a.channels {
		normalizeChannel(a.data[c*a.voxels() : (c+1)*a.voxels()])
	}
}

func normalizeChannel(x []float32) {
	var n int
	var sum float64
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range x {
		if v != 0 {
			n++
			sum += float64(v)
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if n == 0 {
		return
	}
	if lo == hi {
		// The standard deviation would be nothing but the rounding error of the mean.
		clear(x)
		return
	}
	mean := sum / float64(n)
	var squares float64
	for _, v := range x {
		if v != 0 {
			d := float64(v) - mean
			squares += float64(d * d)
		}
	}
	sd := math.Sqrt(squares / float64(n))
	for i, v := range x {
		if v != 0 {
			x[i] = float32((float64(v) - mean) / sd)
		}
	}
}

// addNoise adds Gaussian noise to every voxel.
func addNoise(a array[float32], sd float64, rng *rand.Rand) {
	for i, v := range a.data {
		a.data[i] = float32(float64(v) + float64(sd*rng.NormFloat64()))
	}
}

// linear computes x·factor + offset for every voxel.
func linear(a array[float32], factor, offset float64) {
	for i, v := range a.data {
		a.data[i] = float32(float64(float64(v)*factor) + offset)
	}
}
