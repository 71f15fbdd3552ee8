// winograd_sizes.h includes the loops of winograd.c for one instruction set:
// SUFFIX, LANES and ROWS are set. MOVES are what a point of a channel costs there
// and back, in products; the second, in a gradient.

#include "winograd_products.h"

#define NAME _2_3
#define SIDE 4
#define MADE 2
#define TAPS 3
#define WHOLE 3
#define P 1.f
#define MOVES 42, 90
#include "winograd_tiles.h"

#define NAME _4_3
#define SIDE 6
#define MADE 4
#define TAPS 3
#define WHOLE 3
#define P 0.625f
#define Q 1.5f
#define MOVES 50, 100
#include "winograd_tiles.h"

#define NAME _2_5
#define SIDE 6
#define MADE 2
#define TAPS 5
#define WHOLE 5
#define P 0.75f
#define Q 1.5f
#define MOVES 30, 0
#include "winograd_tiles.h"

#define NAME _3_5
#define SIDE 5
#define MADE 3
#define TAPS 3
#define WHOLE 5
#define P 0.5f
#define Q 1.25f
#define MOVES 0, 120
#include "winograd_tiles.h"

#undef SUFFIX
#undef LANES
#undef ROWS
