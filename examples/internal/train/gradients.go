package train

import (
	"fmt"
	"math/bits"

	"github.com/x/afl/examples/internal/nn"
)

// gradients sums the gradients of the samples of an update as a binary tree. A sample is a tree
// of one leaf. Two neighboring trees of 2ᵏ leaves, the first of which begins at a multiple of
// 2ᵏ⁺¹, become one as soon as both are complete; after the last sample the remaining trees
// become one from the smallest on. For seven samples that is
//
//	((0+1)+(2+3)) + ((4+5)+6)
//
// The shape depends only on the number of samples, so that processes which have 2ᵏ consecutive
// samples each compute the branches of the same sum. It holds at most one tree of each size.
type gradients struct {
	trees   [][]nn.Array // largest first; each by parameter, nil for one without a gradient
	samples int
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
	g.samples++
	for n := g.samples; n%2 == 0; n /= 2 {
		if err := g.join(b, params); err != nil {
			return err
		}
	}
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

// mean stores the mean over the samples in the parameters.
func (g *gradients) mean(b nn.Backend, params []*nn.Param) (err error) {
	for len(g.trees) > 1 {
		if err := g.join(b, params); err != nil {
			return err
		}
	}
	for i, p := range params {
		p.Grad = g.trees[0][i]
		if p.Grad == nil || g.samples == 1 {
			continue
		}
		if p.Grad, err = b.Scale(p.Grad, 1/float64(g.samples)); err != nil {
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
