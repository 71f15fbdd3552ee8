package main

import (
	"context"
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

// commit is set by the linker in a pack, which is outside of the repository.
var commit string

// packLimit is the largest size of a pack in bytes, small enough to copy it around.
const packLimit = 60 << 20

// The newest C library that a pack may need: that of Debian 12.
const glibcMajor, glibcMinor = 2, 36

const runScript = `#!/bin/sh
# Checks and measures the CUDA losses on this machine, which needs NVIDIA's driver
# and, for the comparison, a python3 with PyTorch. Takes the flags of go run
# ./bench/cuda: run -out FOLDER.
here=$(cd "$(dirname "$0")" && pwd) && exec "$here/bench" -packed "$here" "$@"
`

// pack builds this program and the checks' test binaries into a folder and adds the
// files that the tests read, so that they run on a machine without Go.
func pack(ctx context.Context, folder string, w io.Writer) error {
	m := report.ThisMachine()
	if err := buildTests(ctx, folder, w); err != nil {
		return err
	}
	binary := filepath.Join(folder, "bench")
	if err := goTool(ctx, w, "build", "-trimpath", "-ldflags", "-s -w -X main.commit="+m.Commit, "-o", binary, "./bench/cuda"); err != nil {
		return err
	}
	script := filepath.Join(folder, "run")
	err := atomicfile.WriteString(script, runScript)
	if err == nil {
		err = os.Chmod(script, 0o755)
	}
	if err != nil {
		return err
	}
	var size int64
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		if filepath.Dir(path) == filepath.Clean(folder) && path != script {
			return checkPortable(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if size > packLimit {
		return fmt.Errorf("the pack %s has %d MiB, want at most %d", folder, size>>20, packLimit>>20)
	}
	fmt.Fprintf(w, "packed %.1f MiB in %s; on a machine with a GPU: %s -out FOLDER\n", float64(size)/(1<<20), folder, script)
	return nil
}

// buildTests builds the test binaries of the checks into a folder and copies the files
// that they read to its src, at their paths in the module.
func buildTests(ctx context.Context, folder string, w io.Writer) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	src := filepath.Join(folder, "src")
	if err := os.MkdirAll(src, 0o777); err != nil {
		return err
	}
	built := map[string]bool{}
	for _, c := range checks {
		if built[c.pkg] {
			continue
		}
		built[c.pkg] = true
		if err := goTool(ctx, w, "test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(folder, filepath.Base(c.pkg)+".test"), "./"+c.pkg); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(src, c.pkg), 0o777); err != nil {
			return err
		}
		if err := copyTree(filepath.Join(src, c.pkg, "testdata"), filepath.Join(root, c.pkg, "testdata")); err != nil {
			return err
		}
	}
	const golden = "internal/golden/testdata/losses"
	if err := copyTree(filepath.Join(src, golden), filepath.Join(root, golden)); err != nil {
		return err
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

// goTool runs a go command in the module's root.
func goTool(ctx context.Context, w io.Writer, args ...string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	for i, a := range args { // outputs are relative to the caller's folder
		if i > 0 && args[i-1] == "-o" {
			if args[i], err = filepath.Abs(a); err != nil {
				return err
			}
		}
	}
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
	if err := os.RemoveAll(to); err != nil { // that of an earlier pack
		return err
	}
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
