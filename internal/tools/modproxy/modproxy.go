// Package modproxy lays a module out as a Go module proxy does, in a folder that GOPROXY
// can name as a file URL.
package modproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// Write makes a version of the module in the Git work tree root available from the folder
// proxy. It holds the tracked files as they are in the work tree.
func Write(proxy, root, version string) error {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	m := module.Version{Path: modfile.ModulePath(mod), Version: version}
	if err := module.Check(m.Path, m.Version); err != nil {
		return err
	}
	files, err := tracked(root)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := zip.Create(&archive, m, files); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Unix(0, 0).UTC()})
	if err != nil {
		return err
	}
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		return err
	}
	folder := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"list": []byte(version + "\n"), escaped + ".info": info, escaped + ".mod": mod, escaped + ".zip": archive.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// tracked returns the files of a work tree that Git tracks and that are there.
func tracked(root string) ([]zip.File, error) {
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the files that Git tracks in %s: %w", root, err)
	}
	var files []zip.File
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		f := file{root: root, name: name}
		switch _, err := f.Lstat(); {
		case err == nil:
			files = append(files, f)
		case !errors.Is(err, fs.ErrNotExist): // deleted but not yet from the index
			return nil, err
		}
	}
	return files, nil
}

// file is a file of the module by its path below root, with slashes.
type file struct{ root, name string }

func (f file) Path() string                 { return f.name }
func (f file) onDisk() string               { return filepath.Join(f.root, filepath.FromSlash(f.name)) }
func (f file) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.onDisk()) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.onDisk()) }
