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
	// All bytes of a word are below a power of two, and classes as they stand, if the word's
	// bits in `beyond` equal `expected`.
	uint32_t beyond, expected;
};

AFL_DEVICE ClassBytes class_bytes(const AflArguments &a) {
	ByteRules r = byte_rules(a);
	uint32_t plain = r.most < r.limit ? r.most + 1 : r.limit; // labels below it are their own class
	const bool classes = a.classes != nullptr, each = r.ignore < plain || plain > 128;
	uint32_t power = 1; // the largest one up to plain
	while (power * 2 <= (classes ? 128 : plain))
		power *= 2;
	const bool impossible = each && !classes;
	return ClassBytes{r, classes, each, each ? 0 : (128 - plain) * 0x01010101, impossible ? 0 : (256 - power) * 0x01010101, impossible};
}

// Reads a thread's labels of a wide tile, and returns whether all are classes at first
// sight, so that classify has nothing to do. row points to the chunk's first label.
template <class V> AFL_DEVICE bool load_labels(const ClassBytes &b, const uint8_t *row, const V &v, Tile tile, typename V::Labels &y) {
	if constexpr (V::width == 8) {
		AFL_UNROLL for (int r = 0; r < V::rounds; r += 2) {
			const Word2 two = load8(row + place(v, tile, 4 * r));
			y[r] = two[0], y[r + 1] = two[1];
		}
	} else {
		AFL_UNROLL for (int r = 0; r < V::rounds; r++)
			y[r] = load4(row + place(v, tile, 4 * r));
	}
	uint32_t any = 0;
	AFL_UNROLL for (int r = 0; r < V::rounds; r++)
		any |= y[r];
	return (any & b.beyond) == b.expected;
}

// Turns a thread's labels into classes, NO_CLASS for voxels that take no part or lie
// beyond the chunk, and returns whether NO_CLASS may be among them. y holds those of a wide
// tile; others are read. Labels that are not classes are rejected. row points to the
// chunk's first label, voxel `begin` of sample n.
template <class V>
AFL_DEVICE bool classify(const AflArguments &a, const ClassBytes &b, int n, int64_t begin, const uint8_t *row, const V &v, Tile tile,
	typename V::Labels &y) {
	if (tile.wide) {
		if (b.classes)
			return true;
		uint32_t high = 0;
		AFL_UNROLL for (int r = 0; r < V::rounds; r++)
			high |= ((y[r] & 0x7f7f7f7f) + b.suspect) | y[r];
		if (!b.each && (high & 0x80808080) == 0)
			return false;
	}
	AFL_ROLL for (int r = 0; r < V::rounds; r++) {
		uint32_t classes = 0;
		AFL_UNROLL for (int i = 0; i < 4; i++) {
			int32_t p = place(v, tile, 4 * r + i);
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

// Reads a thread's classes of a tile, and returns whether NO_CLASS may be among them.
template <class V>
AFL_DEVICE bool load_classes(const AflArguments &a, const ClassBytes &b, int n, int64_t begin, const uint8_t *row, const V &v, Tile tile,
	typename V::Labels &y) {
	if (tile.wide && load_labels(b, row, v, tile, y))
		return false;
	return classify(a, b, n, begin, row, v, tile, y);
}

} // namespace afl

#endif
