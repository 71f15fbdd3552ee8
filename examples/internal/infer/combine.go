package infer

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// Combine returns the logits, float32 1×K×X×Y×Z, whose probabilities are the means of those of
// the passes of one network over a scan, for measures that are defined on logits. With the
// rules of the sigmoid a channel has the probability σ(z) and the combined logit
//
//	z_c = log p_c − log(1 − p_c),   p_c = mean σ(z_c).
//
// With [afl.Argmax] it is
//
//	z_c = log p_c + mean log Σ_k exp(z_k),   p_c = mean softmax(z)_c,
//
// where the second term, the same for all channels, keeps the scale of the passes, so that
// equal passes give their own logits. A single pass is returned as it is.
func Combine(rule afl.PredictionRule, passes ...Pass) (*tensor.Dense, error) {
	if len(passes) == 0 {
		return nil, fmt.Errorf("infer: Combine: there are no logits")
	}
	shape := passes[0].Shape()
	values := make([][]float32, len(passes))
	for i, p := range passes {
		if p.Dtype() != tensor.Float32 || len(shape) != 5 || shape[0] != 1 || !p.Shape().Eq(shape) {
			return nil, fmt.Errorf("infer: Combine: pass %d is %v of shape %v, want float32 of the shape 1×K×X×Y×Z of the first, %v", i, p.Dtype(), []int(p.Shape()), []int(shape))
		}
		values[i] = p.Data().([]float32)
	}
	if len(passes) == 1 {
		return passes[0], nil
	}
	out := make([]float32, len(values[0]))
	switch rule {
	case afl.SigmoidChannel1, afl.SigmoidPerChannel:
		combineSigmoids(out, values)
	case afl.Argmax:
		combineSoftmax(out, values, shape[1])
	default:
		return nil, fmt.Errorf("infer: Combine: rule is %v, want %v, %v or %v", rule, afl.SigmoidChannel1, afl.SigmoidPerChannel, afl.Argmax)
	}
	return tensor.New(tensor.WithShape(shape.Clone()...), tensor.WithBacking(out)), nil
}

func combineSigmoids(out []float32, passes [][]float32) {
	yes, no := make([]float64, len(passes)), make([]float64, len(passes))
	for i := range out {
		for k, z := range passes {
			yes[k], no[k] = -softplus(-float64(z[i])), -softplus(float64(z[i]))
		}
		out[i] = float32(logSumExp(yes) - logSumExp(no))
	}
}

func combineSoftmax(out []float32, passes [][]float32, channels int) {
	n := len(out) / channels
	logits := make([]float64, channels)
	logP := make([][]float64, channels) // by channel and pass
	for c := range logP {
		logP[c] = make([]float64, len(passes))
	}
	for i := range n {
		scale := 0.0
		for k, z := range passes {
			for c := range logits {
				logits[c] = float64(z[c*n+i])
			}
			total := logSumExp(logits)
			for c, v := range logits {
				logP[c][k] = v - total
			}
			scale += total
		}
		for c := range logP {
			out[c*n+i] = float32(logSumExp(logP[c]) - math.Log(float64(len(passes))) + scale/float64(len(passes)))
		}
	}
}

// softplus returns log(1 + exp(x)).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// logSumExp returns log Σ exp(x).
func logSumExp(x []float64) float64 {
	largest, sum := slices.Max(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - largest)
	}
	return largest + math.Log(sum)
}
