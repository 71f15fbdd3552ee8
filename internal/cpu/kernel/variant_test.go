package kernel

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestVariants: the lists hold every variant that computes something, each once,
// with an index and a name of its own.
func TestVariants(t *testing.T) {
	indices, names := map[int]bool{}, map[string]bool{}
	listed := map[Variant]bool{}
	for _, v := range Logistic() {
		listed[v] = true
		assert.True(t, v.Index() >= 0 && v.Index() < Variants, v.LogisticName())
		indices[v.Index()], names[v.LogisticName()] = true, true
	}
	wanted := 0
	for i := range Variants {
		on := func(bit int) bool { return i>>bit&1 == 1 }
		v := Variant{Exponent: Exponent(i & 3), Overlap: on(2), Grad: on(3), Pair: on(4), Cached: on(5), Weighted: on(6), Above: on(7)}
		assert.Equal(t, i, v.Index())
		// Nothing to compute, or nothing to cache for a second pass.
		useless := v.Exponent == NoPointwise && !v.Overlap || v.Cached && !v.Overlap ||
			v.Above && (!v.Pair || v.Exponent != GammaZero || v.Overlap)
		assert.Equal(t, !useless, listed[v], "%+v", v)
		if !useless {
			wanted++
		}
	}
	assert.Len(t, Logistic(), wanted)
	assert.Len(t, indices, wanted)
	assert.Len(t, names, wanted)
	for _, v := range Softmax() {
		assert.True(t, (listed[v] || v.Above && v.Exponent == GammaZero && !v.Overlap) && !v.Pair && !v.Cached && !v.Weighted, v.LogisticName())
	}
	assert.Len(t, Softmax(), 16)
}

func TestNames(t *testing.T) {
	assert.Equal(t, "logisticGammaSums", Variant{Exponent: GammaAny}.LogisticName())
	assert.Equal(t, "softmaxGammaSums", Variant{Exponent: GammaAny}.SoftmaxName())
	assert.Equal(t, "logisticOverlapGrad", Variant{Overlap: true, Grad: true}.LogisticName())
	assert.Equal(t, "pairGamma2OverlapGradCached",
		Variant{Pair: true, Exponent: GammaTwo, Overlap: true, Grad: true, Cached: true}.LogisticName())
}

// TestSums: a first pass adds up what the overlap term needs, the second nothing but
// elements whose value its gradient takes.
func TestSums(t *testing.T) {
	overlap, pair := []Sum{SumI, SumP, SumG}, []Sum{SumI, SumP, SumG, SumI0, SumP0, SumG0}
	for _, test := range []struct {
		v    Variant
		want []Sum
	}{
		{Variant{Exponent: GammaZero}, []Sum{SumPointwise}},
		{Variant{Exponent: GammaZero, Grad: true}, []Sum{SumPointwise}},
		{Variant{Overlap: true}, overlap},
		{Variant{Overlap: true, Grad: true}, nil},
		{Variant{Overlap: true, Pair: true, Cached: true}, pair},
		{Variant{Exponent: GammaZero, Overlap: true, Pair: true}, append([]Sum{SumPointwise}, pair...)},
		{Variant{Exponent: GammaZero, Overlap: true, Grad: true}, nil},
		{Variant{Exponent: GammaTwo, Overlap: true, Grad: true}, []Sum{SumPointwise}},
	} {
		assert.Equal(t, test.want, test.v.Sums(), test.v.LogisticName())
		assert.Equal(t, slices.Contains(test.want, SumPointwise), test.v.Elements(), test.v.LogisticName())
	}
	assert.Less(t, int(SumG0), Sums)
}
