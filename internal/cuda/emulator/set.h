// Included at the end of a source that includes kernels (.cu files), this makes it a library
// for the emulator.
#include "emulator.h"
#include "kernels.h"

static const char *run_kernel(const char *kernel, unsigned blocks, const void *arguments) {
	return emulator::launch(kernel, blocks, arguments);
}

static size_t kernel_bytes(const char *name) {
	auto found = emulator::kernels().find(name);
	return found == emulator::kernels().end() ? 0 : found->second.bytes;
}

extern "C" {
extern const AflKernels afl_kernels;
const AflKernels afl_kernels = {run_kernel, kernel_bytes};
}
