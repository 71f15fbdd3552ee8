// The convolutions in float32, with fused multiply-add.
#include "conv_gradient.h"

AFL_CONV_KERNEL(afl_nn_conv_f32_32, 2, afl::FLOAT32, 32, false)
AFL_CONV_KERNEL(afl_nn_conv_f32_32_aligned, 2, afl::FLOAT32, 32, true)
AFL_CONV_KERNEL(afl_nn_conv_f32_64, 2, afl::FLOAT32, 64, false)
AFL_CONV_KERNEL(afl_nn_conv_f32_64_aligned, 2, afl::FLOAT32, 64, true)

AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_f32_32, 2, afl::FLOAT32, 32, false)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_f32_32_aligned, 2, afl::FLOAT32, 32, true)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_f32_64, 2, afl::FLOAT32, 64, false)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_f32_64_aligned, 2, afl::FLOAT32, 64, true)
