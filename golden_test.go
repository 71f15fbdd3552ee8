package afl_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/golden"
)

// goldenCase is one entry of the index of the golden losses.
type goldenCase struct {
	Name     string          `json:"name"`
	File     string          `json:"file"`
	Kind     string          `json:"kind"`
	Options  goldenOptions   `json:"options"`
	Expected json.RawMessage `json:"expected"`
}

type goldenOptions struct {
	TargetFormat      string     `json:"target_format"`
	Activation        string     `json:"activation"`
	Gamma             float64    `json:"gamma"`
	Alpha             *float64   `json:"alpha"`
	Beta              float64    `json:"beta"`
	Weight            numberList `json:"weight"`
	PosWeight         numberList `json:"pos_weight"`
	LabelSmoothing    float64    `json:"label_smoothing"`
	IgnoreIndex       *int64     `json:"ignore_index"`
	IncludeBackground *bool      `json:"include_background"`
	SoftmaxScope      string     `json:"softmax_scope"`
	Reduction         string     `json:"reduction"`
	SquaredPred       bool       `json:"squared_pred"`
	Jaccard           bool       `json:"jaccard"`
	Batch             bool       `json:"batch"`
	SmoothNr          float64    `json:"smooth_nr"`
	SmoothDr          float64    `json:"smooth_dr"`
	WeightType        string     `json:"w_type"`
	Form              string     `json:"form"`
	AlphaMode         string     `json:"alpha_mode"`
	Stats             string     `json:"stats"`
	Binarise          bool       `json:"binarise"`

	Dice        *goldenOptions `json:"dice"`
	CE          *goldenOptions `json:"ce"`
	Focal       *goldenOptions `json:"focal"`
	LambdaDice  float64        `json:"lambda_dice"`
	LambdaCE    float64        `json:"lambda_ce"`
	LambdaFocal float64        `json:"lambda_focal"`
}

// numberList is a number, a list of numbers, or null.
type numberList []float64

func (l *numberList) UnmarshalJSON(b []byte) error {
	var one float64
	if json.Unmarshal(b, &one) == nil && string(b) != "null" {
		*l = numberList{one}
		return nil
	}
	return json.Unmarshal(b, (*[]float64)(l))
}

