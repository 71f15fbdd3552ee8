package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/cpu/kernel"
)

// eachImplementation runs a test with the kernels of every instruction set, and
// skips, by name, those that this machine lacks.
func eachImplementation(t *testing.T, test func(t *testing.T, k kernels)) {
	t.Helper()
	present := map[string]kernels{}
	for _, k := range available {
		present[k.name] = k
	}
	for _, name := range []string{"go", "avx2", "avx512", "neon"} {
		t.Run(name, func(t *testing.T) {
			k, ok := present[name]
			if !ok {
				t.Skip("not in this build or not on this machine")
			}
			test(t, k)
		})
	}
}

// hostile are logits at which exponentials and logarithms go wrong.
var hostile = []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-45, 1e-38, 0.5, 1, -1, 17, -17, 40, 87, 88, -88, 88.8, 103, 104, -104, 105,
	1e4, -1e4, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}

// canary fills the memory around a slice, which must not change.
const canary = 0x1.23456p7

// guarded returns a slice of n elements, offset from the start of an allocation, and
// a check that the memory around it is unchanged.
func guarded(n, offset int) (s []float32, intact func() bool) {
	const margin = 64
	all := make([]float32, margin+offset+n+margin)
	for i := range all {
		all[i] = canary
	}
	s = all[margin+offset:][:n:n]
	return s, func() bool {
		for i, v := range all {
			if v != canary && (i < margin+offset || i >= margin+offset+n) {
				return false
			}
		}
		return true
	}
}

// sameBits compares floats bit by bit; all NaNs are equal.
func sameBits[T float32 | float64](t *testing.T, want, got []T, what string) bool {
	t.Helper()
	for i := range want {
		a, b := float64(want[i]), float64(got[i])
		if math.Float64bits(a) != math.Float64bits(b) && !(math.IsNaN(a) && math.IsNaN(b)) {
			return assert.Fail(t, what, "entry %d is %v (%#x), plain Go has %v (%#x)", i, b, math.Float64bits(b), a, math.Float64bits(a))
		}
	}
	return true
}

// logisticCase compares an implementation with the plain kernel.
func logisticCase(t *testing.T, impl kernels, v kernel.Variant, n, offset int, logit func() float32, class func() uint8, k logisticCoef) bool {
	t.Helper()
	if v.Exponent == kernel.GammaTwo {
		k.gammaPos, k.gammaNeg = 2, 2
	}
	x0, x1 := make([]float32, n+offset)[offset:], make([]float32, n+offset)[offset:]
	y := make([]uint8, n+offset)[offset:]
	for i := range y {
		x0[i], x1[i], y[i] = logit(), logit(), class()
	}
	scratch := make([]float32, kernel.LogisticBuffer)
	for i := range n {
		scratch[kernel.LogisticWeights+i] = float32(i*i%7) / 3 // 0 among them
	}
	type result struct {
		g0, g1, elements []float32
		acc              []float64
	}
	run := func(of kernels, stream bool) result {
		g0, intact0 := guarded(n, offset)
		g1, intact1 := guarded(n, offset)
		acc := make([]float64, kernel.Sums*lanes)
		for i := range acc {
			acc[i] = float64(i)
		}
		if v.Cached && v.Grad {
			first := v
			first.Grad = false
			logisticGo(first, x0, x1, nil, g1, y, make([]float64, len(acc)), &k, scratch)
		}
		buf := slices.Clone(scratch)
		of.logistic(v, x0, x1, g0, g1, y, acc, &k, buf, stream)
		assert.True(t, intact0() && intact1(), "%+v wrote past its slices", v)
		r := result{g0: g0, g1: g1, acc: acc}
		if v.Above {
			r.elements = buf[kernel.Strip:][:n]
		}
		return r
	}
	want := run(plain, false)
	for _, stream := range []bool{false, true} {
		got := run(impl, stream)
		if !sameBits(t, want.acc, got.acc, fmt.Sprintf("%+v sums", v)) ||
			!sameBits(t, want.elements, got.elements, fmt.Sprintf("%+v elements", v)) ||
			!sameBits(t, want.g0, got.g0, fmt.Sprintf("%+v gradient of channel 0", v)) ||
			!sameBits(t, want.g1, got.g1, fmt.Sprintf("%+v gradient", v)) {
			return false
		}
	}
	return true
}

func randomCoef(r *rand.Rand) logisticCoef {
	f := func() float32 { return float32(r.NormFloat64()) }
	k := logisticCoef{class: uint32(r.IntN(3)), pos: r.Float32(), neg: r.Float32(), gradPos: f(), gradNeg: f(),
		gammaPos: 3 * r.Float32(), gammaNeg: 3 * r.Float32(), plain: float32(r.IntN(2)),
		coefPos: f(), coefNeg: f(), slope: f(), coefPos0: f(), coefNeg0: f(), slope0: f(), low: r.Float32() - 0.2, high: 2 * r.Float32()}
	return k
}

func TestLogisticKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, v := range kernel.Logistic() {
			for _, n := range []int{0, block, 2 * block, 5 * block, stripVoxels} {
				for offset := range 4 {
					random := func() float32 { return float32(4 * r.NormFloat64()) }
					awkward := func() float32 { return hostile[r.IntN(len(hostile))] }
					class := func() uint8 {
						if r.IntN(7) == 0 {
							return noClass
						}
						return uint8(r.IntN(3))
					}
					if !logisticCase(t, impl, v, n, offset, random, class, randomCoef(r)) ||
						!logisticCase(t, impl, v, n, offset, awkward, class, randomCoef(r)) {
						return
					}
				}
			}
		}
	})
}

// FuzzLogisticKernels compares every implementation with plain Go on arbitrary
// logits, labels and constants.
func FuzzLogisticKernels(f *testing.F) {
	f.Add(uint8(3), uint64(1), []byte("some logits"))
	f.Add(uint8(17), uint64(2), []byte{0xff, 0xff, 0x7f, 0x7f, 0, 0, 0xc0, 0x7f})
	f.Fuzz(func(t *testing.T, which uint8, seed uint64, data []byte) {
		in := kernel.Logistic()
		v := in[int(which)%len(in)]
		r := rand.New(rand.NewPCG(seed, 3))
		at := 0
		logit := func() float32 {
			var b [4]byte
			for i := range b {
				if len(data) > 0 {
					b[i] = data[at%len(data)]
				}
				at++
			}
			return math.Float32frombits(binary.LittleEndian.Uint32(b[:]))
		}
		k := randomCoef(r)
		class := func() uint8 { return uint8(r.IntN(4)) - 1 } // 255 too
		for _, impl := range available {
			logisticCase(t, impl, v, 3*block, int(seed%5), logit, class, k)
		}
	})
}

func TestLabelKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(3, 4))
		for n := range 140 {
			for _, rules := range []labelRules{
				{cap: 254, limit: 3}, {cap: 1, limit: 2}, {ignore: 255, mark: 255, cap: 254, limit: 4},
				{ignore: 1, mark: 255, cap: 254, limit: 200}, {ignore: 0, mark: 255, cap: 1, limit: 2},
			} {
				src := make([]uint8, n+3)[3:]
				for i := range src {
					src[i] = uint8(r.IntN(int(rules.limit)))
				}
				bad := n > 0 && r.IntN(2) == 0
				if bad {
					src[r.IntN(n)] = uint8(r.IntN(256))
				}
				want, got := make([]uint8, n+1), make([]uint8, n+1)
				want[n], got[n] = 77, 77
				wantOK := labelsGo(want[:n], src, &rules)
				require.Equal(t, wantOK, impl.labels(got[:n], src, &rules), "%d labels, %+v", n, rules)
				require.Equal(t, want, got, "%d labels, %+v", n, rules)
			}
		}
	})
}

// TestLabelsByDefinition checks the plain kernel against the rules in words.
func TestLabelsByDefinition(t *testing.T) {
	got := make([]uint8, 5)
	ok := labelsGo(got, []uint8{0, 1, 2, 9, 1}, &labelRules{ignore: 9, mark: noClass, cap: 1, limit: 2})
	assert.True(t, ok)
	assert.Equal(t, []uint8{0, 1, 1, noClass, 1}, got)
	assert.False(t, labelsGo(got, []uint8{0, 1, 2, 9, 1}, &labelRules{cap: 254, limit: 9}))
	assert.False(t, labelsGo(got[:1], []uint8{255}, &labelRules{cap: 254, limit: 9}), "255 is a class only where it is ignored")
}

func TestPackKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(5, 6))
		for words := range 9 {
			src := make([]uint8, 64*words+1)[1:]
			for i := range src {
				src[i] = uint8(r.IntN(3)) * 127
			}
			want := make([]uint64, words)
			for i := range src {
				if src[i] == 254 {
					want[i/64] |= 1 << (i % 64)
				}
			}
			got := make([]uint64, words+1)
			got[words] = 12345
			impl.pack(got[:words], src, 254)
			require.Equal(t, append(want, 12345), got, "%d words", words)
		}
	})
}

