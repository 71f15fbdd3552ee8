// The parameters of the kernels of all operations but convolutions. Plain C, included by the
// kernels, their CPU emulation and the Go side (cgo), so that the three cannot disagree.
//
// Volumes are in channels-last order, N×X×Y×Z×C: `rows` are the voxels of all samples, each of
// C adjacent values.
#ifndef AFL_NN_ARGUMENTS_H
#define AFL_NN_ARGUMENTS_H

#include <stdint.h>

// AflElementwise: y[i] from a[i] and b[i] for i < count.
typedef struct AflElementwise {
	int64_t count;
	const float *a, *b;
	float *y;
	float factor;
	int32_t unused;
} AflElementwise;

// AflMean: y = (Σ x[k])/divisor for count elements and `inputs` arrays. The sum starts at y
// where `more` is 1; it is not divided where divisor is 0.
enum { AFL_MEAN_INPUTS = 8 };
typedef struct AflMean {
	int64_t count;
	const float *x[AFL_MEAN_INPUTS];
	int32_t inputs, more;
	float divisor;
	float *y;
} AflMean;

// AflStore: stores `words` words in device memory. Values that change from step to step reach
// kernels through memory, so that the arguments of a step's kernels are those of every step.
enum { AFL_STORE_WORDS = 6 };
typedef struct AflStore {
	uint32_t *to;
	uint32_t words;
	uint32_t word[AFL_STORE_WORDS];
	uint32_t unused;
} AflStore;

// AflUpdateFactors: the factors of an optimizer's step that change from step to step.
typedef struct AflUpdateFactors {
	float rate, decay, correction;
	int32_t start; // the velocity has no history
} AflUpdateFactors;

// AflUpdate: a step of an optimizer on count values.
typedef struct AflUpdate {
	int64_t count;
	const AflUpdateFactors *factors;
	const uint32_t *stop; // the step changes nothing where this is not 0
	float *value;
	const float *gradient;
	float *first, *second; // moments; first is the velocity of SGD, null without momentum
	float momentum;
	int32_t nesterov;
	float beta1, beta2, new1, new2, epsilon;
	int32_t unused;
} AflUpdate;

// AflSquares: the sum of the squares of count values, in one part per block, and the sum of
// `parts` parts.
typedef struct AflSquares {
	int64_t count, parts;
	const float *x;
	double *partials, *sum;
} AflSquares;

// AflClip: the factor by which gradients are scaled to a global norm of at most most, from
// the parts of the sum of their squares. bad is the first part that is not finite, or parts.
typedef struct AflClipped {
	double norm;
	int64_t bad;
} AflClipped;

typedef struct AflClip {
	int64_t parts;
	const double *partials;
	double most;
	float *factor;
	AflClipped *clipped;
	uint32_t *stop; // becomes 1 where the norm is not finite
} AflClip;

// AflLayout: conversion between row-major order, N×C×voxels, and channels-last order.
typedef struct AflLayout {
	int64_t samples, channels, voxels;
	const float *from;
	float *to;
} AflLayout;

// AflRows: sums over the rows of a volume by channel. Block b adds up the channels
// [256·t, 256·(t+1)) of the rows [chunk·j, chunk·(j+1)) of sample n, where
// b = (n·chunks + j)·tiles + t.
typedef struct AflRows {
	int64_t samples, voxels, channels;
	int64_t chunk, chunks, tiles;
	const float *x, *g;
	double *partials; // samples × chunks × channels × sums
	float *y;         // channels
} AflRows;

// AflChannels: operations on a volume whose voxels or channels have a factor: a slope for
// each of `slopes` channels (or one slope for all), a dropout mask, a gate. g is the gradient
// of the result.
typedef struct AflChannels {
	int64_t rows, voxels, channels; // voxels of a sample
	int64_t slopes;
	const float *x, *factor, *g;
	float *y;
	// Dropout: channel c of sample n is kept if the hash of n·channels + c is at least
	// threshold, see nn.DropoutMask.
	const uint64_t *seed;
	uint64_t threshold;
	float kept; // factor of the channels that are kept
	int32_t unused;
} AflChannels;

// AflSlice: the channels [offset, offset + part_channels) of a volume and a volume of these
// channels alone; or a volume with its channels repeated cyclically.
typedef struct AflSlice {
	int64_t rows, channels, part_channels, offset;
	float *whole, *part;
} AflSlice;

