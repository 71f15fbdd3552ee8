// The parameters of the kernels of convolutions by tiles. Plain C, see arguments.h.
#ifndef AFL_NN_CONV_TILE_ARGUMENTS_H
#define AFL_NN_CONV_TILE_ARGUMENTS_H

#include <stdint.h>

// Divides 0 ≤ n < 2³¹ by a constant: n·factor >> shift.
typedef struct AflDivisor {
	uint32_t factor, shift;
} AflDivisor;

enum AflPrecision { AFL_FLOAT32_SUMS, AFL_TF32_PRODUCTS, AFL_BFLOAT16_PRODUCTS };

enum {
	AFL_TILE_AXIS = 10,              // largest kernel along an axis: the bits of an axis in a mask of taps
	AFL_TILE_TAPS = 343,             // largest number of taps
	AFL_TILE_VOXELS = 128,           // rows of a tile of afl_nn_conv_*
	AFL_TILE_GRADIENT_COLUMNS = 128, // columns of a tile of afl_nn_conv_gradient_*
	AFL_TILE_GRADIENT_VOXELS = 256   // a range of voxels of afl_nn_conv_gradient_* is a multiple of these
};

// AflConvTile is one of the products of a convolution, which relates a fine volume to a
// coarse one as AflConv does. `from` is the volume that is gathered tap by tap.
typedef struct AflConvTile {
	const float *from;       // the fine volume, if to_fine is 0
	float *to;               // the result
	const float *coarse;     // gradient of the weight: the coarse volume
	const uint32_t *packed;  // weights: channels of the result × taps × padded
	const float *bias;       // of the result; null for none
	float *partials;         // splits × result, where there are several splits
	int64_t count;           // elements of the result
	int32_t samples, taps;
	int32_t from_size[3], to_size[3]; // spatial sizes; gradient of the weight: fine, coarse
	int32_t kernel[3], stride[3], padding[3], dilation[3];
	int32_t from_channels, to_channels; // gradient of the weight: fine, coarse
	int32_t to_fine;         // 1: from is the coarse volume
	int32_t padded;          // from_channels, rounded up to 16 bytes of a precision's values
	int32_t tiles_m, tiles_n; // tiles of a phase by rows, and by columns
	int32_t splits;          // of the sum
	int32_t span;            // gradient of the weight: coarse voxels of a split
	uint32_t by_padded;      // ⌈2³²/padded⌉
	AflDivisor by_z, by_y;   // to_size[2], to_size[1]
} AflConvTile;

// AflPack: the weights as the products by tiles read them, and zeros for the channels that
// pad. weight is row-major, coarse channels × fine channels × taps.
typedef struct AflPack {
	const float *weight;
	uint32_t *packed;        // float32, rounded to TF32 where precision says so, or bfloat16
	int64_t count;           // values in packed
	int32_t from_channels, to_channels, taps, padded, to_fine;
	int32_t precision;       // AflPrecision
} AflPack;

// AflSplits: the sum over splits of count elements.
typedef struct AflSplits {
	const float *partials;   // splits × count
	const float *bias;       // one per channel, the innermost axis; null for none
	float *to;
	int64_t count;
	int32_t splits, channels;
	int32_t taps, padded;    // gradient of the weight: partials are rows × taps × padded
} AflSplits;

#endif
