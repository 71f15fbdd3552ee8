package workload

import (
	"bytes"
	"encoding/binary"
	"os"

	"gorgonia.org/tensor"
)

// WriteRaw writes the numbers of a tensor to a file, little-endian.
func WriteRaw(path string, t *tensor.Dense) error {
	var b bytes.Buffer
	b.Grow(int(t.MemSize()))
	if err := binary.Write(&b, binary.LittleEndian, t.Data()); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
