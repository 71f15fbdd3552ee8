// The one parameter of every kernel, and the layout of the memory it points to.
// Plain C: the kernels, their emulation on the CPU and the Go side (cgo) all
// include it, so that they cannot disagree.
//
// Axes: N samples, C channels, V voxels a sample. logits, grad and target maps
// are N×C×V, class indices and voxel weights N×V, small arrays N×C at n*c+c.
#ifndef AFL_ARGUMENTS_H
#define AFL_ARGUMENTS_H

#include <stdint.h>

#ifdef __cplusplus
#define AFL_ON_BOTH static constexpr // which the host and the GPU may call
#else
#define AFL_ON_BOTH static inline
#endif

// Types of elements.
enum AflType {
	AFL_FLOAT32, AFL_FLOAT64, AFL_FLOAT16, AFL_BFLOAT16,
	AFL_UINT8, AFL_INT8, AFL_UINT16, AFL_INT16, AFL_UINT32, AFL_INT32, AFL_UINT64, AFL_INT64, AFL_BOOL
};

enum AflActivation { AFL_IDENTITY, AFL_SIGMOID, AFL_SOFTMAX };

// What the pointwise term's factor is divided by, see AflArguments.scale.
enum AflDenominator {
	AFL_DIVIDE_BY_ONE,
	AFL_DIVIDE_BY_VALID,       // voxels that are not ignored; 0 of them: scale is 0
	AFL_DIVIDE_BY_VALID_NAN,   // the same; 0 of them: scale is infinite
	AFL_DIVIDE_BY_LABEL_WEIGHT // Σ pos[y] over the valid voxels' labels y; 0 valid voxels: infinite; else a sum of 0: 0
};

// A-FL: which reading, and over which samples its statistics are taken.
// AFL_FORM_GIVEN: the factors are in device memory already, and only the scale
// comes from the label.
enum AflForm { AFL_FORM_NONE, AFL_FORM_RELEASED, AFL_FORM_SCALAR, AFL_FORM_BALANCED, AFL_FORM_MULTICLASS, AFL_FORM_GIVEN };
enum AflStatsMode { AFL_STATS_RELEASED, AFL_STATS_POOLED, AFL_STATS_PER_SAMPLE };
enum AflSmoothness { AFL_SMOOTHNESS_WHOLE_IMAGE, AFL_SMOOTHNESS_BOUNDARY };

enum AflOverlap { AFL_OVERLAP_NONE, AFL_OVERLAP_DICE, AFL_OVERLAP_GENERALIZED_DICE, AFL_OVERLAP_TVERSKY };
enum AflWeighting { AFL_WEIGHT_SQUARE, AFL_WEIGHT_SIMPLE, AFL_WEIGHT_UNIFORM };

enum { AFL_THREADS = 256 }; // of every block

// A channel's constants. Channels that take no part hold zeros.
typedef struct AflChannel {
	double pos, neg; // factors of positive and negative voxels
	double ce;       // weight of the positive voxels' cross-entropy (PosWeight)
	double gamma;    // focusing parameter, where form is AFL_FORM_NONE
	double overlap;  // class weight of the overlap term
	double exponent; // of the overlap term's ratio
} AflChannel;

enum {
	AFL_INLINE_CHANNELS = 16, // more lie in device memory, AflArguments.far
	AFL_INLINE_DOUBLES = AFL_INLINE_CHANNELS * sizeof(AflChannel) / sizeof(double)
};

// The first element that a kernel had to refuse. While the kernels of an
// evaluation run, found is 2⁶⁴−1 less the smallest index of a bad element, and 0
// where there is none; they raise it with an integer atomic maximum. The last block
// of the kernel that found it fills in the rest (kind is AFL_GOOD no more).
enum AflRefusal { AFL_GOOD, AFL_BAD_CLASS, AFL_BAD_MAP, AFL_BAD_WEIGHT };

typedef struct AflStatus {
	uint64_t found;   // of the index n*V + i, or (n*C + c)*V + i for a map
	int32_t kind;     // AflRefusal
	int32_t has_ignore, channels, limit; // of the call that was refused
	int64_t voxels;   // V of that call
	int64_t ignore;
	double got;       // the element
	int32_t type;     // AflType of a refused class index; -1 where it is not said
	int32_t unused;
	uint64_t bits;    // a refused class index of an integer type, sign-extended
} AflStatus;

