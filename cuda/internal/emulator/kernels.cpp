//go:build ignore

#include "kernels.h"

#include "../../kernels/bfloat16.cu"
#include "../../kernels/combine.cu"
#include "../../kernels/float16.cu"
#include "../../kernels/float32.cu"
#include "../../kernels/general_bfloat16.cu"
#include "../../kernels/general_float16.cu"
#include "../../kernels/general_float32.cu"
#include "../../kernels/general_float64.cu"
#include "../../kernels/labels.cu"

const char *emulate(const char *kernel, unsigned blocks, const AflArguments *a) {
	return emulator::launch(kernel, blocks, a);
}

bool emulated_kernel(const char *name) { return emulator::kernels().count(name) != 0; }
