// winograd.h declares convolutions with kernels of 3×3×3 or 5×5×5 taps by the
// minimal filtering of Winograd (1980) as Lavin and Gray (2016) use it: 216
// products for a tile of 4×4×4 voxels of the result where the sum over 3×3×3 taps
// takes 1728. oneDNN has it in two dimensions only. The gradient of 5×5×5 taps is made
// of those of eight kernels of 3×3×3, which share what is done to the volumes.
//
// Like kernels.h's, results do not depend on the number of threads. What is infinite
// or not a number spreads over its tile.

#ifndef AFL_ONEDNN_WINOGRAD_H
#define AFL_ONEDNN_WINOGRAD_H

#include "filter.h"

#include <stddef.h>

// winograd_choose returns the tile with which the convolution, or with gradient that of
// its kernel, takes the least time: on an axis 2 or 4 voxels of the result for 3
// taps, and for 5 taps 2, or in a gradient 3. It returns 0 where the sum over taps
// takes less, or there is no code.
int winograd_choose(const filter *f, int gradient);
// winograd_always makes winograd_choose take this tile for every shape that there
// is code for, and with -1 none; 0 ends that. For tests.
void winograd_always(int tile);

// winograd_scratch returns the bytes of working memory for winograd_run, or with
// gradient for winograd_gradient, on at most so many threads.
size_t winograd_scratch(const filter *f, int tile, int gradient, int threads);
// winograd_run stores the convolution of x, plus bias if that is not NULL. With
// flip the taps are taken in the opposite order.
void winograd_run(const filter *f, int tile, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch);
// winograd_gradient stores the gradient of the kernel, from the input and from
// the gradient g of the result.
void winograd_gradient(const filter *f, int tile, int threads, const float *x, const float *g, float *kernel, void *scratch);

#endif
