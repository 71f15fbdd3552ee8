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
	Tensors  map[string]struct {
		Shape []int `json:"shape"`
	} `json:"tensors"`

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
	Binarize          bool       `json:"binarise"`

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

// activation is that of the case: MONAI's reading of one channel by softmax.
func (o goldenOptions) activation() afl.Activation {
	a, ok := map[string]afl.Activation{"sigmoid": afl.Sigmoid, "softmax": afl.SoftmaxMONAI, "none": afl.Identity}[o.Activation]
	if !ok {
		panic(fmt.Sprintf("losstest: activation %q of a golden case", o.Activation))
	}
	return a
}

// shared are the options that all losses share. singleChannelWeight is MONAI
// 1.3.0's way of the kind.
func (o goldenOptions) shared(singleChannelWeight bool) afl.Options {
	// The word "sum" means MONAI's sum, "plain_sum" the plain one where they differ.
	r, ok := map[string]afl.Reduction{
		"mean": afl.ReduceMean, "sum": afl.ReduceSpatialMeanSum, "none": afl.ReduceNone,
		"plain_sum": afl.ReduceSum, "voxel_mean": afl.ReduceVoxelMean,
	}[o.Reduction]
	if !ok {
		panic(fmt.Sprintf("losstest: reduction %q of a golden case", o.Reduction))
	}
	out := afl.Options{Reduction: r, Weight: o.Weight, SingleChannelWeight: singleChannelWeight}
	if o.IncludeBackground != nil {
		out.ExcludeBackground = !*o.IncludeBackground
	}
	if o.IgnoreIndex != nil {
		out.IgnoreIndex = afl.Ignore(*o.IgnoreIndex)
	}
	return out
}

// loss builds the loss that a case describes, or returns nil where it is about
// something else.
func (c GoldenCase) loss(t testing.TB) afl.Loss {
	t.Helper()
	for _, d := range descriptors {
		if build := d.golden[c.Kind]; build != nil {
			return build(c.Options, c.Tensors["logits"].Shape[1])
		}
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
		if !describe(l).pointwise {
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
