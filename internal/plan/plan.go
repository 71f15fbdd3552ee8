// Package plan describes a loss as data, so that a backend needs three kernels
// and not one per loss.
//
// A loss is the sum of at most two terms: a pointwise term (cross-entropy,
// focal and adaptive focal) and an overlap term (Dice, generalized Dice, IoU,
// Tversky). Package afl turns a loss value into a [Loss]; a [Backend] evaluates
// it in one pass over the logits where there is only a pointwise term, and in
// two where an overlap term needs its sums before its gradient is known.
//
// Some of a loss depends on the label: the parameters of A-FL, and what a mean
// is divided by. A [Loss] only says how. Where the host sees the label's
// statistics it turns the loss into a [Plan] of numbers ([Evaluate]); a backend
// that would have to synchronize with its device for that does the same on the device.
//
// Axes: N samples, C channels, V voxels a sample. Logits lie as N×C×V. Small
// per-channel arrays of a plan are N×C, indexed n*C+c.
package plan

import (
	"gorgonia.org/tensor"
)

// Activation turns logits into probabilities.
type Activation uint8

// The activations of a term.
const (
	None    Activation = iota // the logits are taken as probabilities
	Sigmoid                   // each channel by itself
	Softmax                   // over the channels of a voxel
)

// Batch is what a loss is evaluated on.
type Batch struct {
	N, C, V int
	// Space is the spatial shape; a 2-D image of H×W is H×1×W.
	Space [3]int
	// Logits is N×C×V, float32 or float64.
	Logits *tensor.Dense
	Target Target
	// VoxelWeight is nil or N×V, float32 or float64.
	VoxelWeight *tensor.Dense
}

// Target is the label of a batch.
type Target struct {
	Tensor *tensor.Dense
	// Argument is the tensor's name in the API, for errors.
	Argument string
	// Dense is true for one map per channel (N×C×V, values in [0,1]) and false
	// for class indices (N×V).
	Dense bool
	// Ignore is the class index that takes no part, where HasIgnore is set.
	Ignore    int64
	HasIgnore bool
	// Binarize takes every class index above 1 as 1.
	Binarize bool
}

// Classes is the number of class indices that a label may have: one a channel,
// and two where a single channel takes a 0/1 mask.
func (b *Batch) Classes() int { return max(b.C, 2) }

// Plan is one loss on one batch, with the label's statistics worked in.
type Plan struct {
	Pointwise *Pointwise
	Overlap   *Overlap
}

// Pointwise is the term that is a sum over voxels and channels.
//
// With the sigmoid, element (n,c,i) is, with s = 2t−1 and σ the logistic function,
//
//	(Pos·t + Neg·(1−t)) · [CE·t·softplus(−x) + (1−t)·softplus(x)] · σ(−s·x)^Gamma
//
// and with the softmax
//
//	−Pos · ((1−Smoothing)·t + Smoothing/C) · (1−p)^Gamma · log p.
//
// Every element is multiplied by Scale and by the voxel's weight.
type Pointwise struct {
	Activation Activation
	// First is the first channel that takes part: 1 without the background.
	First int
	// SoftmaxFrom is the first channel that the softmax runs over: 0, or First
	// where the background is dropped before the softmax.
	SoftmaxFrom int
	Gamma       []float64 // N×C
	Pos, Neg    []float64 // N×C
	CE          []float64 // C
	Smoothing   float64
	// Scale holds the term's factor over its denominator. It may be infinite
	// where no voxel takes part (the mean of nothing); gradients are 0 then.
	Scale float64
	// PerVoxel asks for elements summed over the channels (N×V) in place of
	// one for each channel that takes part (N×C'×V), where elements are written.
	PerVoxel bool
}

// Sums are the results of a reduction over the voxels. I, P, G and Upstream are
// N×C; channels that do not take part hold zeros.
type Sums struct {
	Pointwise float64   // sum of the pointwise elements, without Scale
	I         []float64 // Σ p·t
	P         []float64 // Σ p, or Σ p²
	G         []float64 // Σ t, or Σ t²
	Upstream  []float64 // Σ of the elements' upstream gradient
}

