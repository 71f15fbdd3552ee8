package afl_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// lovaszByDefinition evaluates the loss of logits x, N×C×V, and classes y, N×V, of which
// those below 0 are ignored, by sorting and counting.
func lovaszByDefinition(l afl.Lovasz, x []float64, y []int, n, c, v int) (value float64, grad []float64) {
	grad = make([]float64, len(x))
	groups, size := 1, n*v
	if l.PerImage {
		groups, size = n, v
	}
	classes := []int{1}
	if c > 1 {
		classes = nil
		for k := range c {
			classes = append(classes, k)
		}
	}
	logit := func(i, k int) *float64 { return &x[(i/v*c+k)*v+i%v] }
	probability := func(i, k int) float64 {
		if c == 1 {
			return 1 / (1 + math.Exp(-*logit(i, 0)))
		}
		sum := 0.0
		for o := range c {
			sum += math.Exp(*logit(i, o) - *logit(i, k))
		}
		return 1 / sum
	}
	for g := range groups {
		var valid []int
		for i := g * size; i < (g+1)*size; i++ {
			if y[i] >= 0 {
				valid = append(valid, i)
			}
		}
		var counted []int
		for _, k := range classes {
			present := slices.ContainsFunc(valid, func(i int) bool { return y[i] == k })
			if len(valid) > 0 && (present || l.AllClasses || l.Hinge) {
				counted = append(counted, k)
			}
		}
		for _, k := range counted {
			scale := 1 / float64(len(counted)*groups)
			errors := map[int]float64{}
			total := 0.0
			for _, i := range valid {
				sign := -1.0
				if y[i] == k {
					total++
					sign = 1
				}
				if l.Hinge {
					errors[i] = 1 - sign**logit(i, 0)
				} else {
					errors[i] = (1+sign)/2 - sign*probability(i, k)
				}
			}
			order := slices.Clone(valid)
			slices.SortStableFunc(order, func(a, b int) int {
				switch {
				case errors[a] > errors[b]:
					return -1
				case errors[a] < errors[b]:
					return 1
				}
				return 0
			})
			inside, outside, before := 0.0, 0.0, 0.0
			for _, i := range order {
				sign := -1.0
				if y[i] == k {
					inside++
					sign = 1
				} else {
					outside++
				}
				jaccard := 1 - (total-inside)/(total+outside)
				d := scale * (jaccard - before)
				before = jaccard
				if l.Hinge && errors[i] <= 0 {
					continue
				}
				value += d * errors[i]
				p := probability(i, k)
				switch {
				case l.Hinge:
					grad[i] -= sign * d
				case c == 1:
					grad[i] -= sign * d * p * (1 - p)
				default:
					for o := range c {
						slope := -p * probability(i, o)
						if o == k {
							slope += p
						}
						grad[(i/v*c+o)*v+i%v] -= sign * d * slope
					}
				}
			}
		}
	}
	return value, grad
}

// TestLovaszByDefinition covers one, two and three channels, absent classes, ignored voxels
// and images of which none is left. Where logits are equal only values are compared, as the
// gradient depends on the order of errors that rounding makes equal or not.
func TestLovaszByDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for trial := range 200 {
		n, c, v := 1+r.IntN(3), 1+r.IntN(3), 1+r.IntN(70)
		l := afl.NewLovaszSoftmax()
		if c == 1 && r.IntN(2) == 0 {
			l = afl.NewLovaszHinge()
		}
		l.PerImage = r.IntN(2) == 0
		l.AllClasses = !l.Hinge && r.IntN(2) == 0
		l.IgnoreIndex = afl.Ignore(255)
		distinct := r.IntN(3) > 0
		x, y, label := make([]float64, n*c*v), make([]int, n*v), make([]uint8, n*v)
		for i := range x {
			if x[i] = float64(r.IntN(3)); distinct {
				x[i] = 2 * r.NormFloat64()
			}
		}
		present := 1 + r.IntN(max(c, 2))
		for i := range y {
			y[i] = r.IntN(present)
			if label[i] = uint8(y[i]); r.IntN(5) == 0 || trial%20 == 0 && i < v {
				y[i], label[i] = -1, 255
			}
		}
		what := fmt.Sprintf("trial %d: N=%d, C=%d, V=%d, %+v", trial, n, c, v, l)
		logits := tensor.New(tensor.WithShape(n, c, 1, v), tensor.WithBacking(slices.Clone(x)))
		target := tensor.New(tensor.WithShape(n, 1, v), tensor.WithBacking(label))
		value, grad, err := afl.Grad(l, logits, target)
		require.NoError(t, err, what)
		wantValue, wantGrad := lovaszByDefinition(l, x, y, n, c, v)
		require.InDelta(t, wantValue, value, 1e-12, what)
		if distinct {
			require.InDeltaSlice(t, wantGrad, grad.Data(), 1e-12, what)
		}
	}
}