func goldenIndex(t testing.TB) (dir string, cases []goldenCase) {
	t.Helper()
	dir, full, err := golden.Dir("losses")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index struct {
		Cases []goldenCase `json:"cases"`
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	if !full {
		t.Log("the full golden set is not beside the repository: running the committed subset")
	}
	return dir, index.Cases
}

var activations = map[string]afl.Activation{"sigmoid": afl.Sigmoid, "softmax": afl.Softmax, "none": afl.Identity}

// lossOf builds the loss that a golden case describes.
func lossOf(t testing.TB, c goldenCase) afl.Loss {
	t.Helper()
	o := c.Options
	activation := func(name string) afl.Activation {
		a, ok := activations[name]
		require.True(t, ok, "activation %q", name)
		return a
	}
	// The word "sum" means MONAI's sum, "plain_sum" the plain one where they differ.
	reduction := map[string]afl.Reduction{
		"mean": afl.ReduceMean, "sum": afl.ReduceSpatialMeanSum, "none": afl.ReduceNone,
		"plain_sum": afl.ReduceSum, "voxel_mean": afl.ReduceVoxelMean,
	}
	options := func(o goldenOptions) afl.Options {
		r, ok := reduction[o.Reduction]
		require.True(t, ok, "reduction %q", o.Reduction)
		opt := afl.Options{Reduction: r, Weight: o.Weight, IncludeBackground: true}
		if o.IncludeBackground != nil {
			opt.IncludeBackground = *o.IncludeBackground
		}
		if o.IgnoreIndex != nil {
			opt.IgnoreIndex = afl.Ignore(*o.IgnoreIndex)
		}
		return opt
	}
	dice := func(o goldenOptions) afl.Dice {
		return afl.Dice{Options: options(o), Activation: activation(o.Activation), SquaredPred: o.SquaredPred,
			Jaccard: o.Jaccard, Batch: o.Batch, SmoothNr: o.SmoothNr, SmoothDr: o.SmoothDr}
	}
	tversky := func() afl.Tversky {
		return afl.Tversky{Options: options(o), Activation: activation(o.Activation), Alpha: *o.Alpha, Beta: o.Beta,
			Batch: o.Batch, SmoothNr: o.SmoothNr, SmoothDr: o.SmoothDr}
	}
	alpha := func(a *float64) []float64 {
		if a == nil {
			return nil
		}
		return []float64{*a}
	}
	switch c.Kind {
	case "ce":
		return afl.CrossEntropy{Options: options(o), Activation: afl.Softmax, LabelSmoothing: o.LabelSmoothing}
	case "bce":
		return afl.CrossEntropy{Options: options(o), Activation: afl.Sigmoid, PosWeight: o.PosWeight}
	case "focal":
		return afl.Focal{Options: options(o), Activation: activation(o.Activation), Gamma: o.Gamma, Alpha: alpha(o.Alpha),
			SoftmaxAfterDrop: o.SoftmaxScope == "after_drop"}
	case "afl":
		l := afl.AdaptiveFocal{Options: options(o), Activation: activation(o.Activation), Binarize: o.Binarise}
		l.Form = map[string]afl.Form{"released": afl.FormReleased, "paper": afl.FormPaper}[o.Form]
		l.AlphaMode = map[string]afl.AlphaMode{"scalar": afl.AlphaScalar, "balanced": afl.AlphaBalanced}[o.AlphaMode]
		l.Stats = map[string]afl.StatsMode{"authors": afl.StatsReleased, "batch_pooled": afl.StatsPooled, "per_sample": afl.StatsPerSample}[o.Stats]
		return l
	case "dice", "iou":
		return dice(o)
	case "generalized_dice":
		return afl.GeneralizedDice{Options: options(o), Activation: activation(o.Activation),
			Weighting: map[string]afl.ClassWeighting{"square": afl.WeightSquare, "simple": afl.WeightSimple, "uniform": afl.WeightUniform}[o.WeightType],
			Batch:     o.Batch, SmoothNr: o.SmoothNr, SmoothDr: o.SmoothDr}
	case "tversky":
		return tversky()
	case "focal_tversky":
		return afl.FocalTversky{Tversky: tversky(), Gamma: o.Gamma}
	case "dice_ce":
		l := afl.DiceCE{Dice: dice(*o.Dice), LambdaDice: o.LambdaDice, LambdaCE: o.LambdaCE}
		l.Weight = o.Weight // of all channels, where Dice drops one
		return l
	case "dice_focal":
		l := afl.DiceFocal{Dice: dice(*o.Dice), FocalActivation: activation(o.Focal.Activation), Gamma: o.Focal.Gamma,
			Alpha: alpha(o.Focal.Alpha), LambdaDice: o.LambdaDice, LambdaFocal: o.LambdaFocal}
		l.Weight = o.Weight
		return l
	}
	return nil
}

// dense makes a tensor of a golden tensor in the given type.
func dense(t testing.TB, g golden.Tensor, dt tensor.Dtype) *tensor.Dense {
	t.Helper()
	if len(g.Shape) == 0 {
		return tensor.New(tensor.FromScalar(g.Data[0]))
	}
	var backing any
	switch dt {
	case tensor.Float64:
		backing = slices.Clone(g.Data)
	case tensor.Float32:
		backing = g.Float32()
	case tensor.Uint8:
		backing = g.Uint8()
	default:
		require.Fail(t, "no such golden type", "%v", dt)
	}
	return tensor.New(tensor.WithShape(g.Shape...), tensor.WithBacking(backing))
}

// numbers returns the entries of a float tensor as float64.
func numbers(t testing.TB, d *tensor.Dense) []float64 {
	t.Helper()
	switch x := d.Data().(type) {
	case []float64:
		return x
	case []float32:
		out := make([]float64, len(x))
		for i, v := range x {
			out[i] = float64(v)
		}
		return out
	case float64:
		return []float64{x}
	}
	require.Fail(t, "not a float tensor", "%v", d.Dtype())
	return nil
}

// near checks |got−want| ≤ rel·|want| + abs + perMax·max|want| elementwise; NaN
// equals NaN.
func near(t *testing.T, what string, want, got []float64, rel, abs, perMax float64) {
	t.Helper()
	if !assert.Len(t, got, len(want), what) {
		return
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, w := range want {
		if math.IsNaN(w) && math.IsNaN(got[i]) {
			continue
		}
		if !(math.Abs(got[i]-w) <= rel*math.Abs(w)+abs+perMax*largest) {
			assert.Fail(t, what, "entry %d is %v, want %v", i, got[i], w)
			return
		}
	}
}

func TestGoldenLosses(t *testing.T) {
	dir, cases := goldenIndex(t)
	counts := map[string]int{}
	for _, c := range cases {
		l := lossOf(t, c)
		if l == nil {
			continue
		}
		f, err := golden.Read(filepath.Join(dir, c.File))
		require.NoError(t, err)
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			t.Run(fmt.Sprintf("%s/%s/%s", c.Kind, c.Name, dt), func(t *testing.T) {
				counts[c.Kind]++
				goldenLoss(t, l, c, f, dt)
			})
		}
	}
	logCounts(t, "loss cases (each in float64 and float32)", counts)
}

func logCounts(t *testing.T, what string, counts map[string]int) {
	t.Helper()
	var parts []string
	total := 0
	for kind, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", kind, n))
		total += n
	}
	slices.Sort(parts)
	require.NotZero(t, total)
	t.Logf("%d %s: %s", total, what, strings.Join(parts, ", "))
}

