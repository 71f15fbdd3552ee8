// The passes over bfloat16 logits.
#include "passes.h"

AFL_PASSES(BFloat16, bf16)
