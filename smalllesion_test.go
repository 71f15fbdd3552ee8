package afl_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/golden"
	"github.com/x/afl/internal/losstest"
)

// smallLesionCase is one entry of the index of the golden losses for small lesions.
type smallLesionCase struct {
	Name, File, Kind string
	Options          struct {
		TargetFormat      string `json:"target_format"`
		Form              string
		Activation        string
		Lambda            float64
		Delta             float64
		Gamma             float64
		Smooth            float64
		Classes           json.RawMessage
		Spacing           []float64
		InsideOffset      float64 `json:"inside_offset"`
		Reduction         string
		Alpha             float64
		Beta              float64
		IncludeBackground *bool `json:"include_background"`
		Batch             bool
		PerImage          bool   `json:"per_image"`
		IgnoreIndex       *int64 `json:"ignore_index"`
		K                 float64
		Weight            []float64
		LabelSmoothing    float64 `json:"label_smoothing"`
		Count             string
		SquaredPred       bool    `json:"squared_pred"`
		Jaccard           bool    `json:"jaccard"`
		SmoothNr          float64 `json:"smooth_nr"`
		SmoothDr          float64 `json:"smooth_dr"`
		WDice             float64 `json:"w_dice"`
		WCE               float64 `json:"w_ce"`
		GammaDice         float64 `json:"gamma_dice"`
		GammaCE           float64 `json:"gamma_ce"`
		Mask              string
		Connectivity      int
		Terms             []struct {
			Kind        string
			Weight      float64
			SquaredPred bool     `json:"squared_pred"`
			SmoothNr    float64  `json:"smooth_nr"`
			SmoothDr    float64  `json:"smooth_dr"`
			Gamma       float64  `json:"gamma"`
			Alpha       *float64 `json:"alpha"`
		}
	}
	Notes json.RawMessage
}

var activations = map[string]afl.Activation{"sigmoid": afl.Sigmoid, "softmax": afl.SoftmaxMONAI, "none": afl.Identity}

// loss returns the loss of a case.
func (c *smallLesionCase) loss(t *testing.T) afl.Loss {
	o := &c.Options
	var shared afl.Options
	switch o.Reduction {
	case "sum":
		shared.Reduction = afl.ReduceSum
	case "none":
		shared.Reduction = afl.ReduceNone
	}
	if o.IgnoreIndex != nil {
		shared.IgnoreIndex = afl.Ignore(*o.IgnoreIndex)
	}
	shared.ExcludeBackground = o.IncludeBackground != nil && !*o.IncludeBackground
	shared.Weight = o.Weight
	activation, ok := activations[o.Activation]
	require.True(t, ok || o.Activation == "", o.Activation)
	softmax := activation
	if softmax == afl.SoftmaxMONAI {
		softmax = afl.Softmax
	}
	switch c.Kind {
	case "unified_focal":
		l := afl.NewUnifiedFocal()
		l.Options, l.Activation, l.Symmetric = shared, softmax, o.Form == "symmetric"
		l.Lambda, l.Delta, l.Gamma, l.Smooth = o.Lambda, o.Delta, o.Gamma, o.Smooth
		return l
	case "boundary":
		l := afl.NewBoundary()
		l.Options, l.Activation, l.Spacing, l.InsideOffset = shared, softmax, o.Spacing, o.InsideOffset
		require.NoError(t, json.Unmarshal(o.Classes, &l.Channels))
		return l
	case "hausdorff_dt", "log_hausdorff_dt":
		l := afl.NewHausdorffDT()
		l.Options, l.Activation, l.Alpha, l.Spacing, l.Batch = shared, activation, o.Alpha, o.Spacing, o.Batch
		l.Log = c.Kind == "log_hausdorff_dt"
		return l
	case "lovasz":
		l := afl.NewLovaszSoftmax()
		if o.Form == "hinge" {
			l = afl.NewLovaszHinge()
		}
		l.Options, l.PerImage = shared, o.PerImage
		var named string
		if json.Unmarshal(o.Classes, &named) == nil {
			l.AllClasses = named == "all" && !l.Hinge
		} else if !l.Hinge {
			require.NoError(t, json.Unmarshal(o.Classes, &l.Channels))
		}
		return l
	case "topk_ce":
		l := afl.NewTopKCrossEntropy()
		l.Options, l.LabelSmoothing, l.K, l.ValidOnly = shared, o.LabelSmoothing, o.K, o.Count == "valid"
		return l
	case "log_cosh_dice":
		l := afl.NewLogCoshDice()
		l.Options, l.Activation, l.SquaredPred, l.Jaccard, l.Batch = shared, activation, o.SquaredPred, o.Jaccard, o.Batch
		l.SmoothNr, l.SmoothDr = o.SmoothNr, o.SmoothDr
		return l
	case "exponential_log":
		l := afl.NewExponentialLogarithmic()
		l.Options, l.Activation, l.Batch, l.Smooth = shared, softmax, o.Batch, o.Smooth
		l.LambdaDice, l.LambdaCE, l.GammaDice, l.GammaCE = o.WDice, o.WCE, o.GammaDice, o.GammaCE
		return l
	case "soft_dice_semimetric":
		switch o.Form {
		case "tversky":
			l := afl.NewTversky()
			l.Options, l.Activation, l.Batch, l.Semimetric = shared, activation, o.Batch, true
			l.Alpha, l.Beta, l.SmoothNr, l.SmoothDr = o.Alpha, o.Beta, o.SmoothNr, o.SmoothDr
			return l
		}
		l := afl.NewDice()
		l.Options, l.Activation, l.Batch, l.Semimetric = shared, activation, o.Batch, true
		l.SquaredPred, l.Jaccard, l.SmoothNr, l.SmoothDr = o.SquaredPred, o.Form == "iou", o.SmoothNr, o.SmoothDr
		return l
	case "focal_tversky":
		l := afl.NewFocalTversky()
		l.Options, l.Activation, l.Batch, l.Gamma = shared, activation, o.Batch, []float64{o.Gamma}
		l.Alpha, l.Beta, l.SmoothNr, l.SmoothDr = o.Alpha, o.Beta, o.SmoothNr, o.SmoothDr
		return l
	case "blob":
		var terms []afl.Term
		for _, term := range o.Terms {
			switch term.Kind {
			case "dice":
				l := afl.NewDice()
				l.SquaredPred, l.SmoothNr, l.SmoothDr = term.SquaredPred, term.SmoothNr, term.SmoothDr
				terms = append(terms, afl.Term{Weight: term.Weight, Loss: l})
			case "bce":
				terms = append(terms, afl.Term{Weight: term.Weight, Loss: afl.NewBinaryCrossEntropy()})
			case "focal":
				l := afl.NewFocal()
				l.Gamma = []float64{term.Gamma}
				if term.Alpha != nil {
					l.Alpha = []float64{*term.Alpha}
				}
				terms = append(terms, afl.Term{Weight: term.Weight, Loss: l})
			}
		}
		l := afl.NewBlob(afl.NewSum(terms...))
		l.Options, l.Alpha, l.Beta, l.Connectivity = shared, o.Alpha, o.Beta, afl.Connectivity(o.Connectivity)
		l.Mask = map[string]afl.BlobMask{"exclude": afl.BlobExclude, "probabilities": afl.BlobProbabilities, "logits": afl.BlobLogits}[o.Mask]
		return l
	}
	require.Fail(t, "kind "+c.Kind)
	return nil
}

