package kernel

import (
	"math"
	"strings"
)

// Row is a row kernel: one step of a loss over the voxels of a tile, of float32 or
// float64. Package cpu says at the plain kernel of each what it computes.
type Row int

// The row kernels.
const (
	RowClass Row = iota
	RowValid
	RowMap
	RowWeight
	RowTotal

	RowExp
	RowScaledExp
	RowLog
	RowPower
	RowFocalZero
	RowFocalTwo
	RowFocal

	RowLargest
	RowSoftmaxExp
	RowSoftmaxSum
	RowSoftmaxPower
	RowSoftmaxFocalZero
	RowSoftmaxFocalTwo
	RowSoftmaxFocal
	RowAfter
	RowPullback

	// Two channels by softmax, the sigmoid of their difference.
	RowDifference
	RowPairClass
	RowPairPower
	RowPairFocalZero
	RowPairFocalTwo
	RowPairFocal
	RowPairSums
	RowPairGrad

	RowSumsNone
	RowSumsSigmoid
	RowSumsSoftmax
	RowGradNone
	RowGradSigmoid
	RowGradSoftmax

	// Of losses that are no plan, for one channel by sigmoid or two by softmax.
	RowDistance
	RowField
	RowFieldSquare
	RowErrors
	RowBinaryPower
	RowBinaryFocal
	RowLogPower
	RowLogFocal

	// The same for channels by softmax, of fields and of powers of the label's −log p.
	RowSoftmaxField
	RowSoftmaxFieldSquare
	RowLabel
	RowLabelPower
	RowLabelSums
	RowLabelGrad

	// An overlap term by sigmoid whose derivative differs from voxel to voxel.
	RowOverlapElements
	RowOverlapGrad
	Rows = iota // their number
)

// Name names the kernel: rowSoftmaxExp.
func (r Row) Name() string {
	return "row" + [Rows]string{"Class", "Valid", "Map", "Weight", "Total",
		"Exp", "ScaledExp", "Log", "Power", "FocalZero", "FocalTwo", "Focal",
		"Largest", "SoftmaxExp", "SoftmaxSum", "SoftmaxPower", "SoftmaxFocalZero", "SoftmaxFocalTwo", "SoftmaxFocal", "After", "Pullback",
		"Difference", "PairClass", "PairPower", "PairFocalZero", "PairFocalTwo", "PairFocal", "PairSums", "PairGrad",
		"SumsNone", "SumsSigmoid", "SumsSoftmax", "GradNone", "GradSigmoid", "GradSoftmax",
		"Distance", "Field", "FieldSquare", "Errors", "BinaryPower", "BinaryFocal", "LogPower", "LogFocal",
		"SoftmaxField", "SoftmaxFieldSquare", "Label", "LabelPower", "LabelSums", "LabelGrad", "OverlapElements", "OverlapGrad"}[r]
}

// Exponent is the form of the power in a kernel of a pointwise term.
func (r Row) Exponent() Exponent {
	name := r.Name()
	switch {
	case !strings.Contains(name, "Focal"):
		return NoPointwise
	case strings.HasSuffix(name, "Zero"):
		return GammaZero
	case strings.HasSuffix(name, "Two"):
		return GammaTwo
	}
	return GammaAny
}

// RowArg is an argument of a row kernel, a slice of numbers.
type RowArg int

// The arguments of the row kernels: a number for each voxel, or what is said.
const (
	ArgX        RowArg = iota // logits, or the source of a conversion
	ArgGrad                   // gradient; none is computed without it
	ArgElements               // elements, to which the kernel adds; none are without it
	ArgUpstream               // upstream gradient of the elements
	ArgWeight                 // voxel weight, 0 for a voxel that takes no part
	ArgTarget
	// The same of channel 0 of a pair, where those above are of channel 1. Targets,
	// constants and sums of a pair are one slice that begins with those of channel 0.
	ArgX0
	ArgTarget0 // of a tile kernel, where ArgTarget is of channel 1 alone
	ArgGrad0
	ArgElements0
	ArgUpstream0
	ArgExp          // exponential of a channel's logit less the largest
	ArgDerivative   // derivative by the channel's log-probability, times the upstream gradient
	ArgAfter        // sum of the derivatives of the channels after it
	ArgField        // distances from the boundary, or powers of them, by voxel
	ArgField0       // a second field, or the signed squares of which RowDistance makes the first
	ArgBuffer       // intermediates of all channels, rows of Tile numbers
	ArgLogistic     // the first three rows of ArgBuffer, or the next three
	ArgSums         // sums, 64 bytes of lanes each
	ArgCoefficients // constants
	RowArgs         = iota
)

