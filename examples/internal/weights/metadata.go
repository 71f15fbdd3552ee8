package weights

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// ReadMetadata reads only the metadata of a safetensors file. It checks the length of the
// file, but not the tensors.
func ReadMetadata(path string) (map[string]string, error) {
	metadata, err := readMetadata(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return metadata, nil
}

func readMetadata(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var start [headerAt + 1]byte
	if _, err := f.ReadAt(start[:], 0); err != nil && err != io.EOF {
		return nil, err
	}
	if err := checkStart(start, info.Size()); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.LittleEndian.Uint64(start[:]))
	if _, err := f.ReadAt(raw, headerAt); err != nil {
		return nil, err
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(raw, &header); err != nil {
		return nil, err
	}
	end := int64(headerAt + len(raw))
	var metadata map[string]string
	for name, entry := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(entry, &metadata); err != nil {
				return nil, err
			}
			continue
		}
		var t struct {
			Offsets [2]int64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(entry, &t); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if at := int64(headerAt+len(raw)) + t.Offsets[1]; at > end {
			end = at
		}
	}
	if info.Size() != end {
		return nil, fmt.Errorf("it has %d bytes, but its header describes %d", info.Size(), end)
	}
	return metadata, nil
}
