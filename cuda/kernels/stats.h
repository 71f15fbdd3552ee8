// afl_stats_classes and afl_stats_general compute the label's statistics by sample,
// and from them the parameters of A-FL and the denominators of means. The gradient of a
// mask is taken by central differences inside and one-sided differences at the faces,
// in voxels, and is never stored. The last block writes the sums to a.stats and the
// factors of the passes to a.factors, so that no host synchronization is needed before
// the passes.
#ifndef AFL_STATS_H
#define AFL_STATS_H

#include "block.h"
#include "factors.h"
#include "reject.h"

namespace afl {

// Columns of a block's partial sums, see afl_stats_doubles.
enum { VALID, FOREGROUND, COUNT };
AFL_DEVICE int64_t at_magnitude(const AflArguments &a, int k) { return COUNT + a.channels + 2 * (int64_t)k; }
AFL_DEVICE int64_t at_boundary(const AflArguments &a, int k) { return at_magnitude(a, k) + 1; }

// Whether the counts of single classes are needed.
AFL_DEVICE bool counts_wanted(const AflArguments &a) {
	return a.stats || a.form == AFL_FORM_MULTICLASS || a.denominator == AFL_DIVIDE_BY_LABEL_WEIGHT;
}

AFL_DEVICE double stat(const AflArguments &a, int64_t n, int64_t k) {
	return total_of(a, afl_stats_doubles(a.channels, a.masks), a.samples, n, k);
}

// Column k as a share of the voxels that are not ignored, over the samples that count
// for sample n; 0 if all are ignored.
AFL_DEVICE double share(const AflArguments &a, int n, int64_t k) {
	const bool own = a.stats_mode == AFL_STATS_PER_SAMPLE;
	double part = 0, all = 0;
	for (int i = own ? n : 0; i < (own ? n + 1 : a.samples); i++) {
		part += stat(a, i, k);
		all += stat(a, i, VALID);
	}
	return all == 0 ? 0 : part / all;
}

AFL_DEVICE double smoothness_of_sample(const AflArguments &a, int n, int k) {
	double over = stat(a, n, a.smoothness == AFL_SMOOTHNESS_BOUNDARY ? at_boundary(a, k) : (int64_t)VALID);
	return over == 0 ? 0 : stat(a, n, at_magnitude(a, k)) / over;
}

// The mean gradient magnitude of mask k over the samples that count for sample n.
AFL_DEVICE double smoothness(const AflArguments &a, int n, int k) {
	if (a.stats_mode != AFL_STATS_POOLED)
		return smoothness_of_sample(a, a.stats_mode == AFL_STATS_RELEASED ? 0 : n, k);
	double total = 0;
	for (int i = 0; i < a.samples; i++)
		total += smoothness_of_sample(a, i, k);
	return total / a.samples;
}

// The parameters that A-FL derives from the label for a sample and channel: focusing
// parameter, and factors of positive and negative voxels.
struct Adaptive {
	double gamma, pos, neg;
};

AFL_DEVICE Adaptive adaptive(const AflArguments &a, int n, int c) {
	if (a.form == AFL_FORM_NONE)
		return Adaptive{channel_of(a, c).gamma, 1, 1};
	const double gamma_va = share(a, n, FOREGROUND), alpha_va = 1 - gamma_va;
	const bool foreground = c > 0 || a.channels == 1;
	double gamma = gamma_va + smoothness(a, n, 0);
	if (a.form == AFL_FORM_RELEASED) {
		double w = foreground ? gamma_va : alpha_va;
		return Adaptive{gamma, w, w};
	}
	if (a.form == AFL_FORM_SCALAR)
		return Adaptive{gamma, alpha_va, alpha_va};
	double alpha = alpha_va;
	if (a.form == AFL_FORM_MULTICLASS && a.channels > 1 && foreground) {
		double r = share(a, n, COUNT + c);
		gamma = r + smoothness(a, n, c);
		alpha = 1 - r;
	}
	if (!foreground)
		alpha = gamma_va; // positives of the background are negatives of the foreground
	return Adaptive{gamma, alpha, 1 - alpha};
}

// The pointwise term's scale divided by its denominator. All threads call it.
AFL_DEVICE double scale_from_stats(const AflArguments &a) {
	double valid = 0, weight = 0;
	for (int n = (int)thread_index(); n < a.samples; n += AFL_THREADS)
		valid += stat(a, n, VALID);
	valid = block_sum(valid);
	if (a.denominator == AFL_DIVIDE_BY_LABEL_WEIGHT) {
		for (int64_t i = thread_index(); i < (int64_t)a.samples * a.channels; i += AFL_THREADS) {
			const int64_t n = i / a.channels, c = i % a.channels;
			// In a softmax over one channel every voxel is of its class.
			weight += channel_of(a, (int)c).pos * stat(a, n, a.channels == 1 ? (int64_t)VALID : COUNT + c);
		}
		weight = block_sum(weight);
	}
	if (a.scale == 0)
		return 0; // even if the denominator is 0
	switch (a.denominator) {
	case AFL_DIVIDE_BY_VALID: return valid == 0 ? 0 : a.scale / valid;
	case AFL_DIVIDE_BY_VALID_NAN: return a.scale / valid;
	case AFL_DIVIDE_BY_LABEL_WEIGHT: return valid == 0 ? infinity() : weight == 0 ? 0 : a.scale / weight;
	default: return a.scale;
	}
}

// finish_stats is the last block's work. a is in shared memory.
AFL_OUT_OF_LINE void finish_stats(const AflArguments &a) {
	const uint32_t thread = thread_index();
	if (thread == 0)
		finish_rejections(a);
	const int64_t width = afl_stats_doubles(a.channels, a.masks);
	sum_partials(a, width, width, a.samples);
	if (a.stats)
		for (int64_t i = thread; i < a.samples * width; i += AFL_THREADS)
			a.stats[i] = stat(a, i / width, i % width);
	if (!a.factors)
		return;
	const double scale = scale_from_stats(a);
	if (thread == 0)
		a.factors[0] = scale;
	if (a.form == AFL_FORM_GIVEN)
		return;
	const int64_t all = (int64_t)a.samples * a.channels;
	for (int64_t i = thread; i < all; i += AFL_THREADS) {
		const int n = (int)(i / a.channels), c = (int)(i % a.channels);
		const Adaptive q = adaptive(a, n, c);
		const AflChannel k = channel_of(a, c);
		a.factors[1 + i] = q.gamma;
		a.factors[1 + all + i] = k.pos * q.pos;
		a.factors[1 + 2 * all + i] = k.neg * q.neg;
	}
}

// Class bytes are processed four voxels per word and sixteen per load. In a 0/1 mask a
// difference of neighbors is 0 or ±1, so 4|∇mask|² is an integer, the voxel's level:
// each axis with a nonzero difference contributes 1, or 4 if the difference is
// one-sided, at a face. Four levels take three exclusive ors and two additions, and
// words of level 0, the great majority, cost nothing more. Voxels are counted by level,
// so the sums are exact in any order.

// Bit 7 of every nonzero byte; the other bits are arbitrary.
AFL_DEVICE uint32_t nonzero_top(uint32_t w) { return ((w & 0x7f7f7f7f) + 0x7f7f7f7f) | w; }
// The top bit of each byte, moved to its lowest bit.
AFL_DEVICE uint32_t ones_of(uint32_t top) { return top >> 7 & 0x01010101; }

// 0x80 for every byte of at least the given limit, which is 1 to 255.
AFL_DEVICE uint32_t bytes_from(uint32_t w, uint32_t limit) {
	uint32_t low = (w & 0x7f7f7f7f) + ((limit <= 128 ? 128 : 256) - limit) * 0x01010101;
	return (limit <= 128 ? low | w : low & w) & 0x80808080;
}

// The labels that are in a mask.
struct Mask {
	uint32_t class4, invert, ignore4, has_ignore;

