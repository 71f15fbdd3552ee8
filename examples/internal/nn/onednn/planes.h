// planes.h declares convolutions with few output channels and kernels of 3×3×3 or
// 5×5×5 taps. With channels last, so few channels would fill only a small part of a
// vector. Planes are therefore copied to one plane per channel, so that vectors hold
// neighboring voxels of one channel.
//
// As in kernels.h, results do not depend on the number of threads.

#ifndef AFL_ONEDNN_PLANES_H
#define AFL_ONEDNN_PLANES_H

#include "filter.h"

#include <stddef.h>

// planes_choose reports whether these functions compute the convolution and the
// gradient of its kernel faster than oneDNN.
int planes_choose(const filter *f);
// planes_always, for tests, makes planes_choose return 1 for every supported shape
// if yes is 1, and always 0 if yes is -1. A yes of 0 restores the default.
void planes_always(int yes);

// planes_scratch returns the number of bytes of scratch memory that planes_run, or if
// gradient is set planes_gradient, needs on at most the given number of threads.
size_t planes_scratch(const filter *f, int gradient, int threads);
// planes_run stores the convolution of x, plus bias if that is not NULL. If flip is
// set, the order of the taps is reversed.
void planes_run(const filter *f, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch);
// planes_gradient stores the gradient of the kernel, given the input x and the gradient
// g of the result.
void planes_gradient(const filter *f, int threads, const float *x, const float *g, float *kernel, void *scratch);

#endif
