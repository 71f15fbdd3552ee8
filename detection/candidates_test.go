package detection

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func volume[T any](values []T, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// distance returns the number of steps from voxel i to voxel j, diagonal ones included.
func distance(i, j int, shape [3]int) int {
	row, other := i/shape[2], j/shape[2]
	return max(abs(row/shape[1]-other/shape[1]), abs(row%shape[1]-other%shape[1]), abs(i%shape[2]-j%shape[2]))
}

// flood returns the voxels above 0 that are connected with a voxel.
func flood(p []float64, shape [3]int, start int) []int {
	part := []int{start}
	seen := map[int]bool{start: true}
	for k := 0; k < len(part); k++ {
		for j, v := range p {
			if v > 0 && !seen[j] && distance(part[k], j, shape) == 1 {
				seen[j] = true
				part = append(part, j)
			}
		}
	}
	return part
}

// staticByDefinition returns the confidence of each voxel by flooding from every voxel.
func staticByDefinition(p []float64, shape [3]int, threshold float64, minVoxels int) []float64 {
	kept, out := make([]float64, len(p)), make([]float64, len(p))
	for i, v := range p {
		if v >= threshold {
			kept[i] = v
		}
	}
	for start := range p {
		if !(kept[start] > 0) {
			continue
		}
		part := flood(kept, shape, start)
		peak := 0.0
		for _, i := range part {
			peak, kept[i] = max(peak, p[i]), 0
		}
		if len(part) >= minVoxels {
			for _, i := range part {
				out[i] = peak
			}
		}
	}
	return out
}

func abs(v int) int { return max(v, -v) }

func TestCandidatesAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, shape := range [][3]int{{1, 1, 1}, {1, 7, 9}, {3, 5, 4}, {6, 1, 5}, {5, 6, 7}} {
		for range 20 {
			p := make([]float64, shape[0]*shape[1]*shape[2])
			for i := range p {
				p[i] = max(0, rng.Float64()-rng.Float64())
			}
			minVoxels := 1 + rng.IntN(5)
			threshold := 0.05 + rng.Float64()*0.9
			c, err := Extraction{Method: Static, Threshold: threshold, MinVoxels: minVoxels}.Candidates(volume(p, shape[:]...))
			require.NoError(t, err)
			assert.Equal(t, staticByDefinition(p, shape, threshold, minVoxels), c.Map.Data())
			peak := 0.0
			for _, v := range p {
				peak = max(peak, v)
			}
			c, err = Extraction{Factor: 2, MinVoxels: minVoxels}.Candidates(volume(p, shape[:]...))
			require.NoError(t, err)
			assert.Equal(t, staticByDefinition(p, shape, peak/2, minVoxels), c.Map.Data())
		}
	}
}

// A candidate that touches one kept before is dropped, and its voxels are not looked at
// again.
func TestDynamicDropsAdjacentCandidates(t *testing.T) {
	p := []float32{0.9, 0.8, 0.3, 0.2, 0, 0, 0.5, 0.5, 0, 0}
	candidates := func(e Extraction) []float64 {
		e.Factor, e.MinVoxels = 2, 2
		c, err := e.Candidates(volume(p, 1, len(p)))
		require.NoError(t, err)
		return c.Confidences
	}
	wide := []float64{float64(p[0]), float64(p[6])}
	assert.Equal(t, wide, candidates(Extraction{Method: DynamicV2}))
	assert.Equal(t, append(wide, float64(p[2])), candidates(Extraction{Method: DynamicV2, KeepAdjacent: true}))
	assert.Equal(t, wide[:1], candidates(Extraction{Method: Dynamic, MaxCandidates: 1}))
	assert.Equal(t, wide, candidates(Extraction{Method: DynamicFast}), "0.5 is above 0.45")
}

