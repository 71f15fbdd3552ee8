package segment

import (
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// ablations are A-FL as released with one part replaced, which show what that part does. They
// are for research: none is proposed as a loss.
var ablations = []struct {
	name, title string
	make        func() afl.Loss
}{
	{"afl-boundary-smoothness", "A-FL, γ_mSa over the boundary", func() afl.Loss {
		l := afl.NewAdaptiveFocal()
		l.Smoothness = afl.SmoothnessBoundary
		return l
	}},
	{"afl-gamma-0", "A-FL, γ = 0", func() afl.Loss { return ablation{gamma: []float64{0}} }},
	{"afl-gamma-2", "A-FL, γ = 2", func() afl.Loss { return ablation{gamma: []float64{2}} }},
	{"afl-unweighted", "A-FL, weights 1", func() afl.Loss { return ablation{unweighted: true} }},
}

// AblationNames returns the names of the ablations of A-FL: its released form with γ_mSa as
// the mean over the boundary, with γ fixed to 0 and to 2 under its own weights, and with the
// weights 1 under its own γ.
func AblationNames() []string {
	var names []string
	for _, a := range ablations {
		names = append(names, a.name)
	}
	return names
}

// CanonicalName returns the name in [AblationNames] that is meant by name, or else that of
// [afl.CanonicalName].
func CanonicalName(name string) (string, error) {
	lower := strings.ToLower(strings.TrimSpace(name))
	if slices.Contains(AblationNames(), lower) {
		return lower, nil
	}
	return afl.CanonicalName(name)
}

// ablation is the focal loss with the γ and the channels' weights that A-FL as released has for
// a batch, in which those that its fields name are replaced.
type ablation struct {
	gamma      []float64 // in place of A-FL's; nil keeps it
	unweighted bool      // every channel has the weight 1
}

// Eval implements [afl.Loss].
func (l ablation) Eval(logits, target, grad *tensor.Dense, opts ...afl.EvalOption) (*tensor.Dense, error) {
	batch, err := afl.NewAdaptiveFocal().Parameters(logits, target, opts...)
	if err != nil {
		return nil, err
	}
	of := batch[0] // as released, the samples of a batch have the same
	focal := afl.NewFocal()
	if focal.Gamma = l.gamma; l.gamma == nil {
		focal.Gamma = of.Gamma
	}
	if !l.unweighted {
		focal.Weight = of.Positive // equal to of.Negative in the released form
	}
	return focal.Eval(logits, target, grad, opts...)
}
