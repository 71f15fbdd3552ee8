// The general passes over float16 logits.
#include "general.h"

AFL_GENERAL_PASSES(Float16, f16)
