package weights

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"gorgonia.org/tensor"
)

// maxSharing limits the total number of elements in the distinct views of a storage, as a
// multiple of its number of elements. Tied parameters are a single view. A file with more
// would need far more memory than it has bytes.
const maxSharing = 4

// decodeTorch reads the state_dict from an archive written by torch.save.
func decodeTorch(r io.ReaderAt, size int64) (map[string]*tensor.Dense, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return nil, err
	}
	pickle, err := a.read("data.pkl")
	if err != nil {
		return nil, err
	}
	value, err := unpickle(pickle)
	if err != nil {
		return nil, err
	}
	views, err := findStateDict(value)
	if err != nil {
		return nil, err
	}
	order, err := a.byteOrder()
	if err != nil {
		return nil, err
	}

	// Load one storage at a time, so that only its bytes are in memory.
	users := map[string][]string{}
	for name, v := range views {
		users[v.storage.key] = append(users[v.storage.key], name)
	}
	tensors := make(map[string]*tensor.Dense, len(views))
	for _, key := range slices.Sorted(maps.Keys(users)) {
		names := users[key]
		slices.Sort(names)
		if err := a.tensors(key, names, views, order, tensors); err != nil {
			return nil, err
		}
	}
	return tensors, nil
}

// archive is the zip file written by torch.save. It has the entries <name>/data.pkl,
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
		return nil, errors.New("is a zip file without data.pkl, so it was not written by torch.save")
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
	if a.entries["constants.pkl"] != nil {
		return nil, errors.New("is a TorchScript archive, which contains a program; save model.state_dict() instead")
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

// tensors reads a storage and adds the tensors that view it to out.
func (a *archive) tensors(key string, names []string, views map[string]*stridedTensor, order binary.ByteOrder, out map[string]*tensor.Dense) error {
	raw, err := a.read("data/" + key)
	if err != nil {
		return err
	}
	made := map[string]*tensor.Dense{}
	total := 0
	for _, name := range names {
		v := views[name]
		fail := func(err error) error { return fmt.Errorf("tensor %s: %w", quote(name), err) }
		if want := v.storage.count * v.storage.element.size; len(raw) != want {
			return fail(fmt.Errorf("its storage has %d bytes, want %d", len(raw), want))
		}
		n, err := v.elements()
		if err != nil {
			return fail(err)
		}
		same := fmt.Sprint(v.storage.class, v.offset, v.shape, v.strides)
		if made[same] == nil {
			if total += n; total > maxSharing*v.storage.count {
				return fail(fmt.Errorf("the views of its storage of %d elements have more than %d times as many", v.storage.count, maxSharing))
			}
			made[same] = v.storage.element.tensor(v.gather(raw, n), order, v.shape)
		}
		out[name] = made[same]
	}
	return nil
}