func goldenLoss(t *testing.T, l afl.Loss, c goldenCase, f *golden.File, dt tensor.Dtype) {
	logits := dense(t, f.Tensors["logits"], dt)
	target := dense(t, f.Tensors["target"], tensor.Uint8)
	if c.Options.TargetFormat == "dense" {
		target = dense(t, f.Tensors["target"], tensor.Float32)
	}
	var opts []afl.EvalOption
	if u, ok := f.Tensors["upstream"]; ok {
		ut := dt
		switch c.Kind {
		case "dice", "iou", "generalized_dice", "tversky", "focal_tversky":
			ut = tensor.Float64
		}
		opts = append(opts, afl.WithUpstream(dense(t, u, ut)))
	}
	grad := tensor.New(tensor.Of(dt), tensor.WithShape(logits.Shape()...))
	require.NoError(t, grad.Memset(map[tensor.Dtype]any{tensor.Float32: float32(math.NaN()), tensor.Float64: math.NaN()}[dt]))

	alone, err := l.Eval(logits, target, nil)
	require.NoError(t, err)
	value, err := l.Eval(logits, target, grad, opts...)
	require.NoError(t, err)
	want := f.Tensors["value"]
	assert.Equal(t, want.Shape, slices.Clone([]int(value.Shape())), "shape of the value")
	rel, abs, gradRel, gradMax := 1e-12, 1e-14, 1e-11, 1e-13
	if dt == tensor.Float32 {
		rel, abs, gradRel, gradMax = 2e-5, 1e-6, 2e-5, 2e-6
	}
	var expected struct {
		GradSource string `json:"grad_source"`
	}
	require.NoError(t, json.Unmarshal(c.Expected, &expected))
	if expected.GradSource == "mpmath" && dt == tensor.Float64 {
		// Known to every digit, element by element: nothing may hide behind the
		// largest entry. Subnormal numbers have fewer digits.
		rel, abs, gradMax = 1e-11, 1e-320, 0
	}
	near(t, "value", want.Data, numbers(t, value), rel, abs, 0)
	near(t, "value without gradient", want.Data, numbers(t, alone), rel, abs, 0)
	near(t, "gradient", f.Tensors["grad"].Data, numbers(t, grad), gradRel, min(abs, 1e-320), gradMax)
}
