// The convolutions on tensor cores, in TF32 and bfloat16; compute capability 8.0.
// target: sm_80 ptx70
#include "conv_gradient.h"

AFL_CONV_KERNEL(afl_nn_conv_tf32_32, 2, afl::TF32, 32, false)
AFL_CONV_KERNEL(afl_nn_conv_tf32_32_aligned, 2, afl::TF32, 32, true)
AFL_CONV_KERNEL(afl_nn_conv_tf32_64, 2, afl::TF32, 64, false)
AFL_CONV_KERNEL(afl_nn_conv_tf32_64_aligned, 2, afl::TF32, 64, true)
AFL_CONV_KERNEL(afl_nn_conv_tf32_128_aligned, 2, afl::TF32, 128, true)

AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_tf32_32, 2, afl::TF32, 32, false)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_tf32_32_aligned, 2, afl::TF32, 32, true)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_tf32_64, 2, afl::TF32, 64, false)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_tf32_64_aligned, 2, afl::TF32, 64, true)

AFL_CONV_KERNEL(afl_nn_conv_bf16_32, 2, afl::BFLOAT16, 32, false)
AFL_CONV_KERNEL(afl_nn_conv_bf16_32_aligned, 2, afl::BFLOAT16, 32, true)
AFL_CONV_KERNEL(afl_nn_conv_bf16_64, 2, afl::BFLOAT16, 64, false)
AFL_CONV_KERNEL(afl_nn_conv_bf16_64_aligned, 2, afl::BFLOAT16, 64, true)
AFL_CONV_KERNEL(afl_nn_conv_bf16_128_aligned, 2, afl::BFLOAT16, 128, true)

AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_bf16_32, 2, afl::BFLOAT16, 32, false)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_bf16_32_aligned, 2, afl::BFLOAT16, 32, true)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_bf16_64, 2, afl::BFLOAT16, 64, false)
AFL_CONV_GRADIENT_KERNEL(afl_nn_conv_gradient_bf16_64_aligned, 2, afl::BFLOAT16, 64, true)
