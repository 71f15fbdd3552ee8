// kernels.h declares all operations except convolutions. They work on channels-last
// volumes, which are rows of channels, one row per voxel, and use all threads that
// OpenMP provides. The results do not depend on the number of threads: a volume is
// divided into chunks by its shape alone, and sums over chunks are taken in order.

#ifndef AFL_ONEDNN_KERNELS_H
#define AFL_ONEDNN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// The values of nn.Activation, followed by two that it does not define.
enum activation { ACT_RELU, ACT_ELU, ACT_SIGMOID, ACT_PRELU, ACT_NONE };

// view is a volume of blocks×elements floats, with elements = rows×channels. Every
// block has its own coefficients. A block is the whole batch for a batch norm and one
// sample for a group norm.
typedef struct {
	int64_t blocks, elements, channels;
} view;

// coefficients are those of a norm, blocks×channels floats each. The norm is
// (x − mean)·scale + shift, with scale = weight·rstd.
typedef struct {
	float *mean, *scale, *shift, *rstd;
} coefficients;

// term is act(norm(x)). norm is the identity if norm.mean is NULL. slope has one
// entry per channel and is read only for ACT_PRELU.
typedef struct {
	const float *x;
	coefficients norm;
	int act;
	const float *slope;
} term;

// kernels_open selects the best vector instructions of the machine and sets the
// number of threads to the smallest of threads, OpenMP's default and the number
// that OpenMP actually provides. It returns the name of the instruction set.
const char *kernels_open(int threads);
// kernels_use selects vector instructions by the name that kernels_open returns. It
// returns 0 if the machine does not support them.
int kernels_use(const char *name);
// kernels_threads sets the number of threads, for tests, and returns the previous
// number.
int kernels_threads(int n);
// kernels_lanes returns the number of floats in a vector, or 0 if the compiler
// chooses it.
int kernels_lanes(void);
// kernels_failed reports whether an allocation of scratch memory has failed since
// the last call.
int kernels_failed(void);

// map_terms stores y = post(p + q), or post(p) if q is NULL. post is ACT_NONE,
// ACT_RELU, ACT_ELU or ACT_SIGMOID. q must have ACT_NONE.
void map_terms(view v, term p, const term *q, int post, float *y);

// norm_statistics computes the mean and the biased variance of every block and group
// of channels and stores the norm's coefficients. A NULL weight means 1, a NULL bias
// 0. If running_mean is not NULL, norm_statistics updates it with the mean, and
// running_var with the unbiased variance.
void norm_statistics(view v, const float *x, int64_t groups, double epsilon, const float *weight, const float *bias,
	float *running_mean, float *running_var, double momentum, coefficients out);
// norm_fixed stores the norm's coefficients for given statistics.
void norm_fixed(int64_t channels, const float *mean, const float *variance, double epsilon,
	const float *weight, const float *bias, coefficients out);

// backward_sums stores for every block and channel
//
//	sums[0] = Σ h    sums[1] = Σ h·(x − mean)    sums[2] = Σ g·min(z, 0)
//
// where z = norm(x) and h = g·act'(z) is the gradient of z. Each of the three is
// blocks×channels doubles; they follow each other in memory.
void backward_sums(view v, term p, const float *g, double *sums);
// norm_finish computes from sums the gradients of weight and bias (either may be
// NULL) and the coefficients shift and slope (blocks×channels each) for backward_map.
// fixed says that the statistics were constants.
void norm_finish(view v, const double *sums, int64_t groups, coefficients norm, const float *weight, int fixed,
	float *gweight, float *gbias, float *shift, float *slope);
// slope_gradient adds up sums[2] over blocks and, if slopes is 1, over channels.
void slope_gradient(view v, const double *sums, int64_t slopes, float *out);
// backward_map stores gx = scale·h − shift − slope·(x − mean), with h as for
// backward_sums. A NULL scale means 1; a NULL shift or slope means 0.
void backward_map(view v, term p, const float *g, const float *scale, const float *shift, const float *slope, float *gx);
// backward_post stores gx = g·act'(z), where y = act(z).
void backward_post(int64_t n, int act, const float *g, const float *y, float *gx);

void channel_sum(int64_t rows, int64_t channels, const float *x, float *out);
void channel_add(int64_t rows, int64_t channels, const float *add, float *y);
// drop stores y = x·mask. Where the mask is 0 it stores 0 even if x is infinite or
// NaN. The mask has blocks×channels entries.
void drop(view v, const float *x, const float *mask, float *y);
void add(int64_t n, const float *a, const float *b, float *y);
// mean_of stores the mean of k arrays.
void mean_of(int64_t n, int64_t k, const float *const *xs, float *y);
void zero(int64_t n, float *y);
void scale(int64_t n, float by, const float *x, float *y);
// sum_of_squares sums in double precision, in an order that depends on n alone.
double sum_of_squares(int64_t n, const float *x);

// copy_channels copies count channels of every row: those that start at channel
// at_from of a row of from_channels, to channel at_to of a row of to_channels.
void copy_channels(int64_t rows, int64_t count, const float *from, int64_t from_channels, int64_t at_from,
	float *to, int64_t to_channels, int64_t at_to);
void repeat_channels(int64_t rows, int64_t in, int64_t out, const float *x, float *y);
void repeat_backward(int64_t rows, int64_t in, int64_t out, const float *g, float *gx);
void gate(int64_t rows, int64_t channels, const float *x, const float *by, float *y);
// gate_backward stores gx and gby; either may be NULL.
void gate_backward(int64_t rows, int64_t channels, const float *x, const float *by, const float *g, float *gx, float *gby);

// pool_shape describes a max pooling.
typedef struct {
	int64_t batch, channels;
	int64_t in[3], out[3], kernel[3], stride[3], pad[3];
} pool_shape;
// max_pool stores the largest value of every window and the index of the tap where
// it was found.
void max_pool(const pool_shape *s, const float *x, float *y, int32_t *tap);
void max_pool_backward(const pool_shape *s, const float *g, const int32_t *tap, float *gx);

// taps lists, for every index of a resampled axis, the source indices and their
// weights: those of index i are the entries first[i] to first[i+1]−1.
typedef struct {
	int64_t from, to;
	const int32_t *first, *index;
	const float *weight;
} taps;
// resample stores y, whose voxels are weighted sums of the voxels of x along each
// axis.
void resample(int64_t batch, int64_t channels, const taps axis[3], const float *x, float *y);

// The functions below convert between plain order, batch×channels×voxels, and volumes,
// batch×voxels×channels.
void volume_from_float(int64_t batch, int64_t channels, int64_t voxels, const float *plain, float *volume);
void volume_from_double(int64_t batch, int64_t channels, int64_t voxels, const double *plain, float *volume);
void volume_to_float(int64_t batch, int64_t channels, int64_t voxels, const float *volume, float *plain);
void volume_to_double(int64_t batch, int64_t channels, int64_t voxels, const float *volume, double *plain);

// sgd updates w and v (NULL without momentum) from the gradient g; see nn.SGD.
void sgd(int64_t n, float *w, const float *g, float *v, int first, float rate, float momentum, float decay, int nesterov);

// adamw_factors are those of nn.AdamWSpec in single precision, with new1 = 1 − beta1 and
// new2 = 1 − beta2.
typedef struct {
	float decay, beta1, new1, beta2, new2, size, correction, epsilon;
} adamw_factors;

// adamw updates w and the moments m and v from the gradient g; see nn.Backend.AdamWStep.
void adamw(int64_t n, float *w, const float *g, float *m, float *v, adamw_factors f);

#endif
