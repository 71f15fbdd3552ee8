//go:build ignore

// The kernels of package cuda.
#include "../../../cuda/kernels/bfloat16.cu"
#include "../../../cuda/kernels/combine.cu"
#include "../../../cuda/kernels/float16.cu"
#include "../../../cuda/kernels/float32.cu"
#include "../../../cuda/kernels/general_bfloat16.cu"
#include "../../../cuda/kernels/general_float16.cu"
#include "../../../cuda/kernels/general_float32.cu"
#include "../../../cuda/kernels/general_float64.cu"
#include "../../../cuda/kernels/labels.cu"

#include "set.h"
