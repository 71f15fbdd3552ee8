// filter.h describes the convolutions that winograd.h and planes.h compute.

#ifndef AFL_ONEDNN_FILTER_H
#define AFL_ONEDNN_FILTER_H

#include <stdint.h>

// filter is a convolution with steps of one voxel: voxel p of the result sums the
// products of the taps k with voxels p+k−pad of the input, and voxels outside are
// zero. Volumes are channels-last, and kernels have the tap first, then the channel that
// is summed over, then the one that is made.
typedef struct {
	int64_t batch, in, out; // channels
	int64_t from[3], to[3]; // sizes of the input and the result
	int64_t pad[3];
	int taps; // of an axis
} filter;

static inline int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t cubed(int64_t a) { return a * a * a; }

// even returns the size, at most `most`, of the equal parts that n is cut into.
static inline int64_t even(int64_t n, int64_t most) { return ceiling(n, ceiling(n, larger(most, 1))); }

#endif
