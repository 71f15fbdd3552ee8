package cpu

import "math/bits"

// chunkMaps are the maps of zeros and ones of a chunk, a bit for each voxel of each
// channel.
type chunkMaps struct {
	channels, words int // words of a channel
	bits            []uint64
	bytes           bitScratch
}

// read reads the maps of a chunk and reports whether all values are 0 or 1 and, if the
// classes exclude each other, each voxel has a single one.
func (m *chunkMaps) read(r *mapReader, ch chunk, exclusive bool) bool {
	size := ch.hi - ch.lo
	m.channels, m.words = r.C, (size+63)/64
	m.bits = Grow(m.bits, m.channels*m.words)
	// By strips, so that a soft map is found before the whole chunk is read.
	for lo := 0; lo < size; lo += stripVoxels {
		hi := min(lo+stripVoxels, size)
		for c := range m.channels {
			if !r.pack(m.channel(c)[lo/64:(hi+63)/64], (ch.n*r.C+c)*r.V+ch.lo+lo, hi-lo, &m.bytes) {
				return false
			}
		}
		if exclusive && !m.single(lo, hi) {
			return false
		}
	}
	return true
}

func (m *chunkMaps) channel(c int) []uint64 { return m.bits[c*m.words:][:m.words] }

// single reports whether each of voxels [lo,hi) is in a single map.
func (m *chunkMaps) single(lo, hi int) bool {
	count := 0
	for i := lo / 64; i < (hi+63)/64; i++ {
		var any, twice uint64
		for c := range m.channels {
			word := m.bits[c*m.words+i]
			twice |= any & word
			any |= word
		}
		if twice != 0 {
			return false
		}
		count += bits.OnesCount64(any)
	}
	return count == hi-lo
}

// ones writes the map of a channel at n voxels from voxel lo, a multiple of 64, of the
// chunk to y, which is as long as whole words of them.
func (m *chunkMaps) ones(k *kernels, y []uint8, c, lo, n int) {
	k.unpack(y, m.channel(c)[lo/64:][:(n+63)/64])
}

// classes writes the channel of the single one of n voxels from voxel lo, a multiple of
// 64, of the chunk to y.
func (m *chunkMaps) classes(y []uint8, lo, n int) {
	clear(y[:n])
	for c := 1; c < m.channels; c++ {
		for w, word := range m.channel(c)[lo/64:][:(n+63)/64] {
			for ; word != 0; word &= word - 1 {
				y[64*w+bits.TrailingZeros64(word)] = uint8(c)
			}
		}
	}
}

// unpackGo writes the bits of src to dst, a byte of 0 or 1 for each.
func unpackGo(dst []uint8, src []uint64) {
	for w, word := range src {
		for i := range 64 {
			dst[64*w+i] = uint8(word >> i & 1)
		}
	}
}
