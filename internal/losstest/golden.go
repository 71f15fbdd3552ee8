package losstest

import (
	"encoding/json"
	"fmt"
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

// Tolerances of reference numbers for float32 logits.
var goldenFloat32 = Accuracy{
	Value:    Tolerance{Relative: 2e-5, Absolute: 1e-6},
	Gradient: Tolerance{Relative: 2e-5, Absolute: 1e-320, Largest: 2e-6},
}

// briefLogits is the size of the largest logits of a brief run.
const briefLogits = 40000

// Golden compares a backend with the reference numbers: of every loss, value and
// gradient in float64 and float32, and of A-FL and the labels, the statistics.
func Golden(t *testing.T, r Runner) {
	s := suite{Runner: r, Traits: r.Traits()}
	cases := GoldenCases(t)
	counts := map[string]int{}
	for _, c := range cases {
		l := c.loss(t)
		if l == nil {
			continue
		}
		f := c.Read(t)
		if s.Traits.Brief && len(f.Tensors["logits"].Data) > briefLogits {
			t.Logf("left out %s/%s: too large for a brief run", c.Kind, c.Name)
			continue
		}
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			t.Run(fmt.Sprintf("%s/%s/%s", c.Kind, c.Name, dt), func(t *testing.T) {
				counts[c.Kind]++
				s.goldenLoss(t, l, c, f, dt)
			})
		}
	}
	LogCounts(t, "loss cases (each in float64 and float32)", counts)
	t.Run("Smoothness", func(t *testing.T) { s.goldenSmoothness(t, cases) })
	t.Run("AdaptiveParameters", func(t *testing.T) { s.goldenParameters(t, cases) })
}

// GoldenCase is one entry of the index of the golden losses.
type GoldenCase struct {
	Name     string          `json:"name"`
	File     string          `json:"file"`
	Kind     string          `json:"kind"`
	Options  goldenOptions   `json:"options"`
	Expected json.RawMessage `json:"expected"`

	dir string
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

// GoldenCases lists the reference numbers of the losses and of what goes with them.
func GoldenCases(t testing.TB) []GoldenCase {
	t.Helper()
	dir, full, err := golden.Dir("losses")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index struct {
		Cases []GoldenCase `json:"cases"`
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	if !full {
		t.Log("the full golden set is not beside the repository: running the committed subset")
	}
	for i := range index.Cases {
		index.Cases[i].dir = dir
	}
	return index.Cases
}

// Read reads the case's tensors.
func (c GoldenCase) Read(t testing.TB) *golden.File {
	t.Helper()
	f, err := golden.Read(filepath.Join(c.dir, c.File))
	require.NoError(t, err)
	return f
}

var activations = map[string]afl.Activation{"sigmoid": afl.Sigmoid, "softmax": afl.Softmax, "none": afl.Identity}

// loss builds the loss that a case describes, or returns nil where it is about
// something else.
func (c GoldenCase) loss(t testing.TB) afl.Loss {
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

// Dense makes a tensor of a golden tensor in the given type.
func Dense(t testing.TB, g golden.Tensor, dt tensor.Dtype) *tensor.Dense {
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

// LogCounts logs how many cases of each kind a test had, of which there must be
// some.
func LogCounts(t *testing.T, what string, counts map[string]int) {
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

// goldenLoss compares value and gradient with a case's numbers.
func (s suite) goldenLoss(t *testing.T, l afl.Loss, c GoldenCase, f *golden.File, dt tensor.Dtype) {
	call := Call{Logits: Dense(t, f.Tensors["logits"], dt), Target: Dense(t, f.Tensors["target"], tensor.Uint8)}
	if c.Options.TargetFormat == "dense" {
		call.Target = Dense(t, f.Tensors["target"], tensor.Float32)
	}
	alone, none, err := s.Eval(t, l, call)
	require.NoError(t, err)
	require.Nil(t, none)
	if u, ok := f.Tensors["upstream"]; ok {
		ut := dt
		switch c.Kind {
		case "dice", "iou", "generalized_dice", "tversky", "focal_tversky":
			ut = tensor.Float64
		}
		call.Upstream = Dense(t, u, ut)
	}
	call.WantGrad = true
	value, grad, err := s.Eval(t, l, call)
	require.NoError(t, err)
	want := f.Tensors["value"]
	assert.Equal(t, want.Shape, slices.Clone([]int(value.Shape())), "shape of the value")
	tol := Accuracy{
		Value:    Tolerance{Relative: 1e-12, Absolute: 1e-14},
		Gradient: Tolerance{Relative: 1e-11, Absolute: 1e-320, Largest: 1e-13},
	}
	if dt == tensor.Float32 {
		tol = goldenFloat32
	}
	var expected struct {
		GradSource string `json:"grad_source"`
	}
	require.NoError(t, json.Unmarshal(c.Expected, &expected))
	if expected.GradSource == "mpmath" && dt == tensor.Float64 {
		// Known to every digit, element by element: nothing may hide behind the
		// largest entry. Subnormal numbers have fewer digits.
		tol = Accuracy{
			Value:    Tolerance{Relative: 1e-11, Absolute: 1e-320},
			Gradient: Tolerance{Relative: 1e-11, Absolute: 1e-320},
		}
	}
	Near(t, "value", want.Data, Numbers(t, value), tol.Value)
	Near(t, "value without gradient", want.Data, Numbers(t, alone), tol.Value)
	Near(t, "gradient", f.Tensors["grad"].Data, Numbers(t, grad), tol.Gradient)
}