// TestSmallLesionGolden compares the losses for small lesions with reference numbers.
func TestSmallLesionGolden(t *testing.T) {
	dir, _, err := golden.Dir("small_lesion")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index struct{ Cases []smallLesionCase }
	require.NoError(t, json.Unmarshal(raw, &index))
	counts := map[string]int{}
	for _, c := range index.Cases {
		f, err := golden.Read(filepath.Join(dir, c.File))
		require.NoError(t, err)
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			t.Run(fmt.Sprintf("%s/%s/%s", c.Kind, c.Name, dt), func(t *testing.T) {
				counts[c.Kind]++
				c.compare(t, f, dt)
			})
		}
	}
	losstest.LogCounts(t, "cases for small lesions (each in float64 and float32)", counts)
}

// compare compares value and gradient with a case's numbers.
func (c *smallLesionCase) compare(t *testing.T, f *golden.File, dt tensor.Dtype) {
	l := c.loss(t)
	logits, target := losstest.Dense(t, f.Tensors["logits"], dt), losstest.Dense(t, f.Tensors["target"], tensor.Uint8)
	if c.Options.TargetFormat == "dense" {
		target = losstest.Dense(t, f.Tensors["target"], tensor.Float32)
	}
	value := losstest.Tolerance{Relative: 1e-12, Absolute: 1e-14}
	gradient := losstest.Tolerance{Relative: 1e-11, Absolute: 1e-320, Largest: 1e-13}
	if dt == tensor.Float32 {
		value = losstest.Tolerance{Relative: 2e-5, Absolute: 1e-6}
		gradient = losstest.Tolerance{Relative: 2e-5, Absolute: 1e-320, Largest: 2e-6}
	}
	alone, err := l.Eval(logits, target, nil)
	require.NoError(t, err)
	want := f.Tensors["value"]
	require.Equal(t, len(want.Shape), alone.Dims())
	losstest.Near(t, "value without gradient", want.Data, losstest.Numbers(t, alone), value)
	var opts []afl.EvalOption
	if u, ok := f.Tensors["upstream"]; ok {
		opts = append(opts, afl.WithUpstream(losstest.Dense(t, u, alone.Dtype())))
	}
	grad := tensor.New(tensor.Of(dt), tensor.WithShape(logits.Shape()...))
	v, err := l.Eval(logits, target, grad, opts...)
	require.NoError(t, err)
	require.Equal(t, want.Shape, append([]int{}, v.Shape()...))
	losstest.Near(t, "value", want.Data, losstest.Numbers(t, v), value)
	losstest.Near(t, "gradient", f.Tensors["grad"].Data, losstest.Numbers(t, grad), gradient)
	if m, ok := f.Tensors["distance_map"]; ok {
		d, err := l.(afl.Boundary).DistanceMap(logits, target)
		require.NoError(t, err)
		losstest.Near(t, "distance map", m.Data, losstest.Numbers(t, d), losstest.Tolerance{Relative: 1e-14})
	}
	if m, ok := f.Tensors["field_target"]; ok {
		d, err := l.(afl.HausdorffDT).DistanceMap(logits, target)
		require.NoError(t, err)
		losstest.Near(t, "distance map", m.Data, losstest.Numbers(t, d), losstest.Tolerance{Relative: 1e-14})
		passed, err := l.Eval(logits, target, nil, afl.WithDistanceMap(d))
		require.NoError(t, err)
		losstest.Near(t, "value by the map", want.Data, losstest.Numbers(t, passed), value)
	}
}
