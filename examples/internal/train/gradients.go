package train

import (
	"fmt"
	"math/bits"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/nn"
)

// gradients sums the gradients of the samples of an update as a binary tree. A tree of n samples
// consists of one of the first ⌈n/2⌉ and one of the others; see [dist.Half]. For seven samples
// that is
//
//	((0+1)+(2+3)) + ((4+5)+6)
//
// The shape depends only on the number of samples, so that a power of two of processes can
// compute the branches of the same sum; see [dist.Share]. It holds at most one tree of each
// depth.
type gradients struct {
	all   int          // samples of the update in this process
	trees [][]nn.Array // largest first; each by parameter, nil for one without a gradient
	done  int          // samples
	sent  []bool       // by parameter; see sender
}

// joins returns the number of trees that are complete with sample i of n, apart from that of the
// sample itself.
func joins(i, n int) int {
	count := 0
	for from, to := 0, n; to-from > 1; {
		if i == to-1 {
			count++
		}
		if half := from + dist.Half(to-from); i < half {
			to = half
		} else {
			from = half
		}
	}
	return count
}

// GradientSets returns the largest number of complete sets of gradients that an update of the
// given number of samples holds besides that of a backward pass.
func GradientSets(samples int) int { return bits.Len(uint(samples)) - 1 }

// add adds the gradients that the backward pass of the next sample left in the parameters. The
// gradients so far belong to the same step of the backend; see arrays.
func (g *gradients) add(b nn.Backend, params []*nn.Param) error {
	tree := make([]nn.Array, len(params))
	for i, p := range params {
		tree[i] = p.Grad
	}
	g.trees = append(g.trees, tree)
	for range joins(g.done, g.all) {
		if err := g.join(b, params); err != nil {
			return err
		}
	}
	g.done++
	return nil
}

// arrays returns the gradients so far, for the backend to keep from the step of one sample to
// that of the next.
func (g *gradients) arrays() []nn.Array {
	var all []nn.Array
	for _, tree := range g.trees {
		for _, a := range tree {
			if a != nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// sum stores the sum over the samples in the parameters.
func (g *gradients) sum(params []*nn.Param) {
	for i, p := range params {
		p.Grad = g.trees[0][i]
	}
}

// sender returns a function that gives the Reducer the sum over the samples of this process for a
// parameter whose gradient of the last sample is final. Backward calls it while it computes other
// gradients.
func (g *gradients) sender(b nn.Backend, r *dist.Reducer, params []*nn.Param) func(p *nn.Param) error {
	position := make(map[*nn.Param]int, len(params))
	for i, p := range params {
		position[p] = i
	}
	g.sent = make([]bool, len(params))
	return func(p *nn.Param) error { return g.send(b, r, position[p], p.Grad) }
}

// sendRest sends the parameters of which the last sample has no gradient.
func (g *gradients) sendRest(b nn.Backend, r *dist.Reducer) error {
	for i, sent := range g.sent {
		if sent {
			continue
		}
		if err := g.send(b, r, i, nil); err != nil {
			return err
		}
	}
	return nil
}

// send sends the sum of the trees and the gradient of the last sample, nil if there is none, in
// the order in which add would join them.
func (g *gradients) send(b nn.Backend, r *dist.Reducer, i int, last nn.Array) error {
	g.sent[i] = true
	sum, own := last, false
	for k := len(g.trees) - 1; k >= 0; k-- {
		x := g.trees[k][i]
		switch {
		case x == nil:
		case sum == nil:
			sum = x
		default:
			next, _, err := b.Add(x, sum)
			if err != nil {
				return err
			}
			if own {
				b.Release(sum)
			}
			sum, own = next, true
		}
	}
	if sum == nil {
		return nil
	}
	err := r.Put(i, func(dst []float32) error {
		return b.ToHost(sum, tensor.New(tensor.WithShape(sum.Shape()...), tensor.WithBacking(dst)))
	})
	if own {
		b.Release(sum)
	}
	return err
}

// receive stores the sums over all processes in the parameters.
func receive(b nn.Backend, r *dist.Reducer, params []*nn.Param) (err error) {
	for i, p := range params {
		p.Grad = nil
		if sum, ok := r.Sum(i); ok {
			p.Grad, err = b.FromHost(tensor.New(tensor.WithShape(p.Value.Shape()...), tensor.WithBacking(sum)), nn.Step)
			if err != nil {
				return fmt.Errorf("train: gradient of %s: %w", p.Name, err)
			}
		}
	}
	return nil
}

// scale divides the gradients in the parameters by the number of samples.
func scale(b nn.Backend, params []*nn.Param, samples int) (err error) {
	if samples == 1 {
		return nil
	}
	for _, p := range params {
		if p.Grad == nil {
			continue
		}
		if p.Grad, err = b.Scale(p.Grad, 1/float64(samples)); err != nil {
			return fmt.Errorf("train: gradient of %s: %w", p.Name, err)
		}
	}
	return nil
}

// join replaces the last two trees by their sum and releases the arrays of both as soon as
// nothing needs them.
func (g *gradients) join(b nn.Backend, params []*nn.Param) error {
	n := len(g.trees)
	x, y := g.trees[n-2], g.trees[n-1]
	users := map[nn.Array]int{} // parameters may share a gradient
	for i := range params {
		users[x[i]]++
		users[y[i]]++
	}
	drop := func(a nn.Array) {
		if users[a]--; users[a] == 0 {
			b.Release(a)
		}
	}
	for i, p := range params {
		switch {
		case x[i] == nil:
			x[i] = y[i]
		case y[i] != nil:
			sum, _, err := b.Add(x[i], y[i])
			if err != nil {
				return fmt.Errorf("train: gradient of %s: %w", p.Name, err)
			}
			drop(x[i])
			drop(y[i])
			x[i] = sum
		}
	}
	g.trees = g.trees[:n-1]
	return nil
}