func TestCandidatesRefusals(t *testing.T) {
	good := volume([]float32{0, 0.5, 1, 0.25}, 2, 2)
	for want, call := range map[string]func() error{
		"Method is Method(9)":                        func() error { _, err := Extraction{Method: 9}.Candidates(good); return err },
		"Threshold is 0, want a probability above 0": func() error { _, err := Extraction{Method: Static}.Candidates(good); return err },
		"Threshold is NaN": func() error {
			_, err := Extraction{Method: Static, Threshold: math.NaN()}.Candidates(good)
			return err
		},
		"Threshold is 0.5, want 0 for dynamic": func() error { _, err := Extraction{Method: Dynamic, Threshold: 0.5}.Candidates(good); return err },
		"MinVoxels is -1":                      func() error { _, err := Extraction{MinVoxels: -1}.Candidates(good); return err },
		"MaxCandidates is -1":                  func() error { _, err := Extraction{MaxCandidates: -1}.Candidates(good); return err },
		"Factor is 0.5":                        func() error { _, err := Extraction{Factor: 0.5}.Candidates(good); return err },
		"Factor is NaN":                        func() error { _, err := Extraction{Factor: math.NaN()}.Candidates(good); return err },
		"probabilities is nil":                 func() error { _, err := Extraction{}.Candidates(nil); return err },
		"an element of probabilities is NaN": func() error {
			_, err := Extraction{}.Candidates(volume([]float64{0, math.NaN()}, 1, 2))
			return err
		},
		"an element of probabilities is +Inf, want a finite number (element 1)": func() error {
			_, err := Extraction{}.Candidates(volume([]float32{0, float32(math.Inf(1))}, 1, 2))
			return err
		},
		"type of probabilities is uint8":   func() error { _, err := Extraction{}.Candidates(volume([]uint8{0, 1}, 1, 2)); return err },
		"shape of probabilities is (1, 1,": func() error { _, err := Extraction{}.Candidates(volume([]float32{1}, 1, 1, 1, 1)); return err },
	} {
		err := call()
		var refused *afl.ArgumentError
		require.ErrorAs(t, err, &refused, want)
		assert.ErrorContains(t, err, want)
	}
}

// dynamicByDefinition follows the steps of Dynamic and DynamicV2 one by one.
func dynamicByDefinition(e Extraction, p []float64, shape [3]int) (labels []int32, confidences []float64) {
	p, labels = slices.Clone(p), make([]int32, len(p))
	for len(confidences) < e.MaxCandidates {
		peak := slices.Max(p)
		if peak < 0.01 {
			break
		}
		parts := staticByDefinition(p, shape, peak/e.Factor, e.MinVoxels)
		most := slices.Max(parts)
		if most == 0 {
			if e.Method == Dynamic {
				if len(confidences) == 0 || e.KeepAdjacent {
					confidences = append(confidences, 0)
				}
				break
			}
			for i, v := range p {
				if v > peak/e.Factor || e.Factor == 1 && v == peak {
					p[i] = 0
				}
			}
			continue
		}
		for i := range parts {
			if parts[i] != most {
				parts[i] = 0
			}
		}
		part := flood(parts, shape, slices.Index(parts, most))
		touches := false
		for _, i := range part {
			p[i] = 0
			for j, l := range labels {
				touches = touches || l != 0 && distance(i, j, shape) <= 1
			}
		}
		if touches && !e.KeepAdjacent {
			continue
		}
		confidences = append(confidences, most)
		for _, i := range part {
			labels[i] = int32(len(confidences))
		}
	}
	return labels, confidences
}

func TestDynamicAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	dropped := 0
	for _, shape := range [][3]int{{1, 1, 1}, {1, 7, 9}, {3, 5, 4}, {6, 1, 5}, {4, 5, 6}} {
		for trial := range 150 {
			p := make([]float64, shape[0]*shape[1]*shape[2])
			for i := range p {
				p[i] = max(0, rng.Float64()-0.2)
				if trial%2 == 0 { // many are equal, and some are at a threshold
					p[i] = math.Ldexp(float64(rng.IntN(7)), -3)
				}
				if rng.IntN(2) == 0 {
					p[i] = 0
				}
			}
			e := Extraction{
				Method: Dynamic + Method(rng.IntN(2)), MinVoxels: 1 + rng.IntN(5), Factor: []float64{1, 1.25, 2, 4}[rng.IntN(4)],
				MaxCandidates: 1 + rng.IntN(6), KeepAdjacent: rng.IntN(3) == 0,
			}
			labels, confidences := dynamicByDefinition(e, p, shape)
			c, err := e.Candidates(volume(p, shape[:]...))
			require.NoError(t, err)
			require.Equal(t, confidences, c.Confidences, "%+v of %v %v", e, shape, p)
			require.Equal(t, labels, c.Labels.Data(), "%+v of %v %v", e, shape, p)
			if len(confidences) < e.MaxCandidates {
				dropped++
			}
		}
	}
	assert.NotZero(t, dropped)
}

// Noise leaves thousands of components that touch a candidate kept before.
func TestDynamicOfNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 11))
	p := make([]float32, 24*80*64)
	for i := range p {
		p[i] = rng.Float32()
	}
	for _, method := range []Method{Dynamic, DynamicV2} {
		start := time.Now()
		c, err := Extraction{Method: method, MinVoxels: 1, Factor: 1.01}.Candidates(volume(p, 24, 80, 64))
		require.NoError(t, err)
		assert.NotEmpty(t, c.Confidences)
		assert.Less(t, time.Since(start), 30*time.Second)
	}
}
