// winograd.h declares convolutions with kernels of 3×3×3 or 5×5×5 taps by the
// minimal filtering of Winograd (1980), as applied by Lavin and Gray (2016): a tile of
// 4×4×4 voxels of the result takes 216 products, where direct convolution with 3×3×3
// taps takes 1728. oneDNN implements it in two dimensions only. The gradient of 5×5×5
// taps is composed of the gradients of eight kernels of 3×3×3 taps, which share the
// transforms of the volumes.
//
// As in kernels.h, results do not depend on the number of threads. An infinite or NaN
// voxel affects its whole tile.

#ifndef AFL_ONEDNN_WINOGRAD_H
#define AFL_ONEDNN_WINOGRAD_H

#include "filter.h"

#include <stddef.h>

// winograd_choose returns the fastest tile for the convolution, or if gradient is set
// for the gradient of its kernel. The tile is the number of voxels of the result per
// axis: 2 or 4 for 3 taps; for 5 taps, 2 or 3 in a convolution and 3 in a gradient.
// winograd_choose returns 0 if direct convolution is faster or the shape is not
// supported.
int winograd_choose(const filter *f, int gradient);
// winograd_always, for tests, makes winograd_choose return the given tile for every
// shape that supports it, and 0 for others. A tile of -1 makes it always return 0; a
// tile of 0 restores the default.
void winograd_always(int tile);

// winograd_scratch returns the number of bytes of scratch memory that winograd_run, or
// if gradient is set winograd_gradient, needs on at most the given number of threads.
size_t winograd_scratch(const filter *f, int tile, int gradient, int threads);
// winograd_run stores the convolution of x, plus bias if that is not NULL. If flip is
// set, the order of the taps is reversed.
void winograd_run(const filter *f, int tile, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch);
// winograd_gradient stores the gradient of the kernel, given the input x and the
// gradient g of the result.
void winograd_gradient(const filter *f, int tile, int threads, const float *x, const float *g, float *kernel, void *scratch);

#endif
