package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// decodeTorch returns the value in an archive written by torch.save or torch.jit.save, and
// the size of its description.
func decodeTorch(r io.ReaderAt, size int64) (value any, described int64, err error) {
	a, err := openArchive(r, size)
	if err != nil {
		return nil, 0, err
	}
	pickle, err := a.read("data.pkl")
	if err != nil {
		return nil, 0, err
	}
	order, err := a.byteOrder()
	if err != nil {
		return nil, 0, err
	}
	u := newUnpickler(bytes.NewReader(pickle), int64(len(pickle)))
	if value, err = u.next(); err == nil {
		err = u.end()
	}
	if err != nil {
		return nil, 0, err
	}
	for key, s := range u.storages {
		s.order = order
		s.read = func() ([]byte, error) { return a.read("data/" + key) }
	}
	return value, u.size, nil
}

// archive is the zip file written by torch.save since PyTorch 1.6. It has the entries <name>/data.pkl,
// <name>/data/<key>, <name>/version and, in later versions, <name>/byteorder.
type archive struct {
	entries map[string]*zip.File // by name without the leading folder
	left    int64                // number of bytes that may still be read
}

func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("PyTorch archive: %w", err)
	}
	prefix := ""
	for _, f := range z.File {
		if dir, base := path.Split(f.Name); base == "data.pkl" && strings.Count(dir, "/") == 1 {
			prefix = dir
			break
		}
	}
	if prefix == "" {
		return nil, errors.New("is a zip file without data.pkl, so it was not written by PyTorch")
	}
	a := &archive{entries: map[string]*zip.File{}, left: size}
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok {
			continue
		}
		if a.entries[name] != nil {
			return nil, fmt.Errorf("PyTorch archive: duplicate entry %s", quote(f.Name))
		}
		a.entries[name] = f
	}
	return a, nil
}

// read returns the bytes of an entry. torch.save does not compress, so the total size of
// the entries cannot exceed that of the file.
func (a *archive) read(name string) ([]byte, error) {
	f := a.entries[name]
	if f == nil {
		return nil, fmt.Errorf("PyTorch archive has no entry %s", quote(name))
	}
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("PyTorch archive: entry %s: %w", quote(name), err)
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
		return fail(errors.New("it is compressed, but torch.save does not compress"))
	}
	if f.UncompressedSize64 > uint64(a.left) {
		return fail(fmt.Errorf("its size is given as %d bytes, but only %d are left in the file", f.UncompressedSize64, a.left))
	}
	a.left -= int64(f.UncompressedSize64)
	in, err := f.Open()
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	raw := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(in, raw); err != nil {
		return fail(err)
	}
	// Reading to the end of the entry verifies its checksum.
	if _, err := in.Read(make([]byte, 1)); err != io.EOF {
		if err == nil {
			err = errors.New("it is longer than its given size")
		}
		return fail(err)
	}
	return raw, nil
}

// byteOrder returns the byte order of the storages. Files without the entry come from
// versions that always used the writer's native order, in practice little-endian.
func (a *archive) byteOrder() (binary.ByteOrder, error) {
	if a.entries["byteorder"] == nil {
		return binary.LittleEndian, nil
	}
	raw, err := a.read("byteorder")
	if err != nil {
		return nil, err
	}
	switch string(raw) {
	case "little":
		return binary.LittleEndian, nil
	case "big":
		return binary.BigEndian, nil
	}
	return nil, fmt.Errorf("PyTorch archive: the byte order is %s, want little or big", quote(string(raw)))
}
