// The parameters of the kernels of convolutions. Plain C, see arguments.h.
#ifndef AFL_NN_CONV_ARGUMENTS_H
#define AFL_NN_CONV_ARGUMENTS_H

#include <stdint.h>

// AflConv is a linear map between a fine volume (the input of a convolution, the result of a
// transposed one) and a coarse one:
//
//	coarse[r,o] = Σ_c Σ_a weight[r,c,a] · fine[c, o·stride + a·dilation − padding]
//
// rows and columns are the channels of the coarse and of the fine volume. weight is
// row-major, rows × columns × taps, and the volumes are in channels-last order.
typedef struct AflConv {
	int32_t samples, rows, columns;
	int32_t coarse[3], fine[3]; // spatial sizes
	int32_t kernel[3], stride[3], padding[3], dilation[3];
	float *coarse_values, *fine_values, *weight;
	const float *bias; // of the result; null for none
	// The gradient of the weight: sums over `chunk` coarse voxels of all samples, chunks ×
	// weights, and their sum.
	int64_t chunk, chunks;
	double *partials;
} AflConv;

#endif