	// Bit 7 of every byte of labels that is in the mask; the other bits are arbitrary.
	AFL_MEMBER uint32_t top(uint32_t labels) const {
		uint32_t m = nonzero_top(labels ^ class4) ^ invert;
		return has_ignore ? m & nonzero_top(labels ^ ignore4) : m;
	}
	// 0x01 for every byte of labels that is in the mask.
	AFL_MEMBER uint32_t of(uint32_t labels) const { return ones_of(top(labels)); }
};

// Mask 0 is the foreground, mask k the class k.
AFL_DEVICE Mask mask_of(const ByteRules &r, int32_t k) {
	Mask m{0, 0, r.ignore * 0x01010101, r.ignore < 256};
	if (k > 0 && r.most > 1) { // with binarized labels, class 1 is the foreground
		m.class4 = (uint32_t)k * 0x01010101;
		m.invert = ~0u;
	}
	return m;
}

// Four bytes of an array of the given size, from index i on; bytes outside the array
// are not read and count as 0.
AFL_DEVICE uint32_t four_bytes(const uint8_t *array, int64_t size, int64_t i) {
	uint32_t w = 0;
	for (int b = 0; b < 4; b++)
		if (i + b >= 0 && i + b < size)
			w |= (uint32_t)array[i + b] << (8 * b);
	return w;
}

AFL_OUT_OF_LINE Word4 sixteen_bytes_at_end(const uint8_t *array, int64_t size, int64_t i) {
	return Word4{four_bytes(array, size, i), four_bytes(array, size, i + 4), four_bytes(array, size, i + 8), four_bytes(array, size, i + 12)};
}

// The word that starts `odd` bytes into the first of two adjacent words.
AFL_DEVICE uint32_t between(uint32_t low, uint32_t high, uint32_t odd) {
	return odd ? low >> (8 * odd) | high << (32 - 8 * odd) : low;
}

// Sixteen bytes of an array of the given size, from index i on. Bytes outside the array
// are not read and count as 0; unaligned bytes are extracted from aligned words.
AFL_DEVICE Word4 sixteen_bytes(const uint8_t *array, int64_t size, int64_t i) {
	const uint8_t *p = array + i;
	if (((uint64_t)p & 15) == 0 && i >= 0 && i + 16 <= size)
		return load16(p);
	if (i < 4 || i + 20 > size)
		return sixteen_bytes_at_end(array, size, i);
	const uint32_t odd = (uint32_t)((uint64_t)p & 3);
	p -= odd;
	const uint32_t w0 = load4(p), w1 = load4(p + 4), w2 = load4(p + 8), w3 = load4(p + 12), w4 = load4(p + 16);
	return Word4{between(w0, w1, odd), between(w1, w2, odd), between(w2, w3, odd), between(w3, w4, odd)};
}

// The nonzero levels: sums of 0, 1 or 4 over three axes.
enum { LEVELS = 9 };
AFL_DEVICE uint32_t level(int i) {
	return i == 0 ? 1 : i == 1 ? 2 : i == 2 ? 3 : i == 3 ? 4 : i == 4 ? 5 : i == 5 ? 6 : i == 6 ? 8 : i == 7 ? 9 : 12;
}

// A thread's counts of voxels: those not ignored, those in the mask, and by level.
enum { COUNTS = 2 + LEVELS };
struct Counts {
	uint32_t valid, inside, by_level[LEVELS];
};

// Counts a word of four levels.
AFL_DEVICE void count_levels(Counts &n, uint32_t w) {
	const uint32_t ones = 0x01010101;
	uint32_t b0 = w & ones, b1 = w >> 1 & ones;
	if ((w & 0xfcfcfcfc) == 0) { // no face
		n.by_level[0] += (uint32_t)__builtin_popcount(b0 & ~b1);
		n.by_level[1] += (uint32_t)__builtin_popcount(b1 & ~b0);
		n.by_level[2] += (uint32_t)__builtin_popcount(b0 & b1);
		return;
	}
	uint32_t b2 = w >> 2 & ones, b3 = w >> 3 & ones;
	for (int i = 0; i < LEVELS; i++) {
		const uint32_t l = level(i);
		uint32_t same = (l & 1 ? b0 : ~b0) & (l & 2 ? b1 : ~b1) & (l & 4 ? b2 : ~b2) & (l & 8 ? b3 : ~b3) & ones;
		n.by_level[i] += (uint32_t)__builtin_popcount(same);
	}
}

// A sample's axes, and its rows divided into segments of sixteen voxels.
struct Segments {
	int32_t planes, rows, length; // axes of size 1, which have no difference, come first where possible
	int32_t per_row;
};

AFL_DEVICE Segments segments_of(const AflArguments &a) {
	Segments s{a.space[0], a.space[1], a.space[2], 0};
	if (s.length == 1) {
		s.length = s.rows;
		s.rows = 1;
	}
	if (s.length == 1) {
		s.length = s.planes;
		s.planes = 1;
	}
	s.per_row = (s.length + 15) / 16;
	return s;
}

// The sum of sixteen bytes that are 0 or 1.
AFL_DEVICE uint32_t sum_of_ones(Word4 w) { return (w[0] + w[1] + w[2] + w[3]) * 0x01010101 >> 24; }

// 0 if every word of w equals byte4.
AFL_DEVICE uint32_t differing(Word4 w, uint32_t byte4) {
	return (w[0] ^ byte4) | (w[1] ^ byte4) | (w[2] ^ byte4) | (w[3] ^ byte4);
}

// count_segment counts the voxels of segment k of row y of plane x of sample n, which
// starts at voxel i. GRADIENT asks for levels, and `check` for rejecting labels that are
// not classes.
//
// PLAIN says that all sixteen voxels take part and that they and their neighbors are
// aligned. Around most such segments there is a single label, hence no boundary.
template <bool GRADIENT, bool PLAIN>
AFL_DEVICE void count_segment(const AflArguments &a, const Segments &s, const ByteRules &rules, Mask mask, bool check,
	int n, int32_t x, int32_t y, int32_t k, int64_t i, Counts &counts) {
	const int64_t size = a.samples * a.voxels;
	const uint8_t *labels = label_bytes(a), *own_labels = labels + (n * a.voxels + i);
	auto read = [&](int64_t from) { // relative to voxel i
		return PLAIN ? load16(own_labels + from) : sixteen_bytes(labels, size, n * a.voxels + i + from);
	};
	const int32_t left_in_row = PLAIN ? 16 : s.length - 16 * k, voxels = left_in_row < 16 ? left_in_row : 16;
	if (PLAIN)
		mask.has_ignore = 0;

	// At a face the voxel itself replaces the missing neighbor.
	const int64_t plane = (int64_t)s.rows * s.length;
	const bool first = k == 0, last = k == s.per_row - 1;
	const Word4 raw = read(0);
	Word4 before_x = raw, after_x = raw, before_y = raw, after_y = raw;
	uint32_t before_z = raw[0] & 0xff, after_z = raw[3] >> 24;
	if (GRADIENT) {
		if (s.planes > 1) {
			before_x = read(x > 0 ? -plane : 0);
			after_x = read(x < s.planes - 1 ? plane : 0);
		}
		if (s.rows > 1) {
			before_y = read(y > 0 ? -(int64_t)s.length : 0);
			after_y = read(y < s.rows - 1 ? s.length : 0);
		}
		if (!first)
			before_z = own_labels[-1];
		if (!last)
			after_z = own_labels[16];
	}
	if (PLAIN && GRADIENT) {
		const uint32_t label = raw[0] & 0xff, label4 = label * 0x01010101;
		const uint32_t other = differing(raw, label4) | differing(before_x, label4) | differing(after_x, label4) |
			differing(before_y, label4) | differing(after_y, label4) | (before_z ^ label) | (after_z ^ label);
		if (other == 0 && !(check && label >= rules.limit)) {
			counts.valid += 16;
			counts.inside += (mask.of(label4) & 1) * 16;
			return;
		}
	}

	Word4 own, valid;
	uint32_t bad = 0;
	for (int j = 0; j < 4; j++) {
		const int32_t bytes = voxels - 4 * j; // of this word
		valid[j] = bytes >= 4 ? 0x01010101 : bytes <= 0 ? 0 : 0x01010101u >> (32 - 8 * bytes);
		if (mask.has_ignore)
			valid[j] &= ones_of(nonzero_top(raw[j] ^ mask.ignore4));
		own[j] = mask.of(raw[j]);
		bad |= bytes_from(raw[j], rules.limit) >> 7 & valid[j];
	}
	counts.valid += sum_of_ones(valid);
	counts.inside += sum_of_ones(own & valid);
	if (check && bad != 0)
		for (int32_t b = 0; b < voxels; b++)
			if (own_labels[b] >= rules.limit && own_labels[b] != rules.ignore)
				reject_class(a, n, i + b);
	if (!GRADIENT)
		return;

	// Differences along x and y, whose level at a face is 4 = 1 << 2, and along z, where
	// the neighbors are adjacent bytes. The last voxel of a row is byte `end` of its last
	// segment.
	const int32_t shift_x = x == 0 || x == s.planes - 1 ? 2 : 0, shift_y = y == 0 || y == s.rows - 1 ? 2 : 0;
	const int32_t end = PLAIN ? 15 : left_in_row - 1;
	const uint32_t previous = mask.of(before_z) & 1, next = last ? 0 : mask.of(after_z) & 1;
	Word4 levels;
	uint32_t any = 0;
	for (int j = 0; j < 4; j++) {
		const uint32_t dx = ones_of(mask.top(before_x[j]) ^ mask.top(after_x[j])) << shift_x;
		const uint32_t dy = ones_of(mask.top(before_y[j]) ^ mask.top(after_y[j])) << shift_y;
		uint32_t before = own[j] << 8 | (j == 0 ? previous : own[j == 0 ? 0 : j - 1] >> 24);
		uint32_t after = own[j] >> 8 | (j == 3 ? next : own[j == 3 ? 3 : j + 1]) << 24;
		uint32_t faces = j == 0 && first ? 1 : 0;
		if (last && end / 4 == j) {
			const uint32_t byte = 0xffu << (8 * (end % 4));
			after = (after & ~byte) | (own[j] & byte);
			faces |= byte & 0x01010101;
		}
		const uint32_t dz = before ^ after;
		levels[j] = (dx + dy + dz + 3 * (dz & faces)) & 255 * valid[j];
		any |= levels[j];
	}
	AFL_ROLL
	while (any != 0) {
		count_levels(counts, levels[0]);
		levels = Word4{levels[1], levels[2], levels[3], 0};
		any = levels[0] | levels[1] | levels[2];
	}
}

// Counts mask k over the block's share of its sample's segments.
template <bool GRADIENT, bool PLAIN>
AFL_DEVICE Counts count_mask(const AflArguments &a, const Segments &s, int32_t k) {
	const ByteRules rules = byte_rules(a);
	const Mask mask = mask_of(rules, k);
	const bool check = k == 0 && !a.classes && !a.binarize;
	const int32_t n = (int32_t)(block_index() / a.chunks);
	const int64_t j = block_index() % a.chunks, all = (int64_t)s.planes * s.rows * s.per_row;
	const int64_t begin = all / a.chunks * j + all % a.chunks * j / a.chunks;
	const int64_t end = all / a.chunks * (j + 1) + all % a.chunks * (j + 1) / a.chunks;
	Counts counts = {};
	int64_t i = begin + thread_index();
	int32_t column = (int32_t)(i % s.per_row);
	int64_t row = i / s.per_row;
	int32_t y = (int32_t)(row % s.rows), x = (int32_t)(row / s.rows);
	// Steps of 256 segments, without divisions.
	const int32_t step_column = AFL_THREADS % s.per_row, step_row = AFL_THREADS / s.per_row;
	const int32_t step_y = step_row % s.rows, step_x = step_row / s.rows;
	for (; i < end; i += AFL_THREADS) {
		const int64_t at = PLAIN ? 16 * i : ((int64_t)x * s.rows + y) * s.length + 16 * (int64_t)column;
		count_segment<GRADIENT, PLAIN>(a, s, rules, mask, check, n, x, y, column, at, counts);
		column += step_column;
		y += step_y;
		x += step_x;
		if (column >= s.per_row) {
			column -= s.per_row;
			y++;
		}
		if (y >= s.rows) {
			y -= s.rows;
			x++;
		}
	}
	return counts;
}

// Whether all segments are PLAIN, see count_segment.
AFL_DEVICE bool all_plain(const AflArguments &a, const Segments &s) {
	const bool aligned = (uint64_t)label_bytes(a) % 16 == 0 && s.length % 16 == 0;
	return aligned && byte_rules(a).ignore > 255;
}

// block_counts returns the block's sums, in thread 0.
AFL_DEVICE Counts block_counts(const Counts &own) {
	AFL_SHARED uint32_t part[WARPS][COUNTS];
	const uint32_t warp = thread_index() / 32, lane = thread_index() % 32;
	uint32_t any = 0;
	for (int i = 0; i < LEVELS; i++)
		any |= own.by_level[i];
	const bool boundary = warp_sum(any != 0 ? 1 : 0) != 0;
	for (int i = 0; i < COUNTS; i++) {
		uint32_t x = i == 0 ? own.valid : i == 1 ? own.inside : own.by_level[i < 2 ? 0 : i - 2];
		if (i < 2 || boundary)
			x = (uint32_t)warp_sum((int32_t)x);
		if (lane == 0)
			part[warp][i] = x;
	}
	barrier();
	Counts sum = {};
	if (thread_index() == 0)
		for (int w = 0; w < WARPS; w++) {
			sum.valid += part[w][0];
			sum.inside += part[w][1];
			for (int i = 0; i < LEVELS; i++)
				sum.by_level[i] += part[w][2 + i];
		}
	barrier(); // the next mask overwrites part
	return sum;
}

// Statistics of byte labels: uint8 labels, to which the target's rules are applied on
// the fly, or class bytes. The label is read once per mask and, if counts are needed
// for more than 2 channels, once per class. Repeated reads and those of neighboring
// rows hit the caches, so the memory traffic is 1 byte per voxel.
AFL_KERNEL(afl_stats_classes, 3) {
	const Segments s = segments_of(a);
	const bool plain = all_plain(a, s);
	double *partial = a.partials + block_index() * afl_stats_doubles(a.channels, a.masks);
	int32_t passes = a.masks > 1 ? a.masks : 1;
	if (a.channels > 2 && counts_wanted(a))
		passes = a.channels;
	if (thread_index() == 0)
		for (int c = 0; c < a.channels; c++)
			partial[COUNT + c] = 0;
	for (int32_t k = 0; k < passes; k++) {
		const Counts own = k >= a.masks ? count_mask<false, false>(a, s, k) :
			plain ? count_mask<true, true>(a, s, k) : count_mask<true, false>(a, s, k);
		const Counts sum = block_counts(own);
		if (thread_index() != 0)
			continue;
		if (k == 0) {
			partial[VALID] = sum.valid;
			partial[FOREGROUND] = sum.inside;
			partial[COUNT] = sum.valid - sum.inside;
			if (a.channels == 2)
				partial[COUNT + 1] = sum.inside;
		} else {
			partial[COUNT + k] = sum.inside;
		}
		if (k < a.masks) {
			double magnitude = 0, boundary = 0;
			for (int i = 0; i < LEVELS; i++) {
				magnitude += 0.5 * square_root((double)level(i)) * sum.by_level[i];
				boundary += sum.by_level[i];
			}
			partial[at_magnitude(a, k)] = magnitude;
			partial[at_boundary(a, k)] = boundary;
		}
	}
	if (last_block(a))
		finish_stats(shared_arguments(a));
}

// The value of mask k at voxel i of sample n; 0 for rejected elements.
AFL_OUT_OF_LINE double mask_at(const AflArguments &a, int n, int k, int64_t i) {
	if (!a.dense) {
		int32_t y = class_at(a, n * a.voxels + i);
		return k == 0 ? y > 0 : y == k;
	}
	const int64_t base = (int64_t)n * a.channels;
	if (k > 0)
		return maximum(0, map_at(a, (base + k) * a.voxels + i));
	const int first = a.channels > 1 ? 1 : 0;
	double y = 0;
	for (int c = first; c < a.channels; c++)
		y = maximum(y, map_at(a, (base + c) * a.voxels + i));
	return y;
}

// Whether element (n, c, i) of a target of maps is 1. Clears hard unless it is a byte or a
// float32 number and 0 or 1.
AFL_DEVICE bool hard_element_at(const AflArguments &a, int n, int c, int64_t i, bool &hard) {
	const int64_t at = ((int64_t)n * a.channels + c) * a.voxels + i;
	if (a.target_type == AFL_UINT8) {
		const uint8_t y = ((const uint8_t *)a.target)[at];
		hard = hard && y <= 1;
		return y == 1;
	}
	const float y = a.target_type == AFL_FLOAT32 ? ((const float *)a.target)[at] : __builtin_nanf("");
	hard = hard && (y == 0 || y == 1);
	return y == 1;
}

// hard_mask_at is mask_at if all elements that it reads are hard. If not, it clears hard.
AFL_DEVICE bool hard_mask_at(const AflArguments &a, int n, int k, int64_t i, bool &hard) {
	if (!a.dense) {
		const int32_t y = class_at(a, n * a.voxels + i);
		return k == 0 ? y > 0 : y == k;
	}
	if (k > 0)
		return hard_element_at(a, n, k, i, hard);
	bool any = false;
	for (int c = a.channels > 1 ? 1 : 0; c < a.channels; c++)
		any = hard_element_at(a, n, c, i, hard) || any;
	return any;
}

// The difference of mask k along an axis on which voxel i has index `at` of `size` and
// its neighbors are `stride` away.
AFL_DEVICE double difference(const AflArguments &a, int n, int k, int64_t i, int64_t at, int64_t size, int64_t stride) {
	if (size == 1)
		return 0;
	double before = mask_at(a, n, k, at > 0 ? i - stride : i), after = mask_at(a, n, k, at < size - 1 ? i + stride : i);
	return at > 0 && at < size - 1 ? 0.5 * (after - before) : after - before;
}

// The part of such an axis in the level of a voxel, see level; for hard see hard_mask_at.
AFL_DEVICE uint32_t hard_difference(const AflArguments &a, int n, int k, int64_t i, int64_t at, int64_t size, int64_t stride, bool &hard) {
	if (size == 1)
		return 0;
	const bool before = hard_mask_at(a, n, k, at > 0 ? i - stride : i, hard);
	const bool after = hard_mask_at(a, n, k, at < size - 1 ? i + stride : i, hard);
	return before == after ? 0 : at > 0 && at < size - 1 ? 1 : 4;
}

// Statistics of any target, including maps, one thread per voxel. Counts of maps are sums.
// Voxels whose elements are 0 or 1 are counted, others summed in float64. The target is
// read once per channel and once per mask; neighbors come from the caches.
AFL_DEVICE void stats_general(const AflArguments &a) {
	const Range r = range_of_block(a);
	const int n = r.sample;
	double *partial = a.partials + block_index() * afl_stats_doubles(a.channels, a.masks);
	const int64_t length = a.space[2], rows = a.space[1];

	uint32_t valid = 0, ones = 0;
	double foreground = 0;
	for (int64_t i = r.begin + thread_index(); i < r.end; i += AFL_THREADS) {
		int32_t y = a.dense ? 0 : class_at(a, n * a.voxels + i);
		if (y == REJECTED)
			reject_class(a, n, i);
		valid += y >= 0;
		bool hard = true;
		const bool inside = hard_mask_at(a, n, 0, i, hard);
		ones += hard && inside;
		if (!hard)
			foreground += mask_at(a, n, 0, i);
	}
	const double all_valid = block_sum(valid);
	foreground = block_sum(foreground + ones);
	if (thread_index() == 0) {
		partial[VALID] = all_valid;
		partial[FOREGROUND] = foreground;
	}
	for (int c = 0; c < a.channels; c++) {
		ones = 0;
		double count = 0;
		for (int64_t i = r.begin + thread_index(); i < r.end; i += AFL_THREADS) {
			if (!a.dense) {
				ones += class_at(a, n * a.voxels + i) == c;
				continue;
			}
			bool hard = true;
			const bool inside = hard_element_at(a, n, c, i, hard);
			ones += hard && inside;
			if (hard)
				continue;
			double y = map_at(a, ((int64_t)n * a.channels + c) * a.voxels + i);
			count += maximum(0, y);
			if (y == REJECTED)
				reject_map(a, n, c, i);
		}
		count = block_sum(count + ones);
		if (thread_index() == 0)
			partial[COUNT + c] = count;
	}
	for (int k = 0; k < a.masks; k++) {
		double magnitude = 0, boundary = 0;
		uint32_t by_level[LEVELS] = {};
		for (int64_t i = r.begin + thread_index(); i < r.end; i += AFL_THREADS) {
			if (!a.dense && class_at(a, n * a.voxels + i) < 0)
				continue;
			const int64_t row = i / length;
			bool hard = true;
			uint32_t sum = hard_difference(a, n, k, i, i - row * length, length, 1, hard);
			sum += hard_difference(a, n, k, i, row % rows, rows, length, hard);
			sum += hard_difference(a, n, k, i, row / rows, a.space[0], rows * length, hard);
			if (hard) {
				AFL_UNROLL for (int l = 0; l < LEVELS; l++)
					by_level[l] += sum == level(l);
				continue;
			}
			double dz = difference(a, n, k, i, i - row * length, length, 1);
			double dy = difference(a, n, k, i, row % rows, rows, length);
			double dx = difference(a, n, k, i, row / rows, a.space[0], rows * length);
			double m = square_root(dx * dx + dy * dy + dz * dz);
			magnitude += m;
			boundary += m != 0;
		}
		AFL_UNROLL for (int l = 0; l < LEVELS; l++) {
			magnitude += 0.5 * square_root((double)level(l)) * by_level[l];
			boundary += by_level[l];
		}
		magnitude = block_sum(magnitude);
		boundary = block_sum(boundary);
		if (thread_index() == 0) {
			partial[at_magnitude(a, k)] = magnitude;
			partial[at_boundary(a, k)] = boundary;
		}
	}
	if (last_block(a))
		finish_stats(a);
}

AFL_KERNEL(afl_stats_general, 2) { stats_general(shared_arguments(a)); }

} // namespace afl

#endif
