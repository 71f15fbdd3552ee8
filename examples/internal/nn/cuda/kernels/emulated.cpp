//go:build ignore

// The kernels of the training engine, for tests without a GPU.
#include "conv.cu"
#include "conv_float32.cu"
#include "conv_sums.cu"
#include "conv_tensor.cu"
#include "elementwise.cu"
#include "layout.cu"
#include "rows.cu"

#include "set.h"
