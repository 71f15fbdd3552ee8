package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// TestWork counts by hand, for one voxel of two channels: a pass reads 8 bytes of
// logits and 1 of label, a gradient writes 8.
func TestWork(t *testing.T) {
	type counts struct{ passes, bytes, exp, log int64 }
	one := func(exp, log int64) [2]counts { // a pointwise loss: one pass either way
		return [2]counts{{1, 9, exp, log}, {1, 17, exp, log}}
	}
	two := func(exp, log, gradExp, gradLog int64) [2]counts { // with an overlap term
		return [2]counts{{1, 9, exp, log}, {2, 26, gradExp, gradLog}}
	}
	adaptive := func(exp, log int64) [2]counts { // the label is read once more
		return [2]counts{{1, 10, exp, log}, {1, 18, exp, log}}
	}
	want := map[string][2]counts{
		"ce":               one(1, 1),
		"bce":              one(2, 2),
		"fl":               one(2, 2),
		"afl":              adaptive(4, 2),
		"afl-paper":        adaptive(4, 2),
		"afl-balanced":     adaptive(4, 2),
		"afl-multiclass":   adaptive(2, 1),
		"dice":             two(2, 0, 2, 0),
		"iou":              two(2, 0, 2, 0),
		"generalized-dice": two(2, 0, 2, 0),
		"tversky":          two(2, 0, 2, 0),
		"focal-tversky":    two(2, 0, 2, 0),
		"dice-ce":          two(1, 1, 1, 1),
		"dice-focal":       two(2, 2, 2, 4),
		"dice-afl":         {{1, 10, 4, 2}, {2, 27, 6, 4}},
	}
	s := NewSize([3]int{8, 9, 10})
	v := int64(s.Voxels())
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		_, counted := want[name]
		for i, gradient := range []bool{false, true} {
			w, err := Count(l, s, Float32Uint8, gradient)
			require.NoError(t, err)
			if !counted {
				continue // what another loss of its terms takes
			}
			got := counts{int64(w.Passes), w.Bytes / v, w.Exp / v, w.Log / v}
			assert.Equal(t, want[name][i], got, "%s, gradient %v", name, gradient)
			assert.Zero(t, w.Bytes%v+w.Exp%v+w.Log%v)
		}
	}
}

// TestWorkElements counts other types and samples by hand: two passes read 4 bytes
// of bfloat16 logits and 8 of an int64 label each, the gradient writes 4.
func TestWorkElements(t *testing.T) {
	s := NewSize([3]int{8, 9, 10})
	s.Samples = 3
	w, err := Count(afl.NewDice(), s, Elements{Logit: 2, Label: 8}, true)
	require.NoError(t, err)
	assert.Equal(t, int64(28*3*720), w.Bytes)
	w, err = Count(afl.NewAdaptiveFocal(), s, Elements{Logit: 4, Label: 8}, false)
	require.NoError(t, err)
	assert.Equal(t, int64((8+2*8)*3*720), w.Bytes, "the label twice")
}

// TestTermsOptions: what the constructors' defaults do not show.
func TestTermsOptions(t *testing.T) {
	count := func(l afl.Loss, c int) (evaluations, evaluations) {
		terms, err := termsOf(l, c, ClassIndices)
		require.NoError(t, err)
		return terms.probability, terms.value
	}
	ce := afl.NewCrossEntropy()
	p, v := count(ce, 5)
	assert.Equal(t, evaluations{exp: 4}, p)
	assert.Equal(t, evaluations{log: 1}, v)

	// (1−p)^γ of a softmax: for whole γ a product; else a power, whose logarithm
	// is that of the other channel where there are two.
	focal := afl.NewFocal()
	focal.Activation = afl.Softmax
	_, v = count(focal, 3)
	assert.Equal(t, evaluations{log: 1}, v)
	focal.Gamma = []float64{1.5}
	_, v = count(focal, 2)
	assert.Equal(t, evaluations{exp: 1, log: 1}, v)
	_, v = count(focal, 3)
	assert.Equal(t, evaluations{exp: 1, log: 2}, v)

	// Two terms of different activations share nothing.
	compound := afl.NewDiceFocal()
	compound.Pointwise.Activation = afl.Softmax
	p, _ = count(compound, 4)
	assert.Equal(t, evaluations{exp: 4 + 3}, p)

	ce.ExcludeBackground = true
	_, err := termsOf(ce, 3, ClassIndices)
	assert.ErrorContains(t, err, "background")
	_, err = termsOf(unknownLoss{}, 2, ClassIndices)
	assert.ErrorContains(t, err, "unknownLoss")
}

// unknownLoss is no plan.
type unknownLoss struct{}

func (unknownLoss) Eval(_, _, _ *tensor.Dense, _ ...afl.EvalOption) (*tensor.Dense, error) {
	return tensor.New(tensor.FromScalar(1.0)), nil
}
