// The single parameter of every kernel, and the layout of the memory it points to.
// Plain C, included by the kernels, their CPU emulation and the Go side (cgo), so
// that the three cannot disagree.
//
// Axes: N samples, C channels, V voxels per sample. logits, grad and target maps
// are N×C×V, class indices and voxel weights N×V, small arrays N×C indexed n*C+c.
#ifndef AFL_ARGUMENTS_H
#define AFL_ARGUMENTS_H

#include <stdint.h>

#include "threads.h"

#ifdef __cplusplus
#define AFL_ON_BOTH static constexpr // callable on the host and on the GPU
#else
#define AFL_ON_BOTH static inline
#endif

// Element types.
enum AflType {
	AFL_FLOAT32, AFL_FLOAT64, AFL_FLOAT16, AFL_BFLOAT16,
	AFL_UINT8, AFL_INT8, AFL_UINT16, AFL_INT16, AFL_UINT32, AFL_INT32, AFL_UINT64, AFL_INT64, AFL_BOOL
};

enum AflActivation { AFL_IDENTITY, AFL_SIGMOID, AFL_SOFTMAX };

// Divisor of AflArguments.scale.
enum AflDenominator {
	AFL_DIVIDE_BY_ONE,
	AFL_DIVIDE_BY_VALID,       // voxels that are not ignored; with none, scale is 0
	AFL_DIVIDE_BY_VALID_NAN,   // the same; with none, scale is infinite
	AFL_DIVIDE_BY_LABEL_WEIGHT // Σ pos[y] over the valid voxels' labels y; with no valid voxel scale is infinite, else with a sum of 0 it is 0
};

// A-FL: the form, and which samples its statistics are taken over. With
// AFL_FORM_GIVEN the host has written the factors, and the label determines the
// scale alone.
enum AflForm { AFL_FORM_NONE, AFL_FORM_RELEASED, AFL_FORM_SCALAR, AFL_FORM_BALANCED, AFL_FORM_MULTICLASS, AFL_FORM_GIVEN };
enum AflStatsMode { AFL_STATS_RELEASED, AFL_STATS_POOLED, AFL_STATS_PER_SAMPLE };
enum AflSmoothness { AFL_SMOOTHNESS_WHOLE_IMAGE, AFL_SMOOTHNESS_BOUNDARY };

enum AflOverlap { AFL_OVERLAP_NONE, AFL_OVERLAP_DICE, AFL_OVERLAP_GENERALIZED_DICE, AFL_OVERLAP_TVERSKY };
enum AflWeighting { AFL_WEIGHT_SQUARE, AFL_WEIGHT_SIMPLE, AFL_WEIGHT_UNIFORM };

// Constants of a channel; zeros for channels that take no part.
typedef struct AflChannel {
	double pos, neg; // factors of positive and negative voxels
	double ce;       // weight of the positive voxels' cross-entropy (PosWeight)
	double gamma;    // focusing parameter, used where form is AFL_FORM_NONE
	double overlap;  // class weight of the overlap term
	double exponent; // of the overlap term's ratio
} AflChannel;

enum {
	AFL_INLINE_CHANNELS = 16, // more are kept in device memory, see AflArguments.far
	AFL_INLINE_DOUBLES = AFL_INLINE_CHANNELS * sizeof(AflChannel) / sizeof(double)
};

// The first rejected element. While the kernels of an evaluation run, found is
// 2⁶⁴−1 minus the smallest index of a bad element, or 0 if there is none; kernels
// raise it with an integer atomic maximum. The last block of the kernel that found
// the element fills in the other fields; until then kind is AFL_GOOD.
enum AflRejection { AFL_GOOD, AFL_BAD_CLASS, AFL_BAD_MAP, AFL_BAD_WEIGHT };

typedef struct AflStatus {
	uint64_t found;   // 2⁶⁴−1 minus the index n*V + i, or (n*C + c)*V + i for a map
	int32_t kind;     // AflRejection
	int32_t has_ignore, channels, limit; // of the call
	int64_t voxels;   // V of the call
	int64_t ignore;
	double got;       // the element
	int32_t type;     // AflType of a rejected class index
	int32_t unused;
	uint64_t bits;    // a rejected class index of an integer type, sign-extended
} AflStatus;

