// The general passes over bfloat16 logits.
#include "general.h"

AFL_GENERAL_PASSES(BFloat16, bf16)
