package afl_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

func TestGoldenMagnitude(t *testing.T) {
	count := 0
	for _, c := range losstest.GoldenCases(t) {
		if c.Kind != "smoothness" {
			continue
		}
		count++
		f := c.Read(t)
		magnitude, err := afl.GradientMagnitude(losstest.Dense(t, f.Tensors["mask"], tensor.Uint8))
		require.NoError(t, err)
		losstest.Near(t, c.Name, f.Tensors["magnitude"].Data, losstest.Numbers(t, magnitude), losstest.Tolerance{Relative: 1e-15})
	}
	losstest.LogCounts(t, "cases", map[string]int{"magnitude": count})
}

func TestGoldenSoftMetrics(t *testing.T) {
	count := 0
	for _, c := range losstest.GoldenCases(t) {
		if c.Kind != "soft_metric" {
			continue
		}
		count++
		var want struct {
			Dice   float64 `json:"soft_dice"`
			IoU    float64 `json:"soft_iou"`
			DiceFg float64 `json:"soft_dice_foreground_only"`
			IoUFg  float64 `json:"soft_iou_foreground_only"`
		}
		require.NoError(t, json.Unmarshal(c.Expected, &want))
		f := c.Read(t)
		logits, target := losstest.Dense(t, f.Tensors["logits"], tensor.Float64), losstest.Dense(t, f.Tensors["target"], tensor.Uint8)
		var got []float64
		for _, background := range []bool{true, false} {
			for _, metric := range []func(l, t *tensor.Dense, b bool, i afl.IgnoreIndex) (float64, error){afl.SoftDice, afl.SoftIoU} {
				v, err := metric(logits, target, background, afl.IgnoreIndex{})
				require.NoError(t, err)
				got = append(got, v)
			}
		}
		losstest.Near(t, c.Name, []float64{want.Dice, want.IoU, want.DiceFg, want.IoUFg}, got, losstest.Tolerance{Relative: 1e-12, Absolute: 1e-15})
	}
	losstest.LogCounts(t, "cases", map[string]int{"soft_metric": count})
}

func TestGradientMagnitudeByDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range losstest.MaskShapes() {
		mask := losstest.Bytes(shape, func(int) uint8 { return uint8(r.IntN(3)) })
		values := make([]float64, mask.Shape().TotalSize())
		for i, y := range mask.Data().([]uint8) {
			values[i] = math.Min(float64(y), 1)
		}
		got, err := afl.GradientMagnitude(mask)
		require.NoError(t, err)
		assert.Equal(t, losstest.GradientMagnitude(values, shape), losstest.Numbers(t, got), "shape %v", shape)
	}
}
