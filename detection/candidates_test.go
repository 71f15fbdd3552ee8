package detection

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func volume[T any](values []T, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// staticByDefinition returns the confidence of each voxel by flooding from every voxel.
func staticByDefinition(p []float64, shape [3]int, threshold float64, minVoxels int) []float64 {
	out := make([]float64, len(p))
	seen := make([]bool, len(p))
	for start := range p {
		if seen[start] || p[start] < threshold || p[start] <= 0 {
			continue
		}
		seen[start] = true
		part := []int{start}
		peak := 0.0
		for k := 0; k < len(part); k++ {
			i := part[k]
			peak = max(peak, p[i])
			s, y, x := i/shape[2]/shape[1], i/shape[2]%shape[1], i%shape[2]
			for j := range p {
				ns, ny, nx := j/shape[2]/shape[1], j/shape[2]%shape[1], j%shape[2]
				if max(abs(ns-s), abs(ny-y), abs(nx-x)) == 1 && !seen[j] && p[j] >= threshold && p[j] > 0 {
					seen[j] = true
					part = append(part, j)
				}
			}
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
