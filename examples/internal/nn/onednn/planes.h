// planes.h declares convolutions that make few channels, with kernels of 3×3×3 or
// 5×5×5 taps. Such channels, side by side in memory as they are, fill little of a
// vector, so planes are copied to one channel after the other and vectors hold
// voxels.
//
// Like kernels.h's, results do not depend on the number of threads.

#ifndef AFL_ONEDNN_PLANES_H
#define AFL_ONEDNN_PLANES_H

#include "filter.h"

#include <stddef.h>

// planes_choose tells whether the convolution and the gradient of its kernel are faster
// this way than oneDNN's.
int planes_choose(const filter *f);
// planes_always makes planes_choose answer 1 for every shape that there is code for,
// and with -1 always 0; 0 ends that. For tests.
void planes_always(int yes);

// planes_scratch returns the bytes of working memory for planes_run, or with gradient
// for planes_gradient, on at most so many threads.
size_t planes_scratch(const filter *f, int gradient, int threads);
// planes_run stores the convolution of x, plus bias if that is not NULL. With flip
// the taps are taken in the opposite order.
void planes_run(const filter *f, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch);
// planes_gradient stores the gradient of the kernel, from the input and from the
// gradient g of the result.
void planes_gradient(const filter *f, int threads, const float *x, const float *g, float *kernel, void *scratch);

#endif
