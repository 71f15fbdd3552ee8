// The passes over float16 logits.
#include "passes.h"

AFL_PASSES(Float16, f16)
