// The meaning of target and voxel weight elements, and which of them are rejected.
#ifndef AFL_LABEL_H
#define AFL_LABEL_H

#include "arguments.h"
#include "math64.h"

namespace afl {

// IGNORED and NO_CLASS mark a voxel that takes no part, as a class and as a byte.
// REJECTED marks a label that is not a class; being negative, it takes no part either.
constexpr int32_t IGNORED = -1, REJECTED = -2, NO_CLASS = 255;

AFL_DEVICE float float_of_half(uint16_t h) { return (float)__builtin_bit_cast(_Float16, h); }
AFL_DEVICE float float_of_bfloat(uint16_t h) { return __builtin_bit_cast(float, (uint32_t)h << 16); }

AFL_DEVICE uint16_t half_of(double x) { return __builtin_bit_cast(uint16_t, (_Float16)x); }

// The nearest bfloat16, ties to even, rounded once rather than via float32.
AFL_DEVICE uint16_t bfloat_of(double x) {
	const uint64_t bits = bits_of(x);
	const uint16_t sign = bits >> 48 & 0x8000;
	const double y = absolute(x);
	if (is_nan(x) || y >= 0x1p128)
		return sign | (is_nan(x) ? 0x7fc0 : 0x7f80);
	int e = (int)(bits >> 52 & 2047) - 1023;
	if (e < -126)
		e = -126; // denormals have the last place of the smallest exponent
	// Adding 2^(e+52−7) rounds y to an integer multiple of its last place. The leading
	// bit, which denormals lack, adds 1 to the exponent field, as does a carry.
	const double shift = double_of((uint64_t)(1023 + e + 52 - 7) << 52);
	const uint64_t places = bits_of(y + shift) - bits_of(shift);
	return sign | (uint16_t)(places + ((uint64_t)(e + 126) << 7));
}

// Element i of an array of any type.
AFL_OUT_OF_LINE double number_at(const void *p, int32_t type, int64_t i) {
	switch (type) {
	case AFL_FLOAT32: return ((const float *)p)[i];
	case AFL_FLOAT64: return ((const double *)p)[i];
	case AFL_FLOAT16: return float_of_half(((const uint16_t *)p)[i]);
	case AFL_BFLOAT16: return float_of_bfloat(((const uint16_t *)p)[i]);
	case AFL_INT8: return ((const int8_t *)p)[i];
	case AFL_UINT16: return ((const uint16_t *)p)[i];
	case AFL_INT16: return ((const int16_t *)p)[i];
	case AFL_UINT32: return ((const uint32_t *)p)[i];
	case AFL_INT32: return ((const int32_t *)p)[i];
	case AFL_UINT64: return (double)((const uint64_t *)p)[i];
	case AFL_INT64: return (double)((const int64_t *)p)[i];
	case AFL_BOOL: return ((const uint8_t *)p)[i] != 0;
	default: return ((const uint8_t *)p)[i];
	}
}

// Stores x, rounded, in element i of an array of a float type.
AFL_OUT_OF_LINE void store_at(void *p, int32_t type, int64_t i, double x) {
	switch (type) {
	case AFL_FLOAT64: ((double *)p)[i] = x; break;
	case AFL_FLOAT16: ((uint16_t *)p)[i] = half_of(x); break;
	case AFL_BFLOAT16: ((uint16_t *)p)[i] = bfloat_of(x); break;
	default: ((float *)p)[i] = (float)x;
	}
}

// A class index as a sign and a 64-bit magnitude, which holds every integer type.
struct Index {
	bool negative;
	uint64_t magnitude;
};

// The class of a label, or IGNORED or REJECTED.
AFL_DEVICE int32_t class_of_index(const AflArguments &a, Index y) {
	bool ignore_negative = a.ignore < 0;
	uint64_t ignore = ignore_negative ? 0 - (uint64_t)a.ignore : (uint64_t)a.ignore;
	if (a.has_ignore && y.negative == ignore_negative && y.magnitude == ignore)
		return IGNORED;
	if (!y.negative && a.binarize)
		return y.magnitude != 0;
	if (!y.negative && y.magnitude < (uint64_t)a.limit)
		return (int32_t)y.magnitude;
	return REJECTED;
}

AFL_DEVICE int32_t class_of_signed(const AflArguments &a, int64_t y) {
	return class_of_index(a, Index{y < 0, y < 0 ? 0 - (uint64_t)y : (uint64_t)y});
}

AFL_DEVICE int32_t class_of_float(const AflArguments &a, double y) {
	if (a.has_ignore && y == (double)a.ignore)
		return IGNORED;
	// Non-negative integers; every float64 from 2⁵² on is one.
	if (y >= 0 && y < infinity() && (y >= 0x1p52 || y == (double)(int64_t)y)) {
		if (a.binarize)
			return y > 0;
		if (y < (double)a.limit)
			return (int32_t)y;
	}
	return REJECTED;
}

// class_of_target returns the class of element i = n·V + voxel of a target of class
// indices, or IGNORED or REJECTED. a is in shared memory.
AFL_OUT_OF_LINE int32_t class_of_target(const AflArguments &a, int64_t i) {
	const void *p = a.target;
	switch (a.target_type) {
	case AFL_BOOL: {
		// The classes 0 and 1 are within every limit.
		int32_t y = ((const uint8_t *)p)[i] != 0;
		return a.has_ignore && y == a.ignore ? IGNORED : y;
	}
	case AFL_INT8: return class_of_signed(a, ((const int8_t *)p)[i]);
	case AFL_UINT16: return class_of_signed(a, ((const uint16_t *)p)[i]);
	case AFL_INT16: return class_of_signed(a, ((const int16_t *)p)[i]);
	case AFL_UINT32: return class_of_signed(a, ((const uint32_t *)p)[i]);
	case AFL_INT32: return class_of_signed(a, ((const int32_t *)p)[i]);
	case AFL_UINT64: return class_of_index(a, Index{false, ((const uint64_t *)p)[i]});
	case AFL_INT64: return class_of_signed(a, ((const int64_t *)p)[i]);
	case AFL_FLOAT32: return class_of_float(a, ((const float *)p)[i]);
	case AFL_FLOAT64: return class_of_float(a, ((const double *)p)[i]);
	default: return class_of_signed(a, ((const uint8_t *)p)[i]);
	}
}

// class_at reads the class byte if the call has class bytes, and else is
// class_of_target.
AFL_DEVICE int32_t class_at(const AflArguments &a, int64_t i) {
	if (!a.classes)
		return class_of_target(a, i);
	int32_t y = a.classes[i];
	return y == NO_CLASS ? IGNORED : y;
}

// Tolerance for values of soft maps outside [0,1], which float32 interpolation
// produces. They are clamped.
#define AFL_MAP_SLACK 1e-5
// The first and the last float32 within the tolerance.
constexpr float map_low = -1e-5f, map_high = 1 + 83 * 0x1p-23f;
static_assert((double)map_low >= -AFL_MAP_SLACK && (double)map_high <= 1 + AFL_MAP_SLACK);
static_assert((double)(map_low * (1 + 0x1p-23f)) < -AFL_MAP_SLACK && (double)(map_high + 0x1p-23f) > 1 + AFL_MAP_SLACK);

// map_at returns element i = (n·C + c)·V + voxel of a target of maps, clamped to
// [0,1], or REJECTED.
AFL_DEVICE double map_at(const AflArguments &a, int64_t i) {
	double y = number_at(a.target, a.target_type, i);
	if (!(y >= -AFL_MAP_SLACK && y <= 1 + AFL_MAP_SLACK))
		return REJECTED;
	return maximum(0, minimum(y, 1));
}

// weight_at returns the weight of element i = n·V + voxel, 1 if there are no weights,
// or REJECTED.
AFL_DEVICE double weight_at(const AflArguments &a, int64_t i) {
	if (!a.voxel_weight)
		return 1;
	double w = a.voxel_weight_type == AFL_FLOAT32 ? ((const float *)a.voxel_weight)[i] : ((const double *)a.voxel_weight)[i];
	return w >= 0 && w < infinity() ? w : (double)REJECTED;
}

// The meaning of a uint8 label or class byte without a branch per rule: ignore is 256
// if no label is ignored, most is 1 if larger labels count as 1.
struct ByteRules {
	uint32_t ignore, most, limit;
};

AFL_DEVICE ByteRules byte_rules(const AflArguments &a) {
	if (a.classes)
		return ByteRules{NO_CLASS, 255, 255}; // all other bytes are classes
	ByteRules r{256, a.binarize ? 1u : 255u, (uint32_t)a.limit};
	if (a.has_ignore && a.ignore >= 0 && a.ignore <= 255)
		r.ignore = (uint32_t)a.ignore;
	return r;
}

// The bytes that kernels for byte labels read, N×V.
AFL_DEVICE const uint8_t *label_bytes(const AflArguments &a) { return a.classes ? a.classes : (const uint8_t *)a.target; }

// byte_class returns the class of a label byte, or NO_CLASS if it takes no part or,
// with bad set, if it is rejected.
AFL_DEVICE uint32_t byte_class(const ByteRules &r, uint32_t y, bool &bad) {
	if (y == r.ignore)
		return NO_CLASS;
	y = y < r.most ? y : r.most;
	if (y < r.limit)
		return y;
	bad = true;
	return NO_CLASS;
}

} // namespace afl

#endif