// TestForegroundKernels compares the bits with the classes of the label rules.
func TestForegroundKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, n := range []int{0, 1, 63, 64, 65, 128, 200, 449} {
			for _, rules := range []labelRules{
				{cap: 254, limit: 2}, {cap: 1, limit: 2}, {ignore: 3, mark: noClass, cap: 254, limit: 2},
				{ignore: 255, mark: noClass, cap: 1, limit: 2}, {ignore: 0, mark: noClass, cap: 254, limit: 4},
			} {
				src, class := make([]uint8, n+1)[1:], make([]uint8, n)
				for i := range src {
					src[i] = []uint8{0, 0, 1, 3, 255}[r.IntN(5)]
				}
				wantOK := labelsGo(class, src, &rules)
				words := (n + 63) / 64
				wantFore, wantIgnored := make([]uint64, words), make([]uint64, words)
				for i, c := range class {
					switch c {
					case 0:
					case noClass:
						wantIgnored[i/64] |= 1 << (i % 64)
					default:
						wantFore[i/64] |= 1 << (i % 64)
					}
				}
				fore, ignored := make([]uint64, words), make([]uint64, words)
				require.Equal(t, wantOK, impl.foreground(fore, ignored, src, &rules), "%d labels, %+v", n, rules)
				require.Equal(t, wantFore, fore, "%d labels, %+v", n, rules)
				require.Equal(t, wantIgnored, ignored, "%d labels, %+v", n, rules)
				clear(fore)
				require.Equal(t, wantOK, impl.foreground(fore, nil, src, &rules), "%d labels, %+v", n, rules)
				require.Equal(t, wantFore, fore, "%d labels, %+v", n, rules)
			}
		}
	})
}

// TestElementaryKernels compares exp and log(1+e) alone with plain Go.
func TestElementaryKernels(t *testing.T) {
	x, e := make([]float32, 64*block), make([]float32, 64*block)
	for i := range x {
		x[i] = 88 - float32(i)/float32(len(x))*192
		e[i] = float32(i) / float32(len(e)-1)
	}
	copy(x, []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-45, -87.5, -103, -104, -1e4, -math.MaxFloat32, float32(math.Inf(-1))})
	eachImplementation(t, func(t *testing.T, impl kernels) {
		want, got := make([]float32, len(x)), make([]float32, len(x))
		for n := 0; n <= len(x); n += 7 * block {
			expGo(want[:n], x[:n])
			impl.exp(got[:n], x[:n])
			sameBits(t, want, got, "exp")
			log1pGo(want[:n], e[:n])
			impl.log1p(got[:n], e[:n])
			sameBits(t, want, got, "log1p")
		}
	})
}

// TestExhaustiveKernels compares the kernels' exponential, logarithm and
// quotient with plain Go over all float32 logits with -exhaustive, else a sample.
func TestExhaustiveKernels(t *testing.T) {
	step := uint64(1 << 14) // strips
	if *exhaustive {
		step = 1
	}
	k := logisticCoef{class: 1, pos: 1, neg: 0.7, gradPos: -1, gradNeg: 0.7}
	y := make([]uint8, stripVoxels)
	for i := range y {
		y[i] = uint8(i % 2)
	}
	v := kernel.Variant{Exponent: kernel.GammaZero, Grad: true}
	eachImplementation(t, func(t *testing.T, impl kernels) {
		if impl.name == plain.name {
			return
		}
		const parts = 2
		for part := range uint64(parts) {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				x, want, got := make([]float32, stripVoxels), make([]float32, stripVoxels), make([]float32, stripVoxels)
				buf := make([]float32, kernel.LogisticBuffer)
				for strip := part << 21; strip < (part+1)<<21; strip += step {
					for i := range x {
						x[i] = math.Float32frombits(uint32(strip<<10) + uint32(i))
					}
					wantAcc, gotAcc := make([]float64, kernel.Sums*lanes), make([]float64, kernel.Sums*lanes)
					logisticGo(v, nil, x, nil, want, y, wantAcc, &k, nil)
					impl.logistic(v, nil, x, nil, got, y, gotAcc, &k, buf, false)
					if !sameBits(t, want, got, "gradient") || !sameBits(t, wantAcc, gotAcc, "sums") {
						return
					}
				}
			})
		}
	})
}

func TestPackMapKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(7, 6))
		for words := range 5 {
			src := make([]float32, 64*words+1)[1:]
			want := make([]uint64, words)
			for i := range src {
				src[i] = []float32{0, 1, float32(math.Copysign(0, -1))}[r.IntN(3)]
				if src[i] == 1 {
					want[i/64] |= 1 << (i % 64)
				}
			}
			got := make([]uint64, words+1)
			got[words] = 12345
			require.True(t, impl.packMap(got[:words], src), "%d words", words)
			require.Equal(t, append(want, 12345), got, "%d words", words)
			for i, old := range src {
				for _, soft := range []float32{0.5, 1e-45, -1e-45, 1 + 0x1p-23, 1 - 0x1p-24, 2, -1, float32(math.NaN()), float32(math.Inf(1))} {
					src[i] = soft
					require.False(t, impl.packMap(got[:words], src), "%v at %d", soft, i)
				}
				src[i] = old
			}
		}
	})
}

func TestUnpackKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(8, 6))
		for words := range 5 {
			src, want := make([]uint64, words), make([]uint8, 64*words)
			for i := range want {
				want[i] = uint8(r.IntN(2))
				src[i/64] |= uint64(want[i]) << (i % 64)
			}
			got := make([]uint8, 64*words+1)
			got[64*words] = 99
			impl.unpack(got[:64*words], src)
			require.Equal(t, append(want, 99), got, "%d words", words)
		}
	})
}
