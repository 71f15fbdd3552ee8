// Package weights reads and writes named tensors: network parameters, running statistics
// and optimizer state.
//
// It writes the safetensors format (https://github.com/huggingface/safetensors) and reads
// safetensors files and files written by PyTorch's torch.save (.pth, .pt).
//
// # PyTorch files
//
// torch.save writes a zip archive with a pickle that describes the tensors, and with the
// bytes of each storage in a separate entry. A pickle is a program, and a hostile one can
// execute arbitrary code when Python loads it. This package executes nothing: its reader
// supports only the few opcodes and names that a state_dict needs, which do no more than
// describe tensors, and rejects every other name with an error that contains it. Every
// length is compared with the number of bytes present before it is used.
//
// The state_dict can be the whole content of the file or be in a dictionary under a common
// key such as state_dict or model (see stateDictKeys). The prefixes module. and
// _orig_mod., which DataParallel and torch.compile add to every name, are removed.
//
// # Element types
//
// float32, float64 and int64 tensors are returned unchanged, float16 and bfloat16 as
// float32, and smaller integers and Booleans as int64; all conversions are exact. Other
// types are rejected.
package weights

import (
	"errors"
	"fmt"
	"io"
	"os"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/atomicfile"
)

// Save writes tensors (float32, float64 or int64, contiguous) and string metadata to path
// in the safetensors format. The file appears complete or not at all: it is written under
// a temporary name in the same folder, synced to disk and renamed. The same content gives
// the same bytes.
func Save(path string, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return encode(w, tensors, metadata) })
	if err != nil {
		return fmt.Errorf("weights: %s: %w", path, err)
	}
	return nil
}

// Load reads the tensors and the metadata of a safetensors file, or the state_dict of a
// file written by torch.save, which has no metadata. The format is determined by the
// content, not by the name. Scalars are returned as scalars. Tensors that are the same
// view in a PyTorch file are returned as the same tensor, so a caller must clone one
// before modifying it. A damaged file is an error.
func Load(path string) (map[string]*tensor.Dense, map[string]string, error) {
	tensors, metadata, err := load(path)
	if err != nil {
		return nil, nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return tensors, metadata, nil
}

func load(path string) (map[string]*tensor.Dense, map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		return nil, nil, errors.New("is a folder, want a file")
	}
	var start [headerAt + 1]byte
	if _, err := f.ReadAt(start[:], 0); err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case string(start[:4]) == "PK\x03\x04":
		tensors, err := decodeTorch(f, info.Size())
		return tensors, nil, err
	case start[0] == opProto && start[1] == pickleProtocol && start[3] != 0:
		// In a safetensors file start[3] belongs to the length of the header and is 0 for
		// headers below 16 MiB.
		return nil, nil, errors.New("is a bare pickle, as written by PyTorch before version 1.6; load it in PyTorch and save it again, without _use_new_zipfile_serialization=False")
	}
	// Check before reading the whole file, which may be of any kind.
	if err := checkStart(start, info.Size()); err != nil {
		return nil, nil, err
	}
	raw := make([]byte, info.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, nil, err
	}
	return decode(raw)
}
