package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/internal/atomicfile"
)

// packLimit is the largest size of a pack in bytes, small enough to copy it around.
const packLimit = 60 << 20

// The newest C library that a pack may need: that of Debian 12.
const glibcMajor, glibcMinor = 2, 36

// archiveName is the file that has everything but the script.
const archiveName = "pack.tar.gz"

// runScript unpacks the archive, once, and starts the program. Its parameter is a digest of the
// archive.
const runScript = `#!/bin/sh
# Checks and measures everything that this module has for GPUs on this machine, which needs
# NVIDIA's driver, tar and gzip, and for the comparisons a python3 with PyTorch and NumPy:
# run -out FOLDER -budget 8m, and again to continue. Takes the flags of go run ./bench/cuda.
here=$(cd "$(dirname "$0")" && pwd) || exit
at=$here/unpacked-%s
if [ ! -d "$at" ]; then
	rm -rf "$at.part" && mkdir "$at.part" && tar -xzf "$here/` + archiveName + `" -C "$at.part" && mv "$at.part" "$at" || exit
fi
if [ "$1" = losses ]; then
	exec "$at/bench" "$@"
fi
exec "$at/bench" -packed "$at" "$@"
`

// pack builds everything for a machine without Go into a folder: an archive and a script.
func pack(ctx context.Context, folder string, w io.Writer) (err error) {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	earlier, err := filepath.Glob(filepath.Join(folder, "unpacked-*"))
	if err != nil {
		return err
	}
	for _, unpacked := range earlier {
		if err := os.RemoveAll(unpacked); err != nil {
			return err
		}
	}
	built, err := os.MkdirTemp("", "afl-bench-cuda-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(built)) }()
	if err := build(ctx, built, "-X main.commit="+report.ThisMachine().Commit, w); err != nil {
		return err
	}
	programs, err := os.ReadDir(built)
	if err != nil {
		return err
	}
	for _, p := range programs {
		if !p.IsDir() {
			if err := checkPortable(filepath.Join(built, p.Name())); err != nil {
				return err
			}
		}
	}
	path := filepath.Join(folder, archiveName)
	digest := sha256.New()
	err = atomicfile.Write(path, func(f io.Writer) error { return archive(io.MultiWriter(f, digest), built) })
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > packLimit {
		return fmt.Errorf("the pack %s has %d MiB, want at most %d", path, info.Size()>>20, packLimit>>20)
	}
	script := filepath.Join(folder, "run")
	if err := atomicfile.WriteString(script, fmt.Sprintf(runScript, fmt.Sprintf("%x", digest.Sum(nil)[:6]))); err != nil {
		return err
	}
	if err := os.Chmod(script, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(w, "packed %.1f MiB in %s; on a machine with a GPU: %s -out FOLDER -budget 8m\n", float64(info.Size())/(1<<20), folder, script)
	return nil
}

// archive writes a folder as a compressed archive.
func archive(w io.Writer, folder string) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := t.AddFS(os.DirFS(folder)); err != nil {
		return err
	}
	return errors.Join(t.Close(), z.Close())
}

// programs are the packages of the pack's programs, by name.
var programs = map[string]string{"bench": "./bench/cuda", "stepbench": "./examples/internal/stepbench"}

// tested are the packages whose tests are in the pack.
var tested = []string{lossPackage, enginePackage, networkPackage}

// build builds the programs and test binaries into a folder, and copies the files that the tests
// read to its src, at their paths in the module.
func build(ctx context.Context, folder, linked string, w io.Writer) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	for name, pkg := range programs {
		if err := goTool(ctx, w, root, "build", "-ldflags", "-s -w "+linked, "-o", filepath.Join(folder, name), pkg); err != nil {
			return err
		}
	}
	src := filepath.Join(folder, "src")
	for _, pkg := range tested {
		if err := goTool(ctx, w, root, "test", "-c", "-ldflags", "-s -w", "-o", filepath.Join(folder, binaryOf(pkg)), "./"+pkg); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(src, pkg), 0o777); err != nil {
			return err
		}
		if err := copyTree(filepath.Join(src, pkg, "testdata"), filepath.Join(root, pkg, "testdata")); err != nil {
			return err
		}
	}
	for _, kind := range []string{"losses", "models"} {
		golden := filepath.Join("internal", "golden", "testdata", kind)
		if err := copyTree(filepath.Join(src, golden), filepath.Join(root, golden)); err != nil {
			return err
		}
	}
	// The tests find the golden numbers relative to the module's root.
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(src, "go.mod"), text, 0o666)
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/x/afl").Output()
	if err != nil {
		return "", fmt.Errorf("find the root of the module (go list, which has to run inside of it): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// goTool runs a go command in the module's root; paths in it have to be absolute.
func goTool(ctx context.Context, w io.Writer, root string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// copyTree makes to a copy of the folder from, if that exists.
func copyTree(to, from string) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return os.CopyFS(to, os.DirFS(from))
}

// checkPortable refuses a program that is not for Linux on amd64, or needs more than the
// C library of Debian 12.
func checkPortable(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is not a program for Linux: %w", path, err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("%s is for %v, want %v", path, f.Machine, elf.EM_X86_64)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, l := range libraries {
		switch name, _, _ := strings.Cut(l, ".so"); name {
		case "libc", "libdl", "libm", "libpthread", "libresolv", "librt", "ld-linux-x86-64":
		default:
			return fmt.Errorf("%s needs %s, which is not part of the C library", path, l)
		}
	}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if v, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && !glibcHas(v) {
			return fmt.Errorf("%s needs %s of the C library %s, want at most %d.%d", path, s.Name, v, glibcMajor, glibcMinor)
		}
	}
	return nil
}

// glibcHas reports whether Debian 12's C library has the symbols of a version such as
// 2.2.5.
func glibcHas(version string) bool {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (major < glibcMajor || major == glibcMajor && minor <= glibcMinor)
}
