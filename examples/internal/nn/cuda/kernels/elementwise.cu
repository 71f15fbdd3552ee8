// Operations on the elements of arrays, whose order does not matter.
#include "arguments.h"
#include "each.h"

AFL_KERNEL_OF(AflElementwise, afl_nn_add, 4) {
	afl::each(a.count, [&](int64_t i) { a.y[i] = a.a[i] + a.b[i]; });
}
