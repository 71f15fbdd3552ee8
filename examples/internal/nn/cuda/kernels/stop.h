// A training stops where its numbers are no longer finite: the kernel that finds it sets a flag
// in device memory, and later kernels leave the weights as they are.
#ifndef AFL_NN_STOP_H
#define AFL_NN_STOP_H

#include "device.h"

namespace afl {

AFL_DEVICE bool stopped(const uint32_t *stop) { return stop && *stop != 0; }

} // namespace afl

#endif