// AflPool: the pooling of a volume, and its gradient y from that of the result, g.
typedef struct AflPool {
	int64_t samples, channels;
	int32_t in[3], out[3], kernel[3], stride[3], padding[3];
	const float *x, *g;
	float *y;
} AflPool;

// AflTap: voxel (1 − weight)·at + weight·next of a resized axis.
typedef struct AflTap {
	int32_t at, next;
	float weight;
	int32_t unused;
} AflTap;

// AflReaders: the voxels of a resized axis that read a voxel.
typedef struct AflReaders {
	int32_t first, last;
} AflReaders;

// AflResize: taps of the axes X, Y, Z one after another, and likewise the readers.
typedef struct AflResize {
	int64_t samples, channels;
	int32_t in[3], out[3];
	const AflTap *taps;
	const AflReaders *readers;
	const float *x;
	float *y;
} AflResize;

// AflFunction: an activation. IDENTITY is none.
enum AflFunction { AFL_IDENTITY, AFL_RELU, AFL_ELU, AFL_SIGMOID, AFL_PRELU };

// AflActivation: an activation with, for PReLU, a slope for each of `slopes` channels, or one
// slope for all.
typedef struct AflActivation {
	int32_t function; // AflFunction
	int32_t unused;
	int64_t slopes;
	const float *slope;
} AflActivation;

// AflNormalizer: those of a norm for one channel of a sample, (x − mean)·factor + shift. low is
// the rounding error of the mean.
typedef struct AflNormalizer {
	float mean, low, factor, shift;
} AflNormalizer;

// AflTerm: act(norm(x)), or x without a norm.
typedef struct AflTerm {
	const float *x;
	const AflNormalizer *norm; // samples × channels; null for none
	AflActivation act;         // of the norm
} AflTerm;

// AflSum: y = post(p + q), or post(p) where q.x is null, for rows.
typedef struct AflSum {
	AflRows rows; // of which y is the result
	AflTerm p, q;
	int32_t post; // AflFunction without a slope
	int32_t unused;
} AflSum;

// AflNorm: a norm of the volume rows.x. The values of a group share a mean and a variance: a
// channel of all samples where batch is 1, or else group_channels consecutive channels of a
// sample. Its gradients are computed from the gradient g of act(norm(x)): h is that of norm(x).
typedef struct AflNorm {
	AflRows rows;             // y is the gradient of x
	int32_t batch, fixed;     // fixed: the statistics do not depend on x
	int64_t groups, group_channels;
	double values;            // of a group
	double epsilon, momentum;
	double *statistics;       // groups × 2: mean, 1/√(variance + epsilon)
	AflNormalizer *norm;      // samples × channels
	AflActivation act;
	int64_t sums;             // of a plane: 2, or 3 for PReLU
	double *planes;           // samples × channels × sums: Σh, Σh·(x − mean), Σg·min(norm(x), 0)
	double *means;            // groups × 2: the means of weight·h and weight·h·(x − mean)
	const float *weight, *bias; // null for none
	float *running_mean, *running_var;
	const uint32_t *stop; // the running statistics do not change where this is not 0
	float *weight_gradient, *bias_gradient; // null if not wanted
	float *slope_gradient;
} AflNorm;

// AflBox: the part of a volume inside a box, in row-major order, and the volume.
typedef struct AflBox {
	int64_t samples, channels;
	int32_t size[3], start[3], box[3];
	int32_t channels_last; // order of the volume
	float *volume, *inside;
} AflBox;

// AflFinite: the first value of a volume, in row-major order, that is not finite. Block b
// stores it as its part: its index, or count if there is none, and the value.
typedef struct AflFinitePart {
	int64_t index;
	float value;
	int32_t unused;
} AflFinitePart;

typedef struct AflFinite {
	int64_t count, channels, voxels;
	int32_t channels_last;
	int32_t unused;
	const float *x;
	AflFinitePart *parts; // of the blocks; the first one becomes that of all
	int64_t blocks;
} AflFinite;

// AflJudge: whether a training has to stop, because the logits or the loss are not finite.
typedef struct AflJudge {
	int64_t count;              // of the logits
	const AflFinitePart *first; // of the logits that is not finite
	const double *value;        // of the loss
	uint32_t *stop;             // becomes 1 if so
} AflJudge;

#endif