typedef struct AflArguments {
	// The batch.
	int32_t samples, channels;       // N, C
	int64_t voxels;                  // V = space[0]·space[1]·space[2]
	int32_t space[3];                // spatial shape; an image H×W is H×1×W
	int32_t logits_type;             // AflType, a float
	const void *logits;
	const void *target;
	int32_t target_type;
	int32_t dense;                   // 1: a map per channel, 0: class indices
	int64_t ignore;                  // class index of ignored voxels, where has_ignore
	int32_t has_ignore, binarize;    // binarize: an index above 1 counts as 1
	int32_t limit;                   // number of classes: C, or 2 where C = 1
	int32_t voxel_weight_type;
	const void *voxel_weight;        // or null

	// Work distribution, a function of the shape alone: block b processes the voxels
	// [j·chunk, min((j+1)·chunk, V)) of sample b / chunks, where j = b % chunks.
	int32_t chunks;
	int32_t chunk;                   // a multiple of 2048

	// The pointwise term (plan.Pointwise), where pointwise is 1.
	int32_t pointwise;
	int32_t activation;              // AFL_SIGMOID or AFL_SOFTMAX
	int32_t first;                   // first channel that takes part
	int32_t softmax_from;            // first channel of the softmax
	int32_t per_voxel;               // elements are summed over the channels
	int32_t denominator;             // AflDenominator
	int32_t focal;                   // 0: gamma is 0 for every channel
	double smoothing;                // label smoothing
	double scale;                    // before division by the denominator

	// A-FL: gamma and the multipliers of pos and neg follow from the statistics.
	int32_t form, stats_mode, smoothness;
	int32_t masks;                   // K, masks whose gradient is needed: 0, 1 or C

	// The overlap term (plan.Overlap).
	int32_t overlap;                 // AflOverlap
	int32_t overlap_activation, overlap_first;
	int32_t squared, jaccard, batch, weighting, mean;
	int32_t log_cosh;                // f becomes log cosh f
	double alpha, beta, nr, dr, overlap_scale;

	// Outputs; null if not requested.
	double *value;                   // the reduced loss
	double *groups;                  // the un-reduced overlap loss, scaled, by group
	const double *groups_upstream;   // its upstream gradient; null: all ones
	void *elements;                  // the un-reduced pointwise loss, of the logits' type. The reduce pass does not
	                                 // write it; there a non-null pointer requests Offset
	const void *upstream;            // its upstream gradient, of the logits' type; null: all ones
	void *grad;                      // grad_scale·∂L/∂logits, of the logits' type
	double grad_scale;               // positive
	double *stats;                   // label statistics, see afl_stats_doubles
	AflStatus *verdict;              // the first rejected element, if any
	int32_t last;                    // 1: the evaluation's last launch, which writes the verdict and resets status

	// afl_constants: destination of the first constant_count doubles of channel.
	double *constants;
	int32_t constant_count;          // at most AFL_INLINE_DOUBLES

	// afl_combine: to = a·to + b·from for combine_count elements.
	int32_t combine_type;            // AflType, a float
	int32_t combine_from_type;       // likewise
	void *combine_to;
	const void *combine_from;        // null: to = a·to
	double combine_a, combine_b;
	int64_t combine_count;
	const AflStatus *combine_verdict; // from's verdict where both are loss values; verdict is to's then

	// Device memory of the call, uninitialized.
	AflChannel *far;                 // the channels' constants where C > AFL_INLINE_CHANNELS, else null
	uint8_t *classes;                // N×V, 255 for ignored voxels; null: kernels read target
	double *partials;                // blocks × afl_partials_width
	double *factors;                 // scale, then gamma, pos, neg, N×C each; null: scale and channel apply
	double *coefficients;            // of the overlap term: CoefT, CoefP, Offset, N×C each
	double *scratch;                 // scratch memory of the general passes: blocks × afl_scratch_doubles

	// Device memory of the engine.
	uint32_t *counter;               // 0 between launches
	AflStatus *status;               // of the evaluation, reset before its first kernel; null: bad elements go unrecorded
	AflStatus *reported;             // first rejected element not yet reported

	AflChannel channel[AFL_INLINE_CHANNELS];
} AflArguments;

// Sums that a pass writes per block, blocks × width: the pointwise sum without
// scale, then I, P, G and the sum of the elements' upstream gradient, C each.
AFL_ON_BOTH int64_t afl_sums_width(int64_t channels) { return 1 + 4 * channels; }

// Statistics of a sample: valid voxels, foreground, count by class (C), then for
// each of K masks (0: the foreground, k: class k) Σ|∇mask| and the number of voxels
// where it is not 0. A block's partial sums have the same width.
AFL_ON_BOTH int64_t afl_stats_doubles(int64_t channels, int64_t masks) { return 2 + channels + 2 * masks; }

AFL_ON_BOTH int64_t afl_partials_width(int64_t channels, int64_t masks) {
	return afl_sums_width(channels) > afl_stats_doubles(channels, masks) ? afl_sums_width(channels) : afl_stats_doubles(channels, masks);
}

// Scratch memory of a block of the general passes: a table of the channels' constants.
enum { AFL_GENERAL_CONSTANTS = 12 }; // doubles
AFL_ON_BOTH int64_t afl_scratch_doubles(int64_t channels) { return AFL_GENERAL_CONSTANTS * channels; }

#endif