// The rows of ArgBuffer. Those of the sigmoid hold values for x, then for s·x with
// s = 2t−1.
const (
	BufExp        = iota // e^−|x|
	BufReciprocal        // 1/(1+e^−|x|)
	BufLog               // log(1+e^−|x|)
	BufScaledExp         // the same three for s·x
	BufScaledReciprocal
	BufScaledLog
	BufPower // σ(−s·x)^γ, or (1−p)^γ

	BufLargest = iota - 7 // by softmax: the largest logit
	BufTop                // its channel
	BufOthers             // the sum of the other channels' exponentials
	BufScale              // 1 over the sum of all of them
	BufLogSum             // the logarithm of that sum
	BufRunning            // a sum over channels

	BufLabel = BufRunning // before the sum: −log p of the label's channel

	// Of a pair, besides the first three and BufPower, which is for channel 1.
	BufDifference = BufScaledExp        // logit of channel 1 less that of channel 0
	BufPower0     = BufScaledReciprocal // (1−p)^γ of channel 0

	RowBuffer = 7 // their number
)

// The constants of a channel in ArgCoefficients.
const (
	CoefPos = iota // factors of the elements, see plan.Pointwise
	CoefNeg
	CoefCE
	CoefGamma
	CoefMinusGamma
	CoefTwiceGamma
	CoefScale
	CoefTarget // by softmax an element has the factor CoefTarget·t + CoefUniform
	CoefUniform
	CoefChannel
	// The derivative of the overlap term by p is CoefT·t + CoefPlain + CoefSlope·p. Its
	// sums are of v·(CoefSquare·v + CoefLinear) for v = p and t.
	CoefT
	CoefPlain
	CoefSlope
	CoefSquare
	CoefLinear
	CoefOffset // added to every element
	// Of a binary kernel, in which CoefPos, CoefMinusGamma and CoefT are of positive voxels,
	// CoefNeg and CoefPlain of the others, and so is this.
	CoefMinusGammaNeg
	CoefInside // added to the distances of the voxels inside
	RowCoefs   = iota
)

// The sums of a channel in ArgSums.
const (
	RowSumPointwise = iota
	RowSumI
	RowSumP
	RowSumG
	RowSumUpstream
	RowSumCheck // NaN if a gradient is not finite, else 0
	RowSums     = iota
)

// The sums of RowErrors: Σ p·t, Σ p·(1−t), Σ (1−p)·t and Σ (1−p)·(1−t).
const (
	RowSumTP = RowSumI
	RowSumFP = RowSumP
	RowSumFN = RowSumG
	RowSumTN = RowSumUpstream
)

// Flags that the kernels set that read targets and weights.
const (
	// FlagBad: a value is out of range. Of RowClass, a label is above 1. Of a tile kernel, a
	// target is not in [0,1]; it has then written nothing but its scratch memory.
	FlagBad = 1 << iota
	// FlagSpecial: of RowMap, a target is neither 0 nor 1. Of RowWeight, a weight is
	// so small or so large that products with it may leave the range of float32.
	FlagSpecial
)

// MapSlack is how far the values of a soft map may be outside [0,1], as they are after
// interpolation in float32. They are clamped to 0 and 1.
const MapSlack = 1e-5

// Weights that are not special to RowWeight.
const (
	SmallestWeight = 0x1p-60
	LargestWeight  = 0x1p60
)

// Map32Range returns the first and the last float32 in [−MapSlack, 1+MapSlack].
func Map32Range() (low, high float32) {
	low, high = -MapSlack, 1+MapSlack
	if float64(low) < -MapSlack {
		low = math.Nextafter32(low, 0)
	}
	if float64(high) > 1+MapSlack {
		high = math.Nextafter32(high, 0)
	}
	return low, high
}
