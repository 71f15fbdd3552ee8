package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
)

var include = regexp.MustCompile(`(?m)^#include "([^"]+)"`)

// Outdated reports whether a module is not the PTX of its source, a file in the folder
// sources. Headers are found next to the file that includes them and in the folder headers.
func (m *Module) Outdated(sources, headers string) (bool, error) {
	h := sha256.New()
	seen := map[string]bool{}
	// add hashes a file and then the headers that it includes, each once, which is the order
	// in which generate.sh hashes them.
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		h.Write(data)
		for _, found := range include.FindAllSubmatch(data, -1) {
			header := string(found[1])
			if header == "emulator.h" {
				continue // not compiled to PTX
			}
			next := filepath.Join(filepath.Dir(name), header)
			if _, err := os.Stat(next); err != nil {
				next = filepath.Join(headers, header)
			}
			if err := add(next); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(filepath.Join(sources, m.Name+".cu")); err != nil {
		return false, err
	}
	first, _, _ := bytes.Cut(m.PTX, []byte("\n"))
	return string(first) != "// SHA-256 of the sources: "+hex.EncodeToString(h.Sum(nil)), nil
}
