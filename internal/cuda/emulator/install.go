//go:build linux

package emulator

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Install builds a library libcuda.so.1 in a folder that is the emulator with the kernels of the
// losses and of other sources (see Load), and with 8 GiB of memory. Programs that are started with
// the folder in LD_LIBRARY_PATH find it as the driver of the machine.
func Install(folder string, sources ...string) (path string, err error) {
	driver, err := Build(cache(), DriverSource())
	if err != nil {
		return "", err
	}
	text := `#include <dlfcn.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
extern "C" void emulator_add(const void *set);
extern "C" int emulator_set(const char *name, int64_t value);
static void add(const char *path) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void *set = library ? dlsym(library, "afl_kernels") : nullptr;
	if (!set) {
		fprintf(stderr, "emulator: %s\n", dlerror());
		abort();
	}
	emulator_add(set);
}
static const bool installed = [] {
	emulator_set("memory", 8LL << 30);
`
	for _, source := range append([]string{LossesSource()}, sources...) {
		kernels, err := Build(cache(), source)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf("\tadd(%q);\n", kernels)
	}
	text += "\treturn true;\n}();\n"
	source := filepath.Join(folder, "install.cpp")
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	compiler, err := FindCompiler()
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, "libcuda.so.1")
	if out, err := exec.Command(compiler, "-std=c++20", "-shared", "-fPIC", "-o", path, source, driver, "-ldl").CombinedOutput(); err != nil {
		return "", fmt.Errorf("emulator: %s: %w\n%s", compiler, err, out)
	}
	return path, nil
}
