// The general passes over float32 logits.
#include "general.h"

AFL_GENERAL_PASSES(Float32, f32)
