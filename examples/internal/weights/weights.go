// Package weights stores named tensors: network parameters, running statistics
// and optimizer state.
//
// It writes the safetensors format
// (https://github.com/huggingface/safetensors) and reads that and the files of
// PyTorch's torch.save (.pth, .pt).
//
// # PyTorch's files
//
// torch.save writes a zip archive: a pickle that says which tensors there are,
// and the bytes of each storage in an entry of its own. A pickle is a program,
// and a hostile one runs whatever it likes when Python loads it. This package
// runs nothing: its reader knows the few opcodes and the few names that a
// state_dict needs, none of which does more than describe a tensor, and refuses
// every other name, naming it. No length is believed before it is compared with
// the bytes that are there.
//
// The state_dict may be the file's whole content, or lie in a dictionary under
// a usual key such as state_dict or model (see stateDictKeys). The prefixes
// module. and _orig_mod., which DataParallel and torch.compile put before
// every name, are taken off.
//
// # Element types
//
// float32, float64 and int64 tensors come as they are, float16 and bfloat16 as
// float32, and smaller integers and booleans as int64; none of these changes a
// value. Other types are refused.
package weights

import (
	"errors"
	"fmt"
	"io"
	"os"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/atomicfile"
)

// Save writes tensors (float32, float64 or int64, contiguous) and string
// metadata to path in the safetensors format. The file appears whole or not at
// all: it is written under a temporary name in the same folder, flushed to the
// disk and renamed. The same content gives the same bytes.
func Save(path string, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return encode(w, tensors, metadata) })
	if err != nil {
		return fmt.Errorf("weights: %s: %w", path, err)
	}
	return nil
}

// Load reads the tensors and the metadata of a safetensors file, or the
// state_dict of a file of torch.save, which has no metadata. Which of the two
// it is follows from its content, not its name. A scalar comes back as a
// scalar; tensors that are one and the same in a PyTorch file share their
// memory, so a caller that changes one must clone it. A damaged file is an
// error.
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
		// The length that opens a safetensors file has zeros there.
		return nil, nil, errors.New("is a bare pickle, as PyTorch wrote before version 1.6; load it there and save it again, without _use_new_zipfile_serialization=False")
	}
	// Before the file, which may be any, is read whole.
	if err := checkStart(start, info.Size()); err != nil {
		return nil, nil, err
	}
	raw := make([]byte, info.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, nil, err
	}
	return decode(raw)
}
