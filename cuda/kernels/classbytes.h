// Byte labels, four at a time.
#ifndef AFL_CLASSBYTES_H
#define AFL_CLASSBYTES_H

#include "reject.h"
#include "voxels.h"

namespace afl {

// Bit 7 of every byte of w that differs from the given one; the other bits are
// arbitrary.
AFL_DEVICE uint32_t bytes_other_than(uint32_t w, uint32_t byte) {
	w ^= byte * 0x01010101;
	return ((w & 0x7f7f7f7f) + 0x7f7f7f7f) | w;
}
// The number of bytes whose bit 7 is set.
AFL_DEVICE uint32_t count_tops(uint32_t w) { return (uint32_t)__builtin_popcount(w & 0x80808080); }

// ClassBytes turns label bytes into classes. Class bytes that an earlier kernel
// wrote are used unchanged.
struct ClassBytes {
	ByteRules rules;
	bool classes;
	bool each; // inspect every byte
	// Adding a byte of this to a byte below 128 sets the top bit unless the byte is
	// a class as it stands.
	uint32_t suspect;
};

AFL_DEVICE ClassBytes class_bytes(const AflArguments &a) {
	ByteRules r = byte_rules(a);
	uint32_t plain = r.most < r.limit ? r.most + 1 : r.limit; // labels below it are their own class
	bool each = r.ignore < plain || plain > 128;
	return ClassBytes{r, a.classes != nullptr, each, each ? 0 : (128 - plain) * 0x01010101};
}

// Reads a thread's classes of a tile, NO_CLASS for voxels that take no part or lie
// beyond the chunk, and returns whether NO_CLASS may be among them. Labels that are
// not classes are rejected. row points to the chunk's first label, voxel `begin` of
// sample n.
template <class V>
AFL_DEVICE bool load_classes(const AflArguments &a, const ClassBytes &b, int n, int64_t begin, const uint8_t *row, const V &v, Tile tile,
	typename V::Labels &y) {
	const int32_t at = tile.at;
	if (tile.wide) {
		uint32_t high = 0, most = 0;
		AFL_UNROLL for (int r = 0; r < V::rounds; r++) {
			y[r] = load4(row + place(v, at, 4 * r));
			high |= ((y[r] & 0x7f7f7f7f) + b.suspect) | y[r];
			most |= y[r];
		}
		if (b.classes || (!b.each && (high & 0x80808080) == 0))
			return most & 0x80808080;
	}
	AFL_ROLL for (int r = 0; r < V::rounds; r++) {
		uint32_t classes = 0;
		AFL_UNROLL for (int i = 0; i < 4; i++) {
			int32_t p = place(v, at, 4 * r + i);
			bool bad = false;
			uint32_t c = NO_CLASS;
			if (p < v.size)
				c = byte_class(b.rules, tile.wide ? y[0] >> 8 * i & 0xff : row[p], bad);
			if (bad)
				reject_class(a, n, begin + p);
			classes |= c << 8 * i;
		}
		y[0] = classes;
		rotate<1>(y);
	}
	return true;
}

} // namespace afl

#endif
