// winograd.h declares convolutions with kernels of 3×3×3 or 5×5×5 taps by the
// minimal filtering of Winograd (1980) as Lavin and Gray (2016) use it: 216
// products for a tile of 4×4×4 voxels of the result where the sum over 3×3×3 taps
// takes 1728. oneDNN has it in two dimensions only. The gradient of 5×5×5 taps is made
// of those of eight kernels of 3×3×3, which share what is done to the volumes.
//
// Volumes are channels-last, and kernels have the tap first, then the channel
// that is summed over, then the one that is made. Like kernels.h's, results do
// not depend on the number of threads. What is infinite or not a number spreads
// over its tile.

#ifndef AFL_ONEDNN_WINOGRAD_H
#define AFL_ONEDNN_WINOGRAD_H

#include <stddef.h>
#include <stdint.h>

// winograd_shape is a convolution with steps of one voxel: voxel p of the result
// sums the products of the taps k with voxels p+k−pad of the input, and voxels
// outside are zero.
typedef struct {
	int64_t batch, in, out; // channels
	int64_t from[3], to[3]; // sizes of the input and the result
	int64_t pad[3];
	int taps, tile; // of an axis: 3 taps with tiles of 2 or 4 voxels, 5 with tiles of 2, in a gradient 3
} winograd_shape;

// winograd_choose sets the tile with which the convolution, or with gradient that
// of its kernel, takes the least time. It returns 0 where the sum over taps takes
// less, or there is no code.
int winograd_choose(winograd_shape *s, int gradient);
// winograd_always makes winograd_choose take this tile for every shape that there
// is code for, and with -1 none; 0 ends that. For tests.
void winograd_always(int tile);

// winograd_scratch returns the bytes of working memory for winograd_run, or with
// gradient for winograd_gradient, on at most so many threads.
size_t winograd_scratch(const winograd_shape *s, int gradient, int threads);
// winograd_run stores the convolution of x, plus bias if that is not NULL. With
// flip the taps are taken in the opposite order.
void winograd_run(const winograd_shape *s, int flip, int threads, const float *x, const float *kernel, const float *bias,
	float *y, void *scratch);
// winograd_gradient stores the gradient of the kernel, from the input and from
// the gradient g of the result.
void winograd_gradient(const winograd_shape *s, int threads, const float *x, const float *g, float *kernel, void *scratch);

#endif
