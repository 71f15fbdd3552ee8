// The passes over float32 logits.
#include "passes.h"

AFL_PASSES(Float32, f32)
