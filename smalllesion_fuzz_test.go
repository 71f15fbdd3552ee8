package afl_test

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// FuzzSmallLesion evaluates every loss for small lesions on arbitrary shapes, labels, voxel
// weights and finite logits, and with an arbitrary number in one of its options: it refuses
// the call, or its value and gradient are finite and the value is the same without gradient.
func FuzzSmallLesion(f *testing.F) {
	f.Add(uint8(1), uint8(3), uint8(2), uint8(1), 0.5, []byte("\x00\x01\x02 some logits and labels"))
	f.Add(uint8(0), uint8(1), uint8(1), uint8(1), 1.0, []byte{})
	f.Add(uint8(2), uint8(2), uint8(5), uint8(7), math.NaN(), []byte{0xff, 0x7f, 0xef, 0xff, 0xff, 0x80, 1, 2, 3, 4, 255})
	f.Add(uint8(4+1), uint8(2), uint8(2), uint8(3), 1e-300, []byte{0x1f, 0x7f, 0xef, 0x7f, 0x3d, 0x80, 1, 2, 3, 4, 255})
	f.Add(uint8(12+1), uint8(4), uint8(3), uint8(2), 2.0, []byte("\x00\x00\x80\x3f lesions here and there \x01\x01"))
	f.Fuzz(func(t *testing.T, c, x, y, z uint8, number float64, data []byte) {
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
		logits := losstest.Floats(tensor.Float32, shape, func(i int) float64 {
			var b [4]byte
			for k := range b {
				b[k] = at(4*i + k)
			}
			v := math.Float32frombits(binary.LittleEndian.Uint32(b[:]))
			// Beyond this the square of a Hausdorff difference of Identity is not finite.
			if v != v || v > 1e30 || v < -1e30 {
				return float64(b[0]) - 128
			}
			return float64(v)
		})
		target := losstest.Bytes(losstest.PerVoxel(shape), func(i int) uint8 {
			if v := at(7 * i); v > 230 {
				return 255
			}
			return at(7*i) % uint8(max(shape[1], 2))
		})
		var opts []afl.EvalOption
		if c/4%2 == 1 {
			opts = append(opts, afl.WithVoxelWeight(losstest.Floats(tensor.Float32, losstest.PerVoxel(shape), func(i int) float64 { return float64(at(5*i)%8) / 4 })))
		}
		for _, name := range append(afl.SmallLesionNames(), "lovasz-hinge") {
			var l afl.Loss = afl.NewLovaszHinge()
			if name != "lovasz-hinge" {
				var err error
				l, err = afl.ByName(name)
				require.NoError(t, err)
			}
			ignoring, err := afl.SetOptions(l, func(o *afl.Options) {
				if c/8%2 == 1 {
					o.IgnoreIndex = afl.Ignore(255)
				}
				o.ExcludeBackground = o.ExcludeBackground || c/16%2 == 1
			})
			require.NoError(t, err)
			for _, l := range []afl.Loss{l, ignoring, withNumber(ignoring, int(y), number)} {
				grad := losstest.NaNs(tensor.Float32, shape...)
				value, err := afl.GradInto(l, logits, target, grad, opts...)
				var refused *afl.ArgumentError
				if errors.As(err, &refused) {
					assert.NotEmpty(t, refused.Argument, name)
					continue
				}
				require.NoError(t, err, "%s on %v", name, shape)
				alone, err := afl.Value(l, logits, target, opts...)
				require.NoError(t, err)
				require.Equal(t, value, alone, "%+v on %v", l, shape)
				if number > 1e3 || number < 1e-3 {
					continue // powers of distances or of weights overflow
				}
				require.False(t, math.IsNaN(value) || math.IsInf(value, 0), "%+v on %v: %v", l, shape, value)
				for _, g := range grad.Data().([]float32) {
					require.False(t, g-g != 0, "%+v on %v: gradient %v", l, shape, g)
				}
			}
		}
	})
}

// withNumber returns a loss with one of its float64 fields changed.
func withNumber(l afl.Loss, which int, number float64) afl.Loss {
	v := reflect.New(reflect.TypeOf(l)).Elem()
	v.Set(reflect.ValueOf(l))
	var fields []reflect.Value
	for i := range v.NumField() {
		if f := v.Field(i); f.CanSet() && f.Kind() == reflect.Float64 {
			fields = append(fields, f)
		}
	}
	if len(fields) > 0 {
		fields[which%len(fields)].SetFloat(number)
	}
	return v.Interface().(afl.Loss)
}