// Output says what the second pass writes and what it multiplies by.
type Output struct {
	// Grad is nil or N×C×V, of the logits' type.
	Grad *tensor.Dense
	// Reduced says that Reduce was given Grad for its intermediates, for the same
	// batch and plan.
	Reduced bool
	// Elements is nil or receives the un-reduced pointwise term, see
	// [Pointwise.PerVoxel].
	Elements *tensor.Dense
	// Upstream is nil (all ones) or the gradient of the caller's objective with
	// respect to Elements, shaped like it.
	Upstream *tensor.Dense
	// Offset (N×C) is added to every element of its sample and channel; nil is 0.
	Offset []float64
	// CoefT and CoefP (N×C) give the overlap term's derivative with respect to
	// a probability: CoefT·t + CoefP, or CoefT·t + 2·CoefP·p where the overlap
	// squares its sums. Nil where the plan has no overlap term.
	CoefT, CoefP []float64
}

// StatsRequest says which statistics of the label are wanted.
type StatsRequest struct {
	// Smoothness asks for the gradient magnitude of the foreground mask.
	Smoothness bool
	// PerClass asks for the gradient magnitude of every class's own mask too.
	PerClass bool
}

// Masks is the number of masks whose gradient magnitude is wanted of a label of c
// channels, K of [Stats].
func (r StatsRequest) Masks(c int) int {
	switch {
	case !r.Smoothness:
		return 0
	case r.PerClass:
		return c
	}
	return 1
}

// Stats are statistics of the label, by sample. For soft maps counts are sums.
type Stats struct {
	Valid []float64 // N: voxels that are not ignored
	Count []float64 // N×C: voxels of each class
	// Foreground is Σ of the foreground map: class index above 0; for maps the
	// largest value of the channels above 0, or of the only channel.
	Foreground []float64 // N
	// Magnitude is Σ|∇mask| over the voxels that are not ignored, and Boundary
	// the number of them where it is not zero. Index n*K+k: k = 0 is the
	// foreground; with PerClass k = 1… are the classes 1…C−1.
	Magnitude, Boundary []float64
	K                   int
}

// Call says what an evaluation is to return.
type Call struct {
	// Shape is nil for the reduced loss, or that of the un-reduced one.
	Shape []int
	// Upstream is nil (all ones) or the gradient of the caller's objective with
	// respect to the un-reduced loss, shaped like it.
	Upstream *tensor.Dense
	// Grad is nil or receives the gradient with respect to the logits, times GradScale.
	Grad *tensor.Dense
	// GradScale is positive; 0 means 1.
	GradScale float64
}

// Scale returns what the gradient is multiplied by.
func (c *Call) Scale() float64 {
	if c.GradScale == 0 {
		return 1
	}
	return c.GradScale
}

// Backend evaluates losses where the logits live. Implementations are
// comparable and safe for concurrent use.
type Backend interface {
	// LogitsTypes are the types of logits that it takes.
	LogitsTypes() []tensor.Dtype
	// NewTensor returns a new tensor of like's type on like's engine.
	NewTensor(like *tensor.Dense, shape ...int) (*tensor.Dense, error)
	// Eval returns the reduced loss, a float64 scalar, or the un-reduced one: of
	// the logits' type where there is a pointwise term, else float64.
	Eval(b *Batch, l *Loss, c *Call) (*tensor.Dense, error)
	// Stats returns statistics of the label.
	Stats(b *Batch, want StatsRequest) (*Stats, error)
	// Combine stores a·dst + b·src in dst, or a·dst where src is nil. Both are
	// tensors of this backend of one shape, and of one float type unless they are
	// scalars. An infinite or NaN
	// element of dst or src counts also where its factor is 0.
	Combine(dst *tensor.Dense, a float64, src *tensor.Dense, b float64) error
}

// Remote is a [Backend] with memory of its own, which Go neither reads nor
// collects.
type Remote interface {
	Backend
	// Number waits for the scalar that Eval has returned, gives back its memory
	// and returns it.
	Number(scalar *tensor.Dense) (float64, error)
	// Release gives back the memory of a tensor.
	Release(t *tensor.Dense) error
}

// Provider is a tensor.Engine that has a backend.
type Provider interface {
	// Backend returns the backend of the engine's tensors. Two calls on one
	// engine return values that are equal.
	Backend() Backend
}
