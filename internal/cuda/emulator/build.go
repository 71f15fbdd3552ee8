//go:build linux

package emulator

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

var compilerFlags = []string{"-std=c++20", "-O2", "-ffp-contract=off", "-shared", "-fPIC"}

// Build compiles a source, [DriverSource] or kernels, to a library in dir and returns its
// path. It does nothing if dir contains the library of the same sources and compiler, which is
// $CXX, c++, g++ or clang++.
func Build(dir, source string) (path string, err error) {
	compiler, err := FindCompiler()
	if err != nil {
		return "", err
	}
	sum, err := hashSources(source, compiler)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(source), ".cpp")
	// Tests of several packages may run at the same time: one compiles, the others wait.
	unlock, err := lock(filepath.Join(dir, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path = filepath.Join(dir, "libcuda-emulator-"+name+"-"+sum+".so")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unfinished := path + ".part"
	args := append(slices.Clone(compilerFlags), "-I", besides(kernelFolder), "-I", besides("."), "-o", unfinished, source)
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("emulator: %s: %w\n%s", compiler, err, out)
	}
	if err := os.Rename(unfinished, path); err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	return path, nil
}

// cache returns the folder of the libraries that are built for this user.
func cache() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		folder = os.TempDir()
	}
	return filepath.Join(folder, "afl-cuda-emulator")
}

// ErrNoCompiler says that there is no C++ compiler to build the emulator with.
var ErrNoCompiler = errors.New("the tests of the CUDA backend need a C++20 compiler")

// FindCompiler returns the C++ compiler to use: $CXX, or the first of c++, g++ and clang++
// that is installed. Without one the error is [ErrNoCompiler].
func FindCompiler() (string, error) {
	names := []string{"c++", "g++", "clang++"}
	if cxx := os.Getenv("CXX"); cxx != "" {
		names = []string{cxx}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("emulator: %w and found none of %v; install one (Debian: g++) or name it in CXX", ErrNoCompiler, names)
}

// kernelFolder is the folder of the losses' kernels and of the headers that all kernels
// share, seen from this package.
const kernelFolder = "../../../cuda/kernels"

// DriverSource returns the path of the source of the driver.
func DriverSource() string { return besides("driver.cpp") }

// LossesSource returns the path of the source that includes the kernels of the losses.
func LossesSource() string { return besides("losses.cpp") }

// besides returns the path of a file next to this one.
func besides(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), name)
}

// hashSources hashes a source, what it may include, the compiler and its flags.
func hashSources(source, compiler string) (string, error) {
	if _, err := os.Stat(source); err != nil {
		return "", fmt.Errorf("emulator: the sources are not in the folder that the program was built from (with -trimpath?): %w", err)
	}
	h := sha256.New()
	version, err := exec.Command(compiler, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("emulator: %s --version: %w", compiler, err)
	}
	fmt.Fprintf(h, "%s\n%s\n%q\n", compiler, version, compilerFlags)
	kernels := besides(kernelFolder)
	names := []string{source, filepath.Join(filepath.Dir(kernels), "driver.h")}
	for _, pattern := range []string{besides("*.h"), filepath.Join(kernels, "*.h"), filepath.Join(kernels, "*.cu"),
		filepath.Join(filepath.Dir(source), "*.h"), filepath.Join(filepath.Dir(source), "*.cu")} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("emulator: %w", err)
		}
		names = append(names, matches...)
	}
	for _, name := range names {
		if err := hashFile(h, name); err != nil {
			return "", fmt.Errorf("emulator: %w", err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

func hashFile(h io.Writer, name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %d\n", filepath.Base(name), len(data))
	_, err = h.Write(data)
	return err
}

// lock waits for an exclusive lock on a file.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("emulator: %s: %w", path, err)
	}
	return func() { f.Close() }, nil // which unlocks it
}
