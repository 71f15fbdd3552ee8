package afl

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Form is a reading of the Adaptive Focal Loss.
type Form uint8

const (
	// FormReleased is what the authors' released code computes, and the default:
	// two channels, each a sigmoid against its one-hot map, γ = γ_va + γ_mSa,
	// and the factor W_0 = 1−γ_va (the background's share) on all of channel 0
	// and W_1 = γ_va on all of channel 1. It scales the two output maps rather
	// than the two classes: within a channel foreground and background weigh the
	// same, and the foreground channel weighs little where the tumor is small.
	FormReleased Form = iota
	// FormPaper is the formula of the paper for one channel or two,
	// −α·(1−p_t)^γ·log p_t, with the single α = α_va = 1−γ_va: a constant for each
	// image, which does not balance the classes.
	FormPaper
	// FormBalanced is FormPaper with the usual reading of a focal loss's alpha:
	// foreground voxels are multiplied by α_va and background voxels by 1−α_va.
	FormBalanced
	// FormMulticlass is this package's extension to any number of classes. Every
	// class c > 0 has a focusing parameter of its own, γ_c = r_c + s_c, from its
	// share r_c of the voxels and the smoothness s_c of its own mask, and
	// α_c = 1−r_c; class 0 has the γ and the share of the union of the others,
	// α_0 = γ_va. By sigmoid channel c's positives are multiplied by α_c and its
	// negatives by 1−α_c, by softmax class c is multiplied by α_c. With one or
	// two channels it equals FormBalanced.
	FormMulticlass
)

var formNames = [...]string{"released", "paper", "balanced", "multiclass"}

func (f Form) String() string { return name(formNames[:], int(f), "Form") }

// StatsMode says over which samples the label's statistics are taken. The three
// coincide for a batch of one.
type StatsMode uint8

const (
	// StatsReleased pools the voxel counts over the batch and takes the
	// smoothness of sample 0 alone, as the released code does.
	StatsReleased StatsMode = iota
	// StatsPooled pools the voxel counts over the batch and takes the mean of
	// the samples' smoothness.
	StatsPooled
	// StatsPerSample gives each sample its own γ and weights.
	StatsPerSample
)

var statsModeNames = [...]string{"released", "pooled", "per-sample"}

func (m StatsMode) String() string { return name(statsModeNames[:], int(m), "StatsMode") }

// Smoothness says how the gradient magnitude of the label is averaged.
type Smoothness uint8

const (
	// SmoothnessWholeImage is the mean over all voxels, γ_mSa of paper and code.
	SmoothnessWholeImage Smoothness = iota
	// SmoothnessBoundary is the mean over the voxels whose gradient is not zero,
	// 0 if there are none. It does not shrink with the tumor's share of the image.
	SmoothnessBoundary
)

var smoothnessNames = [...]string{"whole-image", "boundary"}

func (s Smoothness) String() string { return name(smoothnessNames[:], int(s), "Smoothness") }

// AdaptiveFocal is A-FL, the size- and smoothness-aware Adaptive Focal Loss
// (Islam et al., arXiv 2407.09828): a [Focal] loss whose focusing parameter and
// weights come from each image's own label,
//
//	γ = γ_va + γ_mSa,  γ_va = foreground/(foreground + background),
//	γ_mSa = mean over the voxels of |∇ mask|,  α_va = 1 − γ_va,
//
// where the mask is label ≠ 0 and ∇ is in voxels ([LabelStats]). With f_c(γ) the
// element of [Focal] for channel c without α, t_c the channel's target and w_c its
// Weight, the element of a voxel and channel is, by Form,
//
//	FormReleased    e_c = w_c·W_c·f_c(γ),  W = (1−γ_va, γ_va)
//	FormPaper       e_c = w_c·α_va·f_c(γ)
//	FormBalanced    e_c = w_c·(α_va·y + (1−α_va)·(1−y))·f_c(γ),  y = 1 in the mask, 0 outside
//	FormMulticlass  e_c = w_c·(α_c·t_c + (1−α_c)·(1−t_c))·f_c(γ_c)
//
// Nothing is differentiated through γ or the weights.
//
// An empty mask has γ = 0 and α_va = 1, a full one γ_va = 1 and α_va = 0; both
// are finite in every form. (The released code gives NaN for both; FormReleased
// takes the limit.) Ignored voxels are background in the mask and count neither in the
// shares nor in the mean. For a per-channel target the mask is the largest value of the
// channels above 0, or the only channel; soft values make soft shares. [WithStats] gives
// the statistics of another label than the target, such as those of the whole image
// where the target is a patch.
type AdaptiveFocal struct {
	Options
	constructed
	// Form defaults to FormReleased.
	Form Form
	// Activation is Sigmoid (default), or Softmax or SoftmaxMONAI in the other forms.
	Activation Activation
	// Stats defaults to StatsReleased.
	Stats StatsMode
	// Smoothness defaults to SmoothnessWholeImage.
	Smoothness Smoothness
	// Binarize, true by default, reads class indices above 1 as 1. It has no
	// effect in FormMulticlass and on maps.
	Binarize bool
}

// NewAdaptiveFocal returns A-FL as released, reduced to the mean: the "A-FL" row of
// the paper's table.
func NewAdaptiveFocal() AdaptiveFocal {
	return AdaptiveFocal{constructed: constructed{true}, Binarize: true}
}

// NewAdaptiveFocalPaper returns A-FL by the paper's formula with sigmoid activation,
// with statistics of each sample.
func NewAdaptiveFocalPaper() AdaptiveFocal {
	l := NewAdaptiveFocal()
	l.Form, l.Stats = FormPaper, StatsPerSample
	return l
}

