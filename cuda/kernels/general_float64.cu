// The general passes over float64 logits.
#include "general.h"

AFL_GENERAL_PASSES(Float64, f64)
