package losstest

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// Fuzz evaluates every loss on arbitrary shapes, labels, maps, voxel weights and logits
// of any finite magnitude: no panic, no NaN, the same value with and without gradient,
// and gradients of a softmax of class indices that add up to 0 over the channels.
func Fuzz(f *testing.F, r Runner) {
	s := suite{Runner: r, Traits: r.Traits()}
	f.Add(uint8(2), uint8(3), uint8(2), uint8(1), []byte("\x00\x01\x02 some logits and labels"))
	f.Add(uint8(1), uint8(1), uint8(1), uint8(1), []byte{})
	f.Add(uint8(3), uint8(2), uint8(5), uint8(7), []byte{0xff, 0x7f, 0xef, 0xff, 0xff, 0x80, 1, 2, 3, 4, 255})
	f.Add(uint8(4+1), uint8(2), uint8(2), uint8(3), []byte("\x00\x01\x02 some weights besides"))
	f.Add(uint8(8+2), uint8(2), uint8(2), uint8(3), []byte{0x1f, 0x7f, 0xef, 0x7f, 0x3d, 0x80, 1, 2, 3, 4, 255})
	f.Add(uint8(12+1), uint8(2), uint8(1), uint8(3), []byte{0xff, 0x7f, 0xef, 0xff, 0x3d, 0x80, 1, 2, 3, 4, 255})
	f.Fuzz(func(t *testing.T, c, x, y, z uint8, data []byte) {
		shape := []int{1 + int(c)/64%2, 1 + int(c)%4, 1 + int(x)%5, 1 + int(y)%5, 1 + int(z)%5}
		if z%2 == 0 {
			shape = shape[:4]
		}
		at := func(i int) byte {
			if len(data) == 0 {
				return 0
			}
			return data[i%len(data)]
		}
		logits := Floats(tensor.Float32, shape, func(i int) float64 {
			var b [4]byte
			for k := range b {
				b[k] = at(4*i + k)
			}
			v := float64(math.Float32frombits(binary.LittleEndian.Uint32(b[:])))
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return float64(b[0]) - 128
			}
			return v
		})
		classes := max(shape[1], 2)
		labels := Bytes(PerVoxel(shape), func(i int) uint8 {
			v := at(i * 7)
			if v > 200 {
				return 255
			}
			return v % uint8(classes)
		})
		call := Call{Logits: logits, Target: labels}
		kind := int(c) / 4 % 4
		switch kind {
		case 1:
			call.VoxelWeight = Floats(tensor.Float32, PerVoxel(shape), func(i int) float64 { return float64(at(i*5)%8) / 4 })
		case 2:
			call.Target = Floats(tensor.Float32, shape, func(i int) float64 { return float64(at(i*7)) / 255 })
		case 3:
			call.Target = Bytes(shape, func(i int) uint8 { return at(i*7) % 2 })
		}
		for _, name := range afl.Names() {
			l, err := afl.ByName(name)
			if err != nil {
				t.Fatal(err)
			}
			if kind < 2 {
				l = setOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
			}
			call.WantGrad = true
			result, grad, err := s.Eval(t, l, call)
			var refused *afl.ArgumentError
			if errors.As(err, &refused) && (refused.Argument == "channels of logits" || refused.Argument == "Activation") && shape[1] != 2 {
				continue // a form for two classes, a softmax of one channel
			}
			if err != nil {
				t.Fatalf("%s on %v: %v", name, shape, err)
			}
			call.WantGrad = false
			value, alone := number(t, name, result), s.value(t, name, l, call)
			allIgnored := kind < 2
			for _, v := range labels.Data().([]uint8) {
				allIgnored = allIgnored && v == 255
			}
			if (math.IsNaN(value) || math.IsInf(value, 0)) && !allIgnored {
				t.Fatalf("%s on %v: value %v", name, shape, value)
			}
			if value != alone && !s.Traits.ValueVaries && !math.IsNaN(value) {
				t.Fatalf("%s on %v: value %v with gradient, %v without", name, shape, value, alone)
			}
			g := grad.Data().([]float32)
			v := len(g) / shape[0] / shape[1]
			for i := range shape[0] * v {
				sum, largest := 0.0, 0.0
				for ch := range shape[1] {
					d := float64(g[(i/v*shape[1]+ch)*v+i%v])
					// Next to perfect agreement the slope of focal Tversky has no bound.
					if math.IsNaN(d) || math.IsInf(d, 0) && name != "focal-tversky" {
						t.Fatalf("%s on %v: gradient %v", name, shape, d)
					}
					sum += d
					largest = max(largest, math.Abs(d))
				}
				if name == "ce" && kind < 2 && math.Abs(sum) > 1e-6*largest+1e-44 {
					t.Fatalf("ce on %v: the channels' gradients at voxel %d add up to %v", shape, i, sum)
				}
			}
		}
	})
}
