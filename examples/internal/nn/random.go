package nn

import (
	"hash/fnv"
	"math/rand/v2"
)

// splitmix64 is the finalizer of the SplitMix generator of Steele, Lea and Flood: a bijection
// in which every input bit affects the whole word.
func splitmix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// stream returns the random number generator of a named tensor. It depends only on the seed
// and the name, so a network's initial weights do not depend on the order in which its
// layers are created.
func stream(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// DropoutMask returns the factors of n channels for Dropout3D: 0 with the given probability,
// otherwise 1/(1−probability). All backends use it, so that the same seed drops the same
// channels everywhere.
func DropoutMask(n int, probability float64, seed uint64) []float64 {
	mask := make([]float64, n)
	for i := range mask {
		u := float64(splitmix64(seed+uint64(i+1)*0x9E3779B97F4A7C15)>>11) * 0x1p-53
		if u >= probability {
			mask[i] = 1 / (1 - probability)
		}
	}
	return mask
}
