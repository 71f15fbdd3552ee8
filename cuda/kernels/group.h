// The voxels that a thread of the general passes computes at a time, with their logits,
// targets, weights and upstream gradients, which may be of any type.
#ifndef AFL_GROUP_H
#define AFL_GROUP_H

#include "pass.h"

namespace afl {

// Whether products with a weight or factor stay within the range of the passes' type.
template <class Real, class Number> AFL_DEVICE bool is_moderate(Number x) {
	return sizeof(Real) == 8 || x == 0 || (absolute(x) >= (Number)0x1p-60 && absolute(x) <= (Number)0x1p60);
}

// VoxelGroup holds the voxels that a thread computes at a time, AFL_THREADS apart.
template <class Real, class T> struct VoxelGroup {
	static constexpr int count = sizeof(Real) == sizeof(float) ? 4 : 1;
	static constexpr int tile = AFL_THREADS * count;
	typedef Real Row[count];
	int32_t n;             // sample
	int64_t first;         // index of the first voxel
	int32_t offset[count]; // of each voxel from the first; 0 for those beyond the chunk
	bool inside[count];
	Row weight;            // 0 for voxels that take no part, whose logits and upstream gradient are ignored
	int32_t label[count];  // class, unless the target is a map
};

// Rejects the invalid ones of the weights and labels of `count` voxels, AFL_THREADS apart.
AFL_OUT_OF_LINE void reject_voxels(const AflArguments &a, int32_t n, int64_t first, int32_t count) {
	for (int64_t i = first; i < a.voxels && i < first + count * AFL_THREADS; i += AFL_THREADS) {
		if (weight_at(a, n * a.voxels + i) == REJECTED)
			reject_weight(a, n, i);
		if (!a.dense && class_at(a, n * a.voxels + i) == REJECTED)
			reject_class(a, n, i);
	}
}

// group_of reads the weights and labels of the group of the tile that starts at `at`, and
// rejects invalid ones. It clears fits if a weight is not moderate. shared is a copy of
// the arguments in shared memory.
template <class Real, class T>
AFL_DEVICE VoxelGroup<Real, T> group_of(const AflArguments &a, const AflArguments &shared, const Chunk &ch, int32_t at, bool &fits) {
	typedef VoxelGroup<Real, T> G;
	G g;
	const int32_t p = at + (int32_t)thread_index();
	g.n = ch.n;
	g.first = ch.begin + (p < ch.size ? p : ch.size - 1);
	AFL_UNROLL for (int j = 0; j < G::count; j++) {
		g.inside[j] = p + j * AFL_THREADS < ch.size;
		g.offset[j] = g.inside[j] ? j * AFL_THREADS : 0;
		g.weight[j] = g.inside[j];
		g.label[j] = IGNORED;
	}
	const int64_t i = g.n * a.voxels + g.first;
	bool bad = false;
	auto weigh = [&](int j, auto w) {
		const bool valid = w >= 0 && w < (decltype(w))__builtin_inf();
		bad = bad || !valid;
		fits = fits && (!valid || is_moderate<Real>(w));
		g.weight[j] = valid && g.inside[j] ? (Real)w : 0;
	};
	if (a.voxel_weight && a.voxel_weight_type == AFL_FLOAT32) {
		AFL_UNROLL for (int j = 0; j < G::count; j++)
			weigh(j, ((const float *)a.voxel_weight)[i + g.offset[j]]);
	} else if (a.voxel_weight) {
		AFL_UNROLL for (int j = 0; j < G::count; j++)
			weigh(j, ((const double *)a.voxel_weight)[i + g.offset[j]]);
	}
	if (!a.dense) {
		if (a.classes || a.target_type == AFL_UINT8) {
			const ByteRules rules = byte_rules(a);
			AFL_UNROLL for (int j = 0; j < G::count; j++) {
				const uint32_t y = byte_class(rules, label_bytes(a)[i + g.offset[j]], bad);
				g.label[j] = y == NO_CLASS ? IGNORED : (int32_t)y;
			}
		} else {
			AFL_UNROLL for (int j = 0; j < G::count; j++) {
				g.label[j] = class_of_target(shared, i + g.offset[j]);
				bad = bad || g.label[j] == REJECTED;
			}
		}
		AFL_UNROLL for (int j = 0; j < G::count; j++)
			g.weight[j] = g.label[j] < 0 ? 0 : g.weight[j];
	}
	if (bad)
		reject_voxels(shared, g.n, g.first, G::count);
	return g;
}

// The logits of channel c.
template <class Real, class T>
AFL_DEVICE void load_logits(const AflArguments &a, const VoxelGroup<Real, T> &g, int32_t c, Real (&x)[VoxelGroup<Real, T>::count]) {
	const typename T::Bits *row = (const typename T::Bits *)a.logits + (((int64_t)g.n * a.channels + c) * a.voxels + g.first);
	AFL_UNROLL for (int j = 0; j < g.count; j++) {
		const Real value = widen(T{}, row[g.offset[j]]);
		x[j] = g.weight[j] != 0 ? value : 0;
	}
}

// Rejects the invalid ones of `count` elements of a map, AFL_THREADS apart.
AFL_OUT_OF_LINE void reject_maps(const AflArguments &a, int32_t n, int32_t c, int64_t first, int32_t count) {
	for (int64_t i = first; i < a.voxels && i < first + count * AFL_THREADS; i += AFL_THREADS)
		if (map_at(a, ((int64_t)n * a.channels + c) * a.voxels + i) == REJECTED)
			reject_map(a, n, c, i);
}

// The target of channel c, 0 where it is rejected.
template <class Real, class T>
AFL_DEVICE void load_target(const AflArguments &a, const AflArguments &shared, const VoxelGroup<Real, T> &g, int32_t c,
	Real (&t)[VoxelGroup<Real, T>::count]) {
	if (!a.dense) {
		const int32_t own = a.channels == 1 ? 1 : c; // a single channel is the foreground
		AFL_UNROLL for (int j = 0; j < g.count; j++)
			t[j] = g.label[j] == own;
		return;
	}
	const int64_t first = ((int64_t)g.n * a.channels + c) * a.voxels + g.first;
	bool bad = false;
	if (a.target_type == AFL_UINT8) {
		AFL_UNROLL for (int j = 0; j < g.count; j++) {
			const uint32_t y = ((const uint8_t *)a.target + first)[g.offset[j]];
			bad = bad || y > 1;
			t[j] = y == 1;
		}
	} else if (a.target_type == AFL_FLOAT32) {
		AFL_UNROLL for (int j = 0; j < g.count; j++) {
			const float y = ((const float *)a.target + first)[g.offset[j]];
			const bool good = y >= map_low && y <= map_high;
			bad = bad || !good;
			t[j] = good ? __builtin_fmaxf(0, __builtin_fminf(y, 1)) : 0;
		}
	} else {
		AFL_UNROLL for (int j = 0; j < g.count; j++) {
			const double y = map_at(a, first + g.offset[j]);
			bad = bad || y < 0;
			t[j] = (Real)maximum(0, y);
		}
	}
	if (bad)
		reject_maps(shared, g.n, c, g.first, g.count);
}

// Index of the element of channel c at the group's first voxel.
template <class Real, class T> AFL_DEVICE int64_t first_element(const AflArguments &a, const VoxelGroup<Real, T> &g, int32_t c) {
	if (a.per_voxel)
		return g.n * a.voxels + g.first;
	return ((int64_t)g.n * (a.channels - a.first) + c - a.first) * a.voxels + g.first;
}

// The upstream gradient of the elements of channel c.
template <class Real, class T>
AFL_DEVICE void load_upstream(const AflArguments &a, const VoxelGroup<Real, T> &g, int32_t c, Real (&u)[VoxelGroup<Real, T>::count]) {
	AFL_UNROLL for (int j = 0; j < g.count; j++)
		u[j] = 1;
	if (!a.upstream)
		return;
	const typename T::Bits *row = (const typename T::Bits *)a.upstream + first_element(a, g, c);
	AFL_UNROLL for (int j = 0; j < g.count; j++)
		u[j] = widen(T{}, row[g.offset[j]]);
}

// Stores the group's numbers in an array of the logits' type, of which row is the element
// of the first voxel.
template <class Real, class T>
AFL_DEVICE void store_group(typename T::Bits *row, const VoxelGroup<Real, T> &g, const Real (&x)[VoxelGroup<Real, T>::count]) {
	AFL_UNROLL for (int j = 0; j < g.count; j++)
		if (g.inside[j])
			row[j * AFL_THREADS] = (typename T::Bits)rounded(T{}, x[j]);
}

template <class Real, class T>
AFL_DEVICE void store_elements(const AflArguments &a, const VoxelGroup<Real, T> &g, int32_t c, const Real (&x)[VoxelGroup<Real, T>::count]) {
	store_group<Real, T>((typename T::Bits *)a.elements + first_element(a, g, c), g, x);
}

} // namespace afl

#endif