typedef struct AflArguments {
	// The batch.
	int32_t samples, channels;       // N, C
	int64_t voxels;                  // V = space[0]·space[1]·space[2]
	int32_t space[3];                // spatial shape; an image H×W is H×1×W
	int32_t logits_type;             // AflType: a float
	const void *logits;
	const void *target;
	int32_t target_type;
	int32_t dense;                   // 1: a map per channel, 0: class indices
	int64_t ignore;                  // class index that takes no part, where has_ignore
	int32_t has_ignore, binarize;    // binarize: every index above 1 is 1
	int32_t limit;                   // classes: C, or 2 where C = 1
	int32_t voxel_weight_type;
	const void *voxel_weight;        // or null

	// How it is cut: block b does voxels [j·chunk, min((j+1)·chunk, V)) of sample
	// b / chunks, where j = b % chunks. Depends on the shape alone.
	int32_t chunks;
	int32_t chunk;                   // a multiple of 2048

	// The pointwise term (plan.Pointwise): where pointwise is 1.
	int32_t pointwise;
	int32_t activation;              // AFL_SIGMOID or AFL_SOFTMAX
	int32_t first;                   // first channel that takes part
	int32_t softmax_from;            // first channel of the softmax
	int32_t per_voxel;               // elements summed over the channels
	int32_t denominator;             // AflDenominator
	int32_t focal;                   // 0: every gamma is 0
	double smoothing;                // label smoothing
	double scale;                    // over the denominator

	// A-FL: gamma, and what pos and neg are multiplied by, from the statistics.
	int32_t form, stats_mode, smoothness;
	int32_t masks;                   // K: masks whose gradient is wanted: 0, 1 or C

	// The overlap term (plan.Overlap).
	int32_t overlap;                 // AflOverlap
	int32_t overlap_activation, overlap_first;
	int32_t squared, jaccard, batch, weighting, mean;
	double alpha, beta, nr, dr, overlap_scale;

	// What is wanted. Null where it is not.
	double *value;                   // the reduced loss
	double *groups;                  // the un-reduced overlap loss, scaled, by group
	const double *groups_upstream;   // its upstream gradient; null: ones
	void *elements;                  // the un-reduced pointwise loss, of the logits' type; the reduce pass
	                                 // does not write it, but makes of it that Offset is wanted
	const void *upstream;            // its upstream gradient, of the logits' type; null: ones
	void *grad;                      // ∂L/∂logits, of the logits' type
	double *stats;                   // statistics of the label, see afl_stats_doubles
	AflStatus *verdict;              // what was refused, if anything
	int32_t last;                    // 1: this launch ends the evaluation: it writes the verdict, and cleans status

	// afl_constants: where the first constant_count numbers of channel go.
	double *constants;
	int32_t constant_count;          // up to AFL_INLINE_DOUBLES

	// afl_combine: to = a·to + b·from, combine_count elements of one type.
	int32_t combine_type;            // AflType: a float
	void *combine_to;
	const void *combine_from;        // null: to = a·to
	double combine_a, combine_b;
	int64_t combine_count;
	const AflStatus *combine_verdict; // from's, where both are loss values; verdict is then to's

	// Device memory of the call, none of it cleared beforehand.
	AflChannel *far;                 // where C > AFL_INLINE_CHANNELS
	uint8_t *classes;                // N×V: 255 for ignored voxels; null: read target
	double *partials;                // blocks × afl_partials_width
	double *factors;                 // scale, then gamma, pos, neg, N×C each; null: the constants above
	double *coefficients;            // overlap: CoefT, CoefP, Offset, N×C each
	double *scratch;                 // of the float64 kernels: blocks × afl_scratch_doubles

	// Device memory of the engine.
	uint32_t *counter;               // 0 between launches
	AflStatus *status;               // of the evaluation, clean before its first kernel; null: bad elements are not noted
	AflStatus *reported;             // the first that was refused and is not told yet

	AflChannel channel[AFL_INLINE_CHANNELS];
} AflArguments;

// Sums that a pass keeps per block, at blocks × width: the pointwise sum without
// scale, then I, P, G and the sum of the elements' upstream gradient, C each.
AFL_ON_BOTH int64_t afl_sums_width(int64_t channels) { return 1 + 4 * channels; }

// Statistics of a sample: valid voxels, foreground, count by class (C), then for
// each of K masks (0 the foreground, k the class k) Σ|∇mask| and the number of
// voxels where it is not 0. The same width serves as a block's partial sums.
AFL_ON_BOTH int64_t afl_stats_doubles(int64_t channels, int64_t masks) { return 2 + channels + 2 * masks; }

AFL_ON_BOTH int64_t afl_partials_width(int64_t channels, int64_t masks) {
	return afl_sums_width(channels) > afl_stats_doubles(channels, masks) ? afl_sums_width(channels) : afl_stats_doubles(channels, masks);
}

// Numbers of scratch memory that a block of the float64 passes uses.
AFL_ON_BOTH int64_t afl_scratch_doubles(int64_t channels) { return 3 * channels * AFL_THREADS; }

#endif
