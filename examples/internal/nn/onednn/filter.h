// filter.h describes the convolutions that winograd.h and planes.h compute.

#ifndef AFL_ONEDNN_FILTER_H
#define AFL_ONEDNN_FILTER_H

#include <stdint.h>

// filter is a convolution with a stride of 1: voxel p of the result is the sum over
// all taps k of tap k times voxel p+k−pad of the input. Voxels outside the input are
// zero. Volumes are channels last; the axes of a kernel are the tap, the input channel
// and the output channel.
typedef struct {
	int64_t batch, in, out; // number of samples, input channels and output channels
	int64_t from[3], to[3]; // sizes of the input and the result
	int64_t pad[3];
	int taps; // per axis
} filter;

static inline int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t cubed(int64_t a) { return a * a * a; }

// even returns the size of the parts, each at most `most`, into which n is divided as
// evenly as possible.
static inline int64_t even(int64_t n, int64_t most) { return ceiling(n, ceiling(n, larger(most, 1))); }

#endif
