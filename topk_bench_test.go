package afl_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// BenchmarkTopK measures the top-k cross-entropy relative to the cross-entropy of all voxels
// in one process, calls of the two in turn: ×CE is the ratio of their shortest times.
func BenchmarkTopK(b *testing.B) {
	sizes := map[string][3]int{"picai": {160, 128, 24}, "brats": {224, 224, 144}}
	for _, test := range []struct {
		name, size string
		channels   int
		double     bool
		value      bool // no gradient
		weight     []float64
		k          float64
		smooth     float32 // standard deviation of the logits of a trained network's background; 0 for noise
	}{
		{name: "pair", size: "picai", channels: 2, k: 10},
		{name: "pair", size: "brats", channels: 2, k: 10},
		{name: "k1", size: "picai", channels: 2, k: 1},
		{name: "k50", size: "picai", channels: 2, k: 50},
		{name: "k100", size: "picai", channels: 2, k: 100},
		{name: "value", size: "picai", channels: 2, value: true, k: 10},
		{name: "weight", size: "picai", channels: 2, weight: []float64{1, 3}, k: 10},
		{name: "C4", size: "picai", channels: 4, k: 10},
		{name: "C4", size: "brats", channels: 4, k: 10},
		{name: "float64", size: "picai", channels: 2, double: true, k: 10},
	} {
		b.Run(test.name+"/"+test.size, func(b *testing.B) {
			shape := sizes[test.size]
			voxels := shape[0] * shape[1] * shape[2]
			r := rand.New(rand.NewPCG(1, 2))
			label := make([]uint8, voxels)
			for i := range label {
				if i/7%13 == 0 {
					label[i] = uint8(1 + i%(test.channels-1))
				}
			}
			logits := tensor.New(tensor.WithShape(1, test.channels, shape[0], shape[1], shape[2]), tensor.Of(tensor.Float32))
			x := logits.Data().([]float32)
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
			if test.double {
				wide := make([]float64, len(x))
				for i, v := range x {
					wide[i] = float64(v)
				}
				logits = tensor.New(tensor.WithShape(logits.Shape()...), tensor.WithBacking(wide))
			}
			target := tensor.New(tensor.WithShape(1, shape[0], shape[1], shape[2]), tensor.WithBacking(label))
			var grad *tensor.Dense
			if !test.value {
				grad = tensor.New(tensor.Of(logits.Dtype()), tensor.WithShape(logits.Shape()...))
			}
			topk, ce := afl.NewTopKCrossEntropy(), afl.NewCrossEntropy()
			topk.K = test.k
			topk.Weight, ce.Weight = test.weight, test.weight
			reportTimes(b, "CE", "topk", func(l afl.Loss) error {
				_, err := l.Eval(logits, target, grad)
				return err
			}, ce, topk)
		})
	}
}

// reportTimes times calls with two losses in turn, and reports the shortest times and their
// ratio.
func reportTimes(b *testing.B, plainName, name string, call func(l afl.Loss) error, plain, own afl.Loss) {
	least := func(l afl.Loss, best time.Duration) time.Duration {
		start := time.Now()
		require.NoError(b, call(l))
		return min(best, time.Since(start))
	}
	t, of := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for b.Loop() {
		t, of = least(own, t), least(plain, of)
	}
	b.ReportMetric(float64(t)/float64(of), "×"+plainName)
	b.ReportMetric(float64(of.Nanoseconds())/1e3, plainName+"-µs")
	b.ReportMetric(float64(t.Nanoseconds())/1e3, name+"-µs")
}
