//go:build ignore

// The kernels of the training engine, for tests without a GPU.
#include "channels.cu"
#include "conv.cu"
#include "elementwise.cu"
#include "layout.cu"
#include "loss.cu"
#include "norm.cu"
#include "rows.cu"
#include "sampling.cu"

#include "set.h"
