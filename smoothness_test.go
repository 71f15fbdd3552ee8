package afl_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/golden"
)

func TestGoldenSmoothness(t *testing.T) {
	dir, cases := goldenIndex(t)
	count := 0
	for _, c := range cases {
		if c.Kind != "smoothness" {
			continue
		}
		count++
		var want struct {
			Smoothness float64 `json:"smoothness"`
			Foreground int     `json:"foreground"`
			Voxels     int     `json:"voxels"`
			GammaVa    float64 `json:"gamma_va"`
			AlphaVa    float64 `json:"alpha_va"`
			Gamma      float64 `json:"gamma_adaptive"`
			Nonzero    int     `json:"nonzero_gradient_voxels"`
			Boundary   float64 `json:"mean_over_nonzero_gradient_voxels"`
		}
		require.NoError(t, json.Unmarshal(c.Expected, &want))
		f, err := golden.Read(filepath.Join(dir, c.File))
		require.NoError(t, err)
		mask := dense(t, f.Tensors["mask"], tensor.Uint8)
		got, err := afl.StatsOf(mask)
		require.NoError(t, err)
		assert.Equal(t, want.Foreground, got.Foreground, c.Name)
		assert.Equal(t, want.Voxels, got.Voxels, c.Name)
		assert.Equal(t, want.Nonzero, got.BoundaryVoxels, c.Name)
		near(t, c.Name, []float64{want.GammaVa, want.AlphaVa, want.Smoothness, want.Gamma, want.Boundary},
			[]float64{got.GammaVa, got.AlphaVa, got.GammaMSa, got.Gamma(), got.Boundary}, 1e-12, 1e-15, 0)
		magnitude, err := afl.GradientMagnitude(mask)
		require.NoError(t, err)
		near(t, c.Name+" magnitude", f.Tensors["magnitude"].Data, numbers(t, magnitude), 1e-15, 0, 0)
	}
	logCounts(t, "cases", map[string]int{"smoothness": count})
}

func TestGoldenAdaptiveParameters(t *testing.T) {
	dir, cases := goldenIndex(t)
	count := 0
	for _, c := range cases {
		if c.Kind != "afl" {
			continue
		}
		count++
		var want struct {
			GammaVa  []float64   `json:"gamma_va"`
			GammaMSa []float64   `json:"gamma_msa"`
			Gamma    []float64   `json:"gamma"`
			AlphaVa  []float64   `json:"alpha_va"`
			Weights  [][]float64 `json:"channel_weights"`
		}
		require.NoError(t, json.Unmarshal(c.Expected, &want))
		f, err := golden.Read(filepath.Join(dir, c.File))
		require.NoError(t, err)
		l := lossOf(t, c).(afl.AdaptiveFocal)
		got, err := l.Parameters(dense(t, f.Tensors["logits"], tensor.Float32), dense(t, f.Tensors["target"], tensor.Uint8))
		require.NoError(t, err)
		at := func(list []float64, n int) float64 { return list[min(n, len(list)-1)] }
		for n, p := range got {
			near(t, c.Name, []float64{at(want.GammaVa, n), at(want.GammaMSa, n), at(want.Gamma, n), at(want.AlphaVa, n)},
				[]float64{p.GammaVa, p.GammaMSa, p.Gamma[0], p.AlphaVa}, 1e-12, 1e-15, 0)
			if c.Options.Form == "released" {
				near(t, c.Name, want.Weights[min(n, len(want.Weights)-1)], p.Positive, 1e-12, 1e-15, 0)
				assert.Equal(t, p.Positive, p.Negative)
			}
		}
	}
	logCounts(t, "cases", map[string]int{"afl parameters": count})
}

func TestGoldenSoftMetrics(t *testing.T) {
	dir, cases := goldenIndex(t)
	count := 0
	for _, c := range cases {
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
		f, err := golden.Read(filepath.Join(dir, c.File))
		require.NoError(t, err)
		logits, target := dense(t, f.Tensors["logits"], tensor.Float64), dense(t, f.Tensors["target"], tensor.Uint8)
		var got []float64
		for _, background := range []bool{true, false} {
			for _, metric := range []func(l, t *tensor.Dense, b bool) (float64, error){afl.SoftDice, afl.SoftIoU} {
				v, err := metric(logits, target, background)
				require.NoError(t, err)
				got = append(got, v)
			}
		}
		near(t, c.Name, []float64{want.Dice, want.IoU, want.DiceFg, want.IoUFg}, got, 1e-12, 1e-15, 0)
	}
	logCounts(t, "cases", map[string]int{"soft_metric": count})
}

// gradientMagnitude is numpy.gradient's definition, written out voxel by voxel.
func gradientMagnitude(mask []float64, shape []int) []float64 {
	out := make([]float64, len(mask))
	for i := range mask {
		stride, sum := 1, 0.0
		for a := len(shape) - 1; a >= 0; a-- {
			at := i / stride % shape[a]
			d := 0.0
			switch {
			case shape[a] == 1:
			case at == 0:
				d = mask[i+stride] - mask[i]
			case at == shape[a]-1:
				d = mask[i] - mask[i-stride]
			default:
				d = (mask[i+stride] - mask[i-stride]) / 2
			}
			sum += d * d
			stride *= shape[a]
		}
		out[i] = math.Sqrt(sum)
	}
	return out
}

func TestGradientMagnitudeByDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][]int{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {1, 1, 1}, {3, 1, 300}, {5, 7, 2}, {2, 300, 3}, {4, 5, 259}} {
		n := 1
		for _, s := range shape {
			n *= s
		}
		mask := bytes(shape, func(int) uint8 { return uint8(r.IntN(3)) })
		values := make([]float64, n)
		total := 0.0
		for i, y := range mask.Data().([]uint8) {
			values[i] = math.Min(float64(y), 1)
		}
		want := gradientMagnitude(values, shape)
		for _, v := range want {
			total += v
		}
		got, err := afl.GradientMagnitude(mask)
		require.NoError(t, err)
		assert.Equal(t, want, numbers(t, got), "shape %v", shape)
		st, err := afl.StatsOf(mask)
		require.NoError(t, err)
		assert.InDelta(t, total/float64(n), st.GammaMSa, 1e-14, "shape %v", shape)
	}
}

// TestSoftMapStatistics: a soft map's statistics are those of its foreground map.
func TestSoftMapStatistics(t *testing.T) {
	shape := []int{2, 3, 4, 5, 6}
	maps := softMaps(shape, 11)
	y := maps.Data().([]float64)
	l := afl.NewAdaptiveFocalMulticlass()
	params, err := l.Parameters(randomLogits(tensor.Float64, shape, 1), maps)
	require.NoError(t, err)
	const v = 4 * 5 * 6
	for n, p := range params {
		foreground := make([]float64, v)
		for i := range foreground {
			foreground[i] = math.Max(y[(n*3+1)*v+i], y[(n*3+2)*v+i])
		}
		mean := func(s []float64) float64 {
			total := 0.0
			for _, x := range s {
				total += x
			}
			return total / v
		}
		assert.InDelta(t, mean(foreground), p.GammaVa, 1e-13)
		assert.InDelta(t, mean(gradientMagnitude(foreground, shape[2:])), p.GammaMSa, 1e-13)
		for c := 1; c < 3; c++ {
			own := y[(n*3+c)*v : (n*3+c+1)*v]
			assert.InDelta(t, mean(own)+mean(gradientMagnitude(own, shape[2:])), p.Gamma[c], 1e-13)
			assert.InDelta(t, 1-mean(own), p.Positive[c], 1e-13)
		}
	}
}
