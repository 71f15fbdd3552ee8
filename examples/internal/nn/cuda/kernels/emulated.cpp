//go:build ignore

// The kernels of the training engine, for tests without a GPU.
#include "conv.cu"
#include "elementwise.cu"
#include "layout.cu"
#include "rows.cu"

#include "set.h"
