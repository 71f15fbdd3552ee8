// winograd_sizes.h includes the loops of winograd.c for one instruction set, given by
// SUFFIX, LANES and ROWS. COST is the cost of the transforms per point and channel, in
// products: in a convolution, in a gradient by blocks and in one by runs.

#include "winograd_products.h"

#define NAME _2_3
#define SIDE 4
#define TILE 2
#define TAPS 3
#define WHOLE 3
#define P 1.f
#define COST 42, 90, 30
#include "winograd_transforms.h"

#define NAME _4_3
#define SIDE 6
#define TILE 4
#define TAPS 3
#define WHOLE 3
#define P 0.625f
#define Q 1.5f
#define COST 50, 100, 40
#include "winograd_transforms.h"

#define NAME _2_5
#define SIDE 6
#define TILE 2
#define TAPS 5
#define WHOLE 5
#define P 0.75f
#define Q 1.5f
#define COST 30, 0, 0
#include "winograd_transforms.h"

#define NAME _3_5
#define SIDE 7
#define TILE 3
#define TAPS 5
#define WHOLE 5
#define P 0.3125f
#define Q 0.875f
#define R 1.8125f
#define COST 30, 0, 0
#include "winograd_transforms.h"

#define NAME _3_3_5
#define SIDE 5
#define TILE 3
#define TAPS 3
#define WHOLE 5
#define P 0.5f
#define Q 1.25f
#define COST 0, 120, 0
#include "winograd_transforms.h"

#undef SUFFIX
#undef LANES
#undef ROWS
