package losstest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// hostileLogits: finite for every finite logit, for both labels, for empty and
// full masks.
func (s suite) hostileLogits(t *testing.T) {
	hostile := []float64{0, math.Copysign(0, -1), 5e-324, 1e-30, 1, -1, 17, 40, 88.8, -88.8, 104, 710, -746, 1e4, -1e4, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32}
	n := len(hostile)
	masks := []struct {
		name string
		at   func(i int) uint8
	}{
		{"empty", func(int) uint8 { return 0 }},
		{"full", func(int) uint8 { return 1 }},
		{"mixed", func(i int) uint8 { return uint8(i % 2) }},
	}
	cover := s.cover()
	for _, vr := range variants() {
		if !slices.Contains(vr.channels, 2) || takesProbabilities(vr.loss, 2) {
			continue
		}
		for _, mask := range masks {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				if !cover.needs(vr.name+dt.String(), vr.kind()+mask.name+dt.String()) {
					continue
				}
				logits := Floats(dt, []int{1, 2, n, n}, func(i int) float64 {
					if i < n*n {
						return hostile[i/n]
					}
					return hostile[i%n]
				})
				what := fmt.Sprintf("%s, %v, %s mask", vr.name, dt, mask.name)
				value, grad := s.grad(t, what, vr.loss, Call{Logits: logits, Target: Bytes([]int{1, n, n}, mask.at)})
				requireFinite(t, what, value, grad)
			}
		}
	}
}

// nanLogits: one logit that is NaN, anywhere, makes the value NaN and with it an entry of
// the gradient.
func (s suite) nanLogits(t *testing.T) {
	shape := []int{2, 2, 5, 3, 67}
	voxels := 5 * 3 * 67
	target := RandomLabels(shape, 2, 1)
	for _, name := range afl.Names() {
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			for _, at := range []int{0, voxels - 1, voxels + 77, 3*voxels + 512, 4*voxels - 1} {
				if s.Traits.Brief && at > 0 {
					break
				}
				logits := RandomLogits(dt, shape, 1)
				if dt == tensor.Float32 {
					logits.Data().([]float32)[at] = float32(math.NaN())
				} else {
					logits.Data().([]float64)[at] = math.NaN()
				}
				what := fmt.Sprintf("%s, %v, logit %d", name, dt, at)
				value, grad := s.grad(t, what, named(t, name), Call{Logits: logits, Target: target})
				assert.True(t, math.IsNaN(value), "%s: %v", what, value)
				assert.True(t, slices.ContainsFunc(Numbers(t, grad), math.IsNaN), "%s: the gradient", what)
			}
		}
	}
}

// hostileFloat32: finite for every finite logit with several channels.
func (s suite) hostileFloat32(t *testing.T) {
	hostile := []float64{0, math.Copysign(0, -1), 1e-45, 1e-30, 1, -1, 17, 40, 88.8, -88.8, 104, 1e4, -1e4, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32}
	if s.Traits.Brief {
		hostile = []float64{0, 1e-45, -1, 40, -88.8, 104, 1e30, -math.MaxFloat32}
	}
	n := len(hostile)
	cover := s.cover()
	for _, v := range variants() {
		c := v.channels[len(v.channels)-1]
		if c < 3 || takesProbabilities(v.loss, c) || !cover.needs(v.name) {
			continue
		}
		logits := Floats(tensor.Float32, []int{1, c, n, n * n}, func(i int) float64 {
			channel, at := i/(n*n*n), i%(n*n*n)
			for range channel {
				at /= n
			}
			return hostile[(at+channel)%n]
		})
		labels := Bytes([]int{1, n, n * n}, func(i int) uint8 { return uint8(i / 7 % c) })
		value, grad := s.grad(t, v.name, v.loss, Call{Logits: logits, Target: labels})
		requireFinite(t, v.name, value, grad)
	}
}

// withoutSmoothing: overlap losses without smoothing terms are finite for empty
// masks and probabilities down to 0, through all subnormal sums.
func (s suite) withoutSmoothing(t *testing.T) {
	var logits []float64
	for x := 0.0; x > -800; x -= 0.5 {
		logits = append(logits, x)
	}
	if s.Traits.Brief {
		logits = []float64{0, -30, -88, -104, -372.5, -666, -708.5, -745, -799.5}
	}
	for _, v := range variants() {
		l := withoutSmoothingTerms(v.loss)
		if l == nil {
			continue
		}
		for _, label := range []uint8{0, 1} {
			labels := Bytes([]int{1, 2, 3}, func(int) uint8 { return label })
			for _, x := range logits {
				for _, c := range []int{1, 2} {
					if v.fit(c) != c || takesProbabilities(l, c) {
						continue
					}
					call := Call{Target: labels, Logits: Floats(tensor.Float64, []int{1, c, 2, 3}, func(i int) float64 { return x * float64(1-2*(i/6)) })}
					what := fmt.Sprintf("%s, label %d, logits %v, C=%d", v.name, label, x, c)
					value, grad := s.grad(t, what, l, call)
					requireFinite(t, what, value, grad)
				}
			}
		}
	}
}
