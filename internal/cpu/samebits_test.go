package cpu_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// sameBits is the SHA-256 of the values and gradients that TestSameBits computes. A
// change of what a loss computes changes it; the architecture and the instruction set
// must not.
const sameBits = "e58d2834547003d110b7e8e5840b053e5bbd0a9ad41503d8f956bb0412d5c492"

// tierEngine evaluates losses with the kernels of one instruction set.
type tierEngine struct {
	tensor.StdEng
	backend cpu.Backend
}

// Backend implements [plan.Provider].
func (e tierEngine) Backend() plan.Backend { return e.backend }

// TestSameBits evaluates every loss of the registry on float32 and float64 logits and
// class indices: the values and the gradients have the same bits on every architecture and
// for every instruction set. The exception is the focal Tversky loss.
func TestSameBits(t *testing.T) {
	for _, tier := range cpu.Tiers() {
		t.Run(tier, func(t *testing.T) {
			backend, err := cpu.New(tier)
			require.NoError(t, err)
			engine := tierEngine{backend: backend}
			all := sha256.New()
			for _, name := range afl.Names() {
				if name == "focal-tversky" {
					continue // its power is math.Pow, which is assembly on some architectures
				}
				own := sha256.New()
				evaluated := 0
				for i, shape := range [][]int{
					{1, 1, 9, 13}, {2, 1, 5, 7, 11}, {1, 2, 33, 40}, {2, 2, 5, 7, 11}, {1, 3, 9, 13}, {2, 5, 5, 7, 11},
				} {
					for _, ignore := range []bool{false, true} {
						for _, double := range []bool{false, true} {
							if hashLoss(t, own, engine, name, shape, uint64(i), ignore, double) {
								evaluated++
							}
						}
					}
				}
				require.GreaterOrEqual(t, evaluated, 8, name)
				t.Logf("%-16s %s, %d batches", name, hex.EncodeToString(own.Sum(nil))[:16], evaluated)
				all.Write(own.Sum(nil))
			}
			assert.Equal(t, sameBits, hex.EncodeToString(all.Sum(nil)), "run with -v for a hash of every loss")
		})
	}
}

// hashLoss adds the bits of a loss's value and gradient to h. It reports whether the
// loss takes a batch of that number of channels.
func hashLoss(t *testing.T, h hash.Hash, e tierEngine, name string, shape []int, seed uint64, ignore, double bool) bool {
	t.Helper()
	const ignored = 9
	r := rand.New(rand.NewPCG(seed, 11))
	channels := shape[1]
	voxels := shape[0]
	for _, size := range shape[2:] {
		voxels *= size
	}
	logits, labels := make([]float32, voxels*channels), make([]uint8, voxels)
	for i := range logits {
		logits[i] = float32(r.IntN(1<<20)-1<<19) * 0x1p-16 // ±8
	}
	for i := range labels {
		labels[i] = uint8(r.IntN(max(channels, 2)))
		if ignore && r.IntN(5) == 0 {
			labels[i] = ignored
		}
	}
	l, err := afl.ByName(name)
	require.NoError(t, err)
	if ignore {
		l, err = afl.SetOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(ignored) })
		require.NoError(t, err)
	}
	backing := any(logits)
	if double {
		wide := make([]float64, len(logits))
		for i, x := range logits {
			wide[i] = float64(x)
		}
		backing = wide
	}
	value, grad, err := afl.Grad(l,
		tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing), tensor.WithEngine(e)),
		tensor.New(tensor.WithShape(append([]int{shape[0]}, shape[2:]...)...), tensor.WithBacking(labels), tensor.WithEngine(e)))
	if err != nil {
		require.ErrorContains(t, err, "channel", "%s, %v", name, shape)
		return false
	}
	require.NoError(t, binary.Write(h, binary.LittleEndian, value))
	require.NoError(t, binary.Write(h, binary.LittleEndian, grad.Data()))
	return true
}