// NewAdaptiveFocalBalanced returns A-FL with α balancing foreground and background
// voxels, with sigmoid activation and the statistics of each sample.
func NewAdaptiveFocalBalanced() AdaptiveFocal {
	l := NewAdaptiveFocalPaper()
	l.Form = FormBalanced
	return l
}

// NewAdaptiveFocalMulticlass returns A-FL for any number of classes, with softmax,
// with statistics of each sample.
func NewAdaptiveFocalMulticlass() AdaptiveFocal {
	l := NewAdaptiveFocal()
	l.Form, l.Activation, l.Stats = FormMulticlass, Softmax, StatsPerSample
	return l
}

// Eval implements [Loss].
func (l AdaptiveFocal) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	return eval(l, logits, target, grad, opts)
}

func (AdaptiveFocal) constructor() string {
	return "NewAdaptiveFocal, NewAdaptiveFocalPaper, NewAdaptiveFocalBalanced or NewAdaptiveFocalMulticlass"
}

func (l AdaptiveFocal) binarize() bool { return l.Binarize && l.Form != FormMulticlass }

// AdaptiveParameters are what A-FL derives from a sample's label.
type AdaptiveParameters struct {
	GammaVa  float64 // foreground share
	GammaMSa float64 // smoothness
	AlphaVa  float64 // 1 − GammaVa
	// Gamma, Positive and Negative are by channel: the focusing parameter and
	// the factors of the channel's positive and negative voxels, without Weight.
	Gamma, Positive, Negative []float64
}

// Parameters returns the parameters that the loss would use for each sample of
// a batch, for logging and study. The arguments are those of Eval, of whose options
// [WithStats] matters.
func (l AdaptiveFocal) Parameters(logits, target *tensor.Dense, opts ...EvalOption) ([]AdaptiveParameters, error) {
	if err := checkConstructed(l); err != nil {
		return nil, err
	}
	cfg, err := NewEvalConfig(opts...)
	if err != nil {
		return nil, err
	}
	in, err := newInput(logits, target, nil, l.IgnoreIndex, l.binarize())
	if err != nil {
		return nil, err
	}
	in.stats = cfg.Stats
	a, err := l.adaptive(in)
	if err != nil {
		return nil, err
	}
	st := a.Given
	if st == nil {
		if st, err = in.backend.Stats(&in.batch, a.Request()); err != nil {
			return nil, public(err)
		}
	}
	params := make([]AdaptiveParameters, in.batch.N)
	for n := range params {
		params[n] = AdaptiveParameters(a.Factors(st, n, in.batch.C))
	}
	return params, nil
}

// adaptive checks what the parameters depend on, and describes them.
func (l AdaptiveFocal) adaptive(in *input) (*plan.Adaptive, error) {
	channels := in.batch.C
	switch {
	case l.Form > FormMulticlass:
		return nil, refuse("Form", l.Form, "released, paper, balanced or multiclass")
	case l.Stats > StatsPerSample:
		return nil, refuse("Stats", l.Stats, "released, pooled or per-sample")
	case l.Smoothness > SmoothnessBoundary:
		return nil, refuse("Smoothness", l.Smoothness, "whole-image or boundary")
	case l.Form == FormReleased && channels == 1:
		return nil, refuse("channels of logits", channels, "2 in the released form (FormPaper and FormBalanced take 1)")
	case l.Form == FormReleased && channels > 2:
		return nil, refuse("channels of logits", channels, "2 in the released form (FormMulticlass takes any number)")
	case l.Form == FormReleased && l.Activation != Sigmoid:
		return nil, refuse("Activation", l.Activation, "sigmoid in the released form")
	case l.Form != FormMulticlass && channels > 2:
		return nil, refuse("channels of logits", channels, "1 or 2 in the %v form (FormMulticlass takes any number)", l.Form)
	}
	a := &plan.Adaptive{Form: plan.Form(l.Form), Stats: plan.StatsMode(l.Stats), Smoothness: plan.Smoothness(l.Smoothness)}
	if in.stats == nil {
		return a, nil
	}
	var err error
	a.Given, err = in.givenStats(a.Request())
	return a, err
}

// The casts of adaptive are right: an index other than 0 does not compile.
var (
	_ = [1]struct{}{}[FormReleased-Form(plan.Released)]
	_ = [1]struct{}{}[FormPaper-Form(plan.Scalar)]
	_ = [1]struct{}{}[FormBalanced-Form(plan.Balanced)]
	_ = [1]struct{}{}[FormMulticlass-Form(plan.Multiclass)]
	_ = [1]struct{}{}[StatsReleased-StatsMode(plan.StatsReleased)]
	_ = [1]struct{}{}[StatsPooled-StatsMode(plan.StatsPooled)]
	_ = [1]struct{}{}[StatsPerSample-StatsMode(plan.StatsPerSample)]
	_ = [1]struct{}{}[SmoothnessWholeImage-Smoothness(plan.WholeImage)]
	_ = [1]struct{}{}[SmoothnessBoundary-Smoothness(plan.Boundary)]
)

func (l AdaptiveFocal) plan(in *input) (*plan.Loss, error) {
	c := in.batch.C
	first := l.first(c)
	w, err := l.weights(c - first)
	if err != nil {
		return nil, err
	}
	adaptive, err := l.adaptive(in)
	if err != nil {
		return nil, err
	}
	activation, err := in.activation(l.Activation, true)
	if err != nil {
		return nil, err
	}
	p := in.newFocal(activation, w)
	p.Adaptive = adaptive
	p.Scale, p.Denominator = in.scale(l.Reduction, c-first)
	return &plan.Loss{Focal: p}, nil
}
