// Operations whose result the compiler does not fuse with another one.
#ifndef AFL_NN_ROUNDED_H
#define AFL_NN_ROUNDED_H

#include "device.h"

namespace afl {

#ifdef __NVPTX__
AFL_DEVICE float rounded_product(float x, float y) { return __nvvm_mul_rn_f(x, y); }
#else
AFL_DEVICE float rounded_product(float x, float y) { return x * y; }
#endif

} // namespace afl

#endif
