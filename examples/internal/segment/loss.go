package segment

import (
	"fmt"

	"github.com/x/afl"
)

// substitutes maps losses that have no form for the channels of a kind to those that take
// their place.
var substitutes = map[Kind]map[string]string{
	Classes: {
		"afl": "afl-multiclass", "afl-paper": "afl-multiclass", "afl-balanced": "afl-multiclass",
		"bce": "ce", "unified-focal": "dice-focal", "blob": "dice-ce",
	},
	Regions: {"afl": "afl-multiclass", "ce": "bce", "topk-ce": "bce"},
}

// Substitute returns the name of the loss to use instead of the named one, which is a
// canonical name of package afl, or the name itself if it has a form for the scheme.
func (s Scheme) Substitute(name string) string {
	if other, ok := substitutes[s.Kind][name]; ok {
		return other
	}
	return name
}

// Loss returns a loss by its name in the form for the scheme's channels, and its title in
// tables. Without classes and regions this is the loss of [afl.ByName], or an ablation of A-FL.
//
// For classes the activation is the softmax over all channels, and for regions the sigmoid
// of each channel. A-FL has its multiclass form for classes. For regions it is the mean over
// the regions of the loss of one channel, each region with a γ and an α of its own, and so
// are the unified focal, boundary, Lovász, exponential logarithmic and blob losses. A loss
// without such a form is an error that names the one to use.
func (s Scheme) Loss(name string) (loss afl.Loss, title string, err error) {
	if name, err = CanonicalName(name); err != nil {
		return nil, "", err
	}
	for _, a := range ablations {
		if a.name == name && s.Kind != Binary {
			return nil, "", fmt.Errorf("segment: the loss %s is an ablation of the released A-FL, which has no form for %s", name, s.Kind)
		}
		if a.name == name {
			return a.make(), a.title, nil
		}
	}
	if other := s.Substitute(name); other != name {
		return nil, "", fmt.Errorf("segment: the loss %s has no form for %s, want %s", name, s.Kind, other)
	}
	if loss, err = afl.ByName(name); err != nil {
		return nil, "", err
	}
	if title, err = afl.Title(name); err != nil {
		return nil, "", err
	}
	var ok bool
	switch s.Kind {
	case Classes:
		loss, ok = softmaxForm(loss, s.Channels())
	case Regions:
		loss, ok = sigmoidForm(loss)
	default:
		return loss, title, nil
	}
	if !ok {
		return nil, "", fmt.Errorf("segment: the loss %s has no form for %s", name, s.Kind)
	}
	return loss, title, nil
}

// softmaxForm returns a loss with a softmax over all channels, of which channel 0 is the
// background.
func softmaxForm(l afl.Loss, channels int) (afl.Loss, bool) {
	switch l := l.(type) {
	case afl.Dice:
		l.Activation = afl.Softmax
		return l, true
	case afl.GeneralizedDice:
		l.Activation = afl.Softmax
		return l, true
	case afl.Tversky:
		l.Activation = afl.Softmax
		return l, true
	case afl.FocalTversky:
		l.Activation = afl.Softmax
		return l, true
	case afl.Focal:
		l.Activation = afl.Softmax
		return l, true
	case afl.CrossEntropy:
		l.Activation = afl.Softmax
		return l, true
	case afl.AdaptiveFocal:
		l.Activation = afl.Softmax
		return l, l.Form == afl.FormMulticlass
	case afl.Compound[afl.CrossEntropy, afl.Dice]:
		l.Pointwise.Activation, l.Overlap.Activation = afl.Softmax, afl.Softmax
		return l, true
	case afl.Compound[afl.Focal, afl.Dice]:
		l.Pointwise.Activation, l.Overlap.Activation = afl.Softmax, afl.Softmax
		return l, true
	case afl.Compound[afl.AdaptiveFocal, afl.Dice]:
		l.Pointwise, l.Overlap.Activation = afl.NewAdaptiveFocalMulticlass(), afl.Softmax
		return l, true
	case afl.Boundary:
		for c := 1; c < channels; c++ {
			l.Channels = append(l.Channels, c)
		}
		return l, true
	case afl.HausdorffDT:
		l.Activation = afl.Softmax
		return l, true
	case afl.LogCoshDice:
		l.Activation = afl.Softmax
		return l, true
	case afl.Lovasz, afl.TopKCrossEntropy, afl.ExponentialLogarithmic:
		return l, true
	}
	return nil, false
}

// sigmoidForm returns a loss with a sigmoid of each channel.
func sigmoidForm(l afl.Loss) (afl.Loss, bool) {
	switch l := l.(type) {
	case afl.Dice:
		l.Activation = afl.Sigmoid
		return l, true
	case afl.GeneralizedDice:
		l.Activation = afl.Sigmoid
		return l, true
	case afl.Tversky:
		l.Activation = afl.Sigmoid
		return l, true
	case afl.FocalTversky:
		l.Activation = afl.Sigmoid
		return l, true
	case afl.Focal:
		l.Activation = afl.Sigmoid
		return l, true
	case afl.CrossEntropy:
		l.Activation = afl.Sigmoid
		return l, true
	case afl.AdaptiveFocal:
		l.Activation, l.Binarize = afl.Sigmoid, false
		return perRegion{l}, l.Form != afl.FormReleased
	case afl.Compound[afl.CrossEntropy, afl.Dice]:
		l.Pointwise.Activation, l.Overlap.Activation = afl.Sigmoid, afl.Sigmoid
		return l, true
	case afl.Compound[afl.Focal, afl.Dice]:
		l.Pointwise.Activation, l.Overlap.Activation = afl.Sigmoid, afl.Sigmoid
		return l, true
	case afl.Compound[afl.AdaptiveFocal, afl.Dice]:
		l.Overlap.Activation = afl.Sigmoid
		adaptive := afl.NewAdaptiveFocalMulticlass()
		adaptive.Activation = afl.Sigmoid
		return afl.NewSum(
			afl.Term{Weight: l.LambdaPointwise, Loss: perRegion{adaptive}},
			afl.Term{Weight: l.LambdaOverlap, Loss: l.Overlap},
		), true
	case afl.HausdorffDT:
		l.Activation, l.ExcludeBackground = afl.Sigmoid, false
		return l, true
	case afl.LogCoshDice:
		l.Activation = afl.Sigmoid
		return l, true
	case afl.UnifiedFocal, afl.Boundary, afl.Lovasz, afl.ExponentialLogarithmic, afl.Blob:
		return perRegion{l}, true
	}
	return nil, false
}
