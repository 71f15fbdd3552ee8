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
	"syscall"
)

var compilerFlags = []string{"-std=c++20", "-O2", "-ffp-contract=off", "-shared", "-fPIC"}

// Build compiles the library into dir and returns its path. It does nothing if dir
// contains the library of the same sources and compiler, which is $CXX, c++, g++ or
// clang++.
func Build(dir string) (path string, err error) {
	compiler, err := FindCompiler()
	if err != nil {
		return "", err
	}
	folder, err := sourceFolder()
	if err != nil {
		return "", err
	}
	sum, err := hashSources(folder, compiler)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	// Tests of several packages may run at the same time: one compiles, the others wait.
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path = filepath.Join(dir, "libcuda-emulator-"+sum+".so")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unfinished := path + ".part"
	args := append(slices.Clone(compilerFlags), "-o", unfinished, filepath.Join(folder, "driver.cpp"), filepath.Join(folder, "kernels.cpp"))
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("emulator: %s: %w\n%s", compiler, err, out)
	}
	if err := os.Rename(unfinished, path); err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	return path, nil
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

// sourceFolder returns the folder of this package's sources.
func sourceFolder() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	folder := filepath.Dir(file)
	if !ok {
		return "", errors.New("emulator: the program does not know the folder of its sources")
	}
	if _, err := os.Stat(filepath.Join(folder, "driver.cpp")); err != nil {
		return "", fmt.Errorf("emulator: the sources are not in the folder that the program was built from (with -trimpath?): %w", err)
	}
	return folder, nil
}

// hashSources hashes the library's sources, compiler and flags.
func hashSources(folder, compiler string) (string, error) {
	h := sha256.New()
	version, err := exec.Command(compiler, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("emulator: %s --version: %w", compiler, err)
	}
	fmt.Fprintf(h, "%s\n%s\n%q\n", compiler, version, compilerFlags)
	var files []string
	cuda := filepath.Join(folder, "..", "..")
	for _, pattern := range []string{"*.cpp", "*.h", "../../driver.h", "../../kernels/*.cu", "../../kernels/*.h"} {
		matches, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return "", fmt.Errorf("emulator: %w", err)
		}
		files = append(files, matches...)
	}
	for _, name := range files {
		if err := hashFile(h, cuda, name); err != nil {
			return "", fmt.Errorf("emulator: %w", err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

func hashFile(h io.Writer, root, name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(root, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %d\n", relative, len(data))
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
