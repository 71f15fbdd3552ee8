// Package weights reads and writes named tensors: network parameters, running statistics
// and optimizer state.
//
// It writes the safetensors format (https://github.com/huggingface/safetensors) and reads
// safetensors files and files written by PyTorch (.pth, .pt, .ckpt, .ts, .pkl). [Load]
// returns all tensors of a file; [Open] and [File.Fit] find those of a network in it.
//
// # PyTorch files
//
// The file can be an archive of torch.save or torch.jit.save, a file of torch.save before
// PyTorch 1.6, or a pickle of tensors or NumPy arrays, each of the pickle protocols 2 to 5.
//
// A pickle is a program, and a hostile one can execute arbitrary code when Python loads it.
// This package executes nothing. It interprets the few calls that describe tensors, arrays
// and dictionaries. The result of any other call, such as an argparse.Namespace or the
// class of a whole module, is an inert record of what was passed to it; in it, tensors and
// the parameters of modules are found like those in a dictionary. Every length is compared
// with the number of bytes present before it is used, and memory and time are bounded by
// the length of the file.
//
// # Names
//
// A tensor of a PyTorch file is named by the path to it: the keys of dictionaries and the
// attributes of objects, joined by dots, such as state_dict.module.conv.weight. So the keys
// under which programs store a state_dict next to other values, and the wrappers that
// change its names, are nothing but a prefix of a network's names.
//
// # Element types
//
// float32, float64 and int64 tensors are returned unchanged, float16 and bfloat16 as
// float32, and smaller integers and Booleans as int64; all conversions are exact. Other
// types are rejected.
package weights

import (
	"bytes"
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

// Encode returns what Save would write.
func Encode(tensors map[string]*tensor.Dense, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	if err := encode(&b, tensors, metadata); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	return b.Bytes(), nil
}

// Decode is the inverse of Encode.
func Decode(content []byte) (map[string]*tensor.Dense, map[string]string, error) {
	var begin start
	copy(begin[:], content)
	items, metadata, err := describeSafetensors(bytes.NewReader(content), int64(len(content)), begin)
	if err != nil {
		return nil, nil, fmt.Errorf("weights: %w", err)
	}
	tensors, err := read(items)
	if err != nil {
		return nil, nil, fmt.Errorf("weights: %w", err)
	}
	return tensors, metadata, nil
}

// Load reads all tensors of a file that [Open] accepts, and its metadata. Scalars are
// returned as scalars. Tensors that are the same view in a PyTorch file are returned as the
// same tensor, so a caller must clone one before modifying it. A damaged file is an error.
func Load(path string) (map[string]*tensor.Dense, map[string]string, error) {
	f, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	tensors, err := read(f.items)
	if err != nil {
		return nil, nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return tensors, f.metadata, nil
}

// File is an open file of tensors.
type File struct {
	path     string
	file     *os.File
	items    []item
	metadata map[string]string
}

// Open opens a safetensors file or a file written by PyTorch. The format is determined by
// the content, not by the name. The tensors are read when they are needed, so the
// caller must close the file afterwards.
func Open(path string) (*File, error) {
	f, size, start, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	file := &File{path: path, file: f}
	if file.items, file.metadata, err = describe(f, size, start); err != nil {
		f.Close()
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return file, nil
}

// Path returns the path given to [Open].
func (f *File) Path() string { return f.path }

// Metadata returns the metadata of a safetensors file, nil for a PyTorch file.
func (f *File) Metadata() map[string]string { return f.metadata }

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// start is the beginning of a file, padded with zeros if the file is shorter.
type start [headerAt + 1]byte

func openFile(path string) (f *os.File, size int64, begin start, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, begin, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, begin, err
	}
	if info.IsDir() {
		return nil, 0, begin, errors.New("is a folder, want a file")
	}
	if _, err := f.ReadAt(begin[:], 0); err != nil && err != io.EOF {
		return nil, 0, begin, err
	}
	return f, info.Size(), begin, nil
}

// describe returns the tensors of a file, at least one for PyTorch's, and the metadata of a
// safetensors file.
func describe(f io.ReaderAt, size int64, begin start) (items []item, metadata map[string]string, err error) {
	var value any
	described := size
	switch {
	case string(begin[:4]) == "PK\x03\x04":
		value, described, err = decodeTorch(f, size)
	// In a safetensors file the fourth byte belongs to the length of the header, and is 0
	// for headers below 16 MiB.
	case begin[0] == opProto && begin[1] >= minPickleProtocol && begin[1] <= maxPickleProtocol && begin[3] != 0:
		value, err = decodePickles(f, size, false)
	default:
		return describeSafetensors(f, size, begin)
	}
	if err != nil {
		return nil, nil, err
	}
	if items, err = collect(value, described); err == nil && len(items) == 0 {
		err = fmt.Errorf("it contains %s without any tensor", typeName(value))
	}
	return items, nil, err
}
