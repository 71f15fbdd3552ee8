// Package golden reads the reference values that the tests compare against:
// safetensors files with their metadata.
package golden

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/nlpodyssey/safetensors"
)

// File is one safetensors file read into memory.
type File struct {
	// Metadata is the file's string-to-string map; structured values are JSON text.
	Metadata map[string]string
	// Tensors maps a tensor's name to its values.
	Tensors map[string]Tensor
}

// Tensor holds one tensor converted to float64, which is exact for every type
// in the golden files (F64, F32, U8 and small I64).
type Tensor struct {
	DType string
	Shape []int
	Data  []float64
}

// Float32 returns the values rounded to float32.
func (t Tensor) Float32() []float32 {
	out := make([]float32, len(t.Data))
	for i, v := range t.Data {
		out[i] = float32(v)
	}
	return out
}

// Uint8 returns the values as bytes.
func (t Tensor) Uint8() []uint8 {
	out := make([]uint8, len(t.Data))
	for i, v := range t.Data {
		out[i] = uint8(v)
	}
	return out
}

// Read reads the safetensors file at path.
func Read(path string) (*File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	st, err := safetensors.Deserialize(raw)
	if err != nil {
		return nil, fmt.Errorf("golden: %s: %w", path, err)
	}
	_, meta, err := safetensors.ReadMetadata(raw)
	if err != nil {
		return nil, fmt.Errorf("golden: %s: %w", path, err)
	}
	f := &File{Metadata: meta.Metadata(), Tensors: map[string]Tensor{}}
	for _, nt := range st.Tensors() {
		v := nt.TensorView
		data, err := widen(v.DType(), v.Data())
		if err != nil {
			return nil, fmt.Errorf("golden: %s: tensor %q: %w", path, nt.Name, err)
		}
		shape := make([]int, len(v.Shape()))
		for i, d := range v.Shape() {
			shape[i] = int(d)
		}
		f.Tensors[nt.Name] = Tensor{DType: v.DType().String(), Shape: shape, Data: data}
	}
	return f, nil
}

func widen(dt safetensors.DType, raw []byte) ([]float64, error) {
	size := int(dt.Size())
	out := make([]float64, len(raw)/size)
	for i := range out {
		b := raw[i*size:]
		switch dt {
		case safetensors.U8:
			out[i] = float64(b[0])
		case safetensors.F32:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case safetensors.F64:
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case safetensors.I64:
			out[i] = float64(int64(binary.LittleEndian.Uint64(b)))
		default:
			return nil, fmt.Errorf("dtype is %v, want U8, F32, F64 or I64", dt)
		}
	}
	return out, nil
}

// Dir returns the folder with the golden files of a kind ("losses" or "models")
// and reports whether it is the full set. The full set is outside the
// repository, in shared/golden next to its root; without it, Dir returns the
// committed subset in testdata.
func Dir(kind string) (dir string, full bool, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", false, err
	}
	dir = filepath.Join(filepath.Dir(root), "shared", "golden", kind)
	if _, err := os.Stat(dir); err == nil {
		return dir, true, nil
	}
	dir = filepath.Join(root, "internal", "golden", "testdata", kind)
	if _, err := os.Stat(dir); err != nil {
		return "", false, fmt.Errorf("golden: found neither the full set nor the committed subset of %q: %w", kind, err)
	}
	return dir, false, nil
}

// SharedData returns the path of shared/data/name next to the repository's root,
// which may hold real images, and reports whether it exists.
func SharedData(name string) (string, bool) {
	root, err := moduleRoot()
	if err != nil {
		return "", false
	}
	dir := filepath.Join(filepath.Dir(root), "shared", "data", name)
	_, err = os.Stat(dir)
	return dir, err == nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("golden: no go.mod above %s", dir)
		}
		dir = parent
	}
}
