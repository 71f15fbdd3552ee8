// The passes over bfloat16 logits, which need the instructions that round to bfloat16.
// target: sm_80 ptx70
#include "passes.h"

AFL_PASSES(BFloat16, bf16)
