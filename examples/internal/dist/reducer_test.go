package dist_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/dist/disttest"
)

// sizes are numbers of elements of parameters.
var sizes = []int{5, 1, 300, 64, 7, 1200, 3}

// gradient is the gradient of a sample, with values of very different sizes so that every
// order of summation has its own bits.
func gradient(sample, parameter int) []float32 {
	r := rand.New(rand.NewPCG(uint64(sample), uint64(parameter)))
	values := make([]float32, sizes[parameter])
	for i := range values {
		values[i] = float32(math.Ldexp(r.NormFloat64(), r.IntN(24)))
	}
	return values
}

// tree sums the gradients of samples from on by definition.
func tree(from, n, parameter int) []float32 {
	if n == 1 {
		return gradient(from, parameter)
	}
	a, b := tree(from, dist.Half(n), parameter), tree(from+dist.Half(n), n-dist.Half(n), parameter)
	for i := range a {
		a[i] += b[i]
	}
	return a
}

// TestReducer compares the sums of several steps, in each process, with the sum of one process.
func TestReducer(t *testing.T) {
	for _, n := range []int{2, 3, 4, 8} {
		for _, samples := range []int{1, 2, 3, 4, 7, 8, 12} {
			disttest.RequireNoErrors(t, disttest.Run(t, n, func(g *dist.Group) error {
				reducer := dist.NewReducerOfBuckets(g, sizes, 4*301)
				if n := reducer.Buckets(); n < 4 {
					return fmt.Errorf("%d buckets", n)
				}
				for step := range 3 {
					from, to := dist.Share(samples, g.Rank(), n)
					order := rand.New(rand.NewPCG(uint64(g.Rank()), uint64(step))).Perm(len(sizes))
					for _, p := range order {
						// Parameter 1 has no gradient, parameter 4 none in process 1.
						if from == to || p == 1 || p == 4 && g.Rank() == 1 {
							continue
						}
						err := reducer.Put(p, func(dst []float32) error {
							copy(dst, tree(from+100*step, to-from, p))
							return nil
						})
						if err != nil {
							return err
						}
					}
					if err := reducer.Finish(); err != nil {
						return err
					}
					for p := range sizes {
						got, ok := reducer.Sum(p)
						if ok == (p == 1) {
							return fmt.Errorf("parameter %d: sum %v", p, ok)
						}
						if n == 3 || p == 1 || p == 4 {
							continue // other bits
						}
						for i, want := range tree(100*step, samples, p) {
							if math.Float32bits(got[i]) != math.Float32bits(want) {
								return fmt.Errorf("%d samples, parameter %d, element %d: %v, want %v", samples, p, i, got[i], want)
							}
						}
					}
				}
				if reducer.Bytes != 4*1580 {
					return fmt.Errorf("%d bytes", reducer.Bytes)
				}
				return nil
			}))
		}
	}
}

// TestReducerWithoutGradient checks that a process that failed adds nothing and leaves none
// waiting, and that what is added for none keeps even the sign of zero.
func TestReducerWithoutGradient(t *testing.T) {
	disttest.RequireNoErrors(t, disttest.Run(t, 3, func(g *dist.Group) error {
		reducer := dist.NewReducerOfBuckets(g, []int{2, 2}, 1<<20)
		broken := errors.New("broken")
		err := reducer.Put(1, func(dst []float32) error {
			dst[0], dst[1] = float32(math.Copysign(0, -1)), 3
			if g.Rank() > 0 {
				return broken
			}
			return nil
		})
		if g.Rank() > 0 != errors.Is(err, broken) {
			return fmt.Errorf("put: %w", err)
		}
		if g.Rank() == 0 && reducer.Put(1, nil) == nil {
			return errors.New("put twice")
		}
		if err := reducer.Finish(); err != nil {
			return err
		}
		got, ok := reducer.Sum(1)
		if !ok || math.Float32bits(got[0]) != 1<<31 || got[1] != 3 {
			return fmt.Errorf("sum %v %v", got, ok)
		}
		if _, ok := reducer.Sum(0); ok {
			return errors.New("a sum of nothing")
		}
		return nil
	}))
}

func TestSameParameters(t *testing.T) {
	disttest.RequireNoErrors(t, disttest.Run(t, 2, func(g *dist.Group) error {
		if _, err := dist.NewReducer(g, []int{3, 4}); err != nil {
			return err
		}
		_, err := dist.NewReducer(g, []int{3, 4 + g.Rank()})
		if err == nil || err.Error() != "dist: parameters differ: [3 4] in process 0, [3 5] in process 1" || !dist.Agreed(err) {
			return fmt.Errorf("other parameters: %w", err)
		}
		return nil
	}))
}

func TestShare(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4, 5, 8, 16} {
		for n := range 40 {
			next, least, most := 0, n, 0
			for rank := range size {
				from, to := dist.Share(n, rank, size)
				assert.Equal(t, next, from)
				next = to
				least, most = min(least, to-from), max(most, to-from)
			}
			assert.Equal(t, n, next)
			assert.LessOrEqual(t, most-least, 1, "%d samples, %d processes", n, size)
		}
	}
	from, to := dist.Share(12, 1, 4)
	assert.Equal(t, [2]int{3, 6}, [2]int{from, to})
}
