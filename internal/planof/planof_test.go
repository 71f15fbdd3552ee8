package planof

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
)

var (
	logits = []int{2, 2, 3, 5}
	label  = []int{2, 3, 5}
)

func TestOf(t *testing.T) {
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		got, err := Of(l, logits, label, tensor.Uint8)
		require.NoError(t, err, name)
		require.Len(t, got, 1, name)
		assert.Equal(t, 1.0, got[0].Weight, name)
		assert.Nil(t, got[0].Shape, name)
		assert.False(t, got[0].Target.Dense, name)
		assert.Equal(t, name == "afl" || name == "afl-paper" || name == "afl-balanced" || name == "dice-afl", got[0].Target.Binarize, name)
	}

	dice := afl.NewDice()
	dice.Reduction = afl.ReduceNone
	got, err := Of(dice, logits, logits, tensor.Float32)
	require.NoError(t, err)
	assert.Equal(t, []int{2, 2, 1, 1}, got[0].Shape)
	assert.True(t, got[0].Target.Dense)
	assert.Equal(t, plan.Dice, got[0].Loss.Overlap.Kind)

	inner := afl.NewSum(afl.Term{Weight: 3, Loss: afl.NewFocal()}, afl.Term{Weight: -1, Loss: afl.NewTversky()})
	got, err = Of(afl.NewSum(afl.Term{Weight: 2, Loss: inner}, afl.Term{Weight: 5, Loss: afl.NewIoU()}), logits, label, tensor.Int64)
	require.NoError(t, err)
	require.Len(t, got, 3)
	assert.Equal(t, []float64{6, -2, 5}, []float64{got[0].Weight, got[1].Weight, got[2].Weight})
	assert.NotNil(t, got[0].Loss.Focal)
	assert.Equal(t, plan.Tversky, got[1].Loss.Overlap.Kind)
	assert.True(t, got[2].Loss.Overlap.Jaccard)
}

// scaled is a loss of another package, of whose value its plan is not all.
type scaled struct{ afl.Dice }

func (l scaled) Eval(logits, target, grad *tensor.Dense, opts ...afl.EvalOption) (*tensor.Dense, error) {
	return l.Dice.Eval(logits, target, grad, opts...)
}

func TestRefusals(t *testing.T) {
	dice := afl.NewDice()
	unreduced := dice
	unreduced.Reduction = afl.ReduceNone
	for _, l := range []afl.Loss{nil, (*afl.Dice)(nil), &dice, scaled{dice}, afl.NewSum(afl.Term{Weight: 1, Loss: scaled{dice}})} {
		_, err := Of(l, logits, label, tensor.Uint8)
		assert.ErrorContains(t, err, "want a loss of package afl, by value", "%T", l)
	}
	for message, l := range map[string]afl.Loss{
		"literal": afl.Dice{}, "Terms is empty": afl.Sum{}, "channels of logits": afl.NewAdaptiveFocal(),
		"Reduction": afl.NewSum(afl.Term{Weight: 1, Loss: unreduced}),
	} {
		_, err := Of(l, []int{2, 3, 3, 5}, label, tensor.Uint8)
		assert.ErrorContains(t, err, message)
	}
	_, err := Of(dice, logits, []int{2, 5, 3}, tensor.Uint8)
	assert.ErrorContains(t, err, "shape of target")
}
