package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/internal/cpu/kernel"
)

// softmaxCase compares an implementation with the plain kernel.
func softmaxCase(t *testing.T, impl kernels, v kernel.Variant, channels, n, pitch, offset int, logit func() float32, r *rand.Rand) bool {
	t.Helper()
	if v.Above {
		n = min(n, kernel.Part)
	}
	size := (channels-1)*pitch + n
	x := make([]float32, size+offset)[offset:]
	for i := range x {
		x[i] = logit()
	}
	y := make([]uint8, n+offset)[offset:]
	for i := range y {
		y[i] = uint8(r.IntN(channels))
		if r.IntN(9) == 0 {
			y[i] = noClass
		}
	}
	k := make([]softmaxCoef, channels)
	for c := range k {
		l := randomCoef(r)
		k[c] = softmaxCoef{class: uint32(c), pos: l.pos, grad: l.neg, gamma: l.gammaPos, plain: l.plain,
			coefPos: l.coefPos, coefNeg: l.coefNeg, slope: l.slope}
	}
	if v.Above {
		l := randomCoef(r)
		setLimits(k, l.low, l.high)
	}
	run := func(of kernels, stream bool) (g, sums, elements []float32) {
		g, intact := guarded(size, offset)
		sums, sumsIntact := guarded((1+3*channels)*lanes, offset)
		clear(sums)
		e := make([]float32, kernel.SoftmaxBuffer(channels))
		of.softmax(v, x, g, pitch, y, sums, k, e, stream)
		assert.True(t, intact() && sumsIntact(), "%+v wrote past its slices", v)
		if v.Above {
			elements = e[:n]
		}
		return g, sums, elements
	}
	wantG, wantSums, wantElements := run(plain, false)
	what := fmt.Sprintf("%+v of %d channels, %d voxels", v, channels, n)
	for _, stream := range []bool{false, true} {
		gotG, gotSums, gotElements := run(impl, stream)
		if !sameBits(t, wantElements, gotElements, what+": elements") ||
			!sameBits(t, wantSums, gotSums, what+": sums") || !sameBits(t, wantG, gotG, what+": gradient") {
			return false
		}
	}
	return true
}

func TestSoftmaxKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, v := range kernel.Softmax() {
			for channels := 1; channels <= 9; channels += 1 + channels/4 {
				for _, n := range []int{0, block, 3 * block, 9 * block} {
					for offset := range 2 {
						random := func() float32 { return float32(4 * r.NormFloat64()) }
						awkward := func() float32 { return hostile[r.IntN(len(hostile))] }
						pitch := n + r.IntN(5)
						if !softmaxCase(t, impl, v, channels, n, pitch, offset, random, r) ||
							!softmaxCase(t, impl, v, channels, n, pitch, offset, awkward, r) {
							return
						}
					}
				}
			}
		}
	})
}

// FuzzSoftmaxKernels compares every implementation with plain Go on arbitrary
// logits, labels and constants.
func FuzzSoftmaxKernels(f *testing.F) {
	f.Add(uint8(3), uint64(1), []byte("some logits"))
	f.Add(uint8(9), uint64(2), []byte{0xff, 0xff, 0x7f, 0x7f, 0, 0, 0xc0, 0x7f})
	f.Fuzz(func(t *testing.T, which uint8, seed uint64, data []byte) {
		in := kernel.Softmax()
		v := in[int(which)%len(in)]
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
		for _, impl := range available {
			softmaxCase(t, impl, v, 1+int(seed%9), 2*block, 2*block, int(seed%5), logit, rand.New(rand.NewPCG(seed, 9)))
		}
	})
}
