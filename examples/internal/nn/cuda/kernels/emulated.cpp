//go:build ignore

// The kernels of the training engine, for tests without a GPU.
#include "channels.cu"
#include "conv.cu"
#include "conv_float32.cu"
#include "conv_sums.cu"
#include "conv_tensor.cu"
#include "elementwise.cu"
#include "layout.cu"
#include "loss.cu"
#include "norm.cu"
#include "rows.cu"
#include "sampling.cu"
#include "term.cu"
#include "update.cu"

#include "set.h"
