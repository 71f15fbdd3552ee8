package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// legacyMagic is the first value of a file written by torch.save before PyTorch 1.6, or
// with _use_new_zipfile_serialization=False: 0x1950a86a20f9469cfc6c.
const legacyMagic = bigInt("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")

// legacyVersion is the second value of such a file.
const legacyVersion = 1001

// decodePickles returns the value in a file that begins with a pickle. Either it is a file
// of the format before PyTorch 1.6: the pickles of a magic number, a version, facts about
// the writer's machine, the value, and the keys of the storages, which follow in that
// order as an 8-byte number of elements and the elements. Or it is a single pickle.
func decodePickles(r io.ReaderAt, size int64, nested bool) (any, error) {
	u := newUnpickler(io.NewSectionReader(r, 0, size), size)
	u.nested = nested
	value, err := u.next()
	if err != nil {
		return nil, err
	}
	if value != any(legacyMagic) {
		if err := u.end(); err != nil {
			return nil, err
		}
		if len(u.storages) > 0 {
			return nil, errors.New("is a pickle without the storages to which it refers")
		}
		return value, nil
	}
	version, err := u.next()
	if err != nil {
		return nil, err
	}
	if version != any(int64(legacyVersion)) {
		return nil, fmt.Errorf("its version is %v, want %d", version, legacyVersion)
	}
	if _, err := u.next(); err != nil {
		return nil, err
	}
	if value, err = u.next(); err != nil {
		return nil, err
	}
	keys, err := u.next()
	if err != nil {
		return nil, err
	}
	if err := u.readStorages(r, keys); err != nil {
		return nil, err
	}
	return value, nil
}

// readStorages locates the storages, which follow the pickles in the order of keys. They
// are little-endian on every machine.
func (u *unpickler) readStorages(r io.ReaderAt, keys any) error {
	l, ok := keys.(*list)
	if !ok {
		return fmt.Errorf("the keys of its storages are %s, want a list", typeName(keys))
	}
	at := u.at
	for _, item := range l.items {
		key, _ := item.(string)
		s := u.storages[key]
		if s == nil {
			return fmt.Errorf("the key of a storage is %s, to which no tensor refers", typeName(item))
		}
		var length [8]byte
		if u.size-at < int64(len(length)) {
			return fmt.Errorf("it ends early, before storage %s", quote(key))
		}
		if _, err := r.ReadAt(length[:], at); err != nil {
			return err
		}
		at += int64(len(length))
		if n := binary.LittleEndian.Uint64(length[:]); n != uint64(s.count) {
			return fmt.Errorf("storage %s has %d elements, want %d", quote(key), n, s.count)
		}
		if s.element.size == 0 {
			return fmt.Errorf("storage %s is of the unknown class %s, so that the rest of the file cannot be read", quote(key), quote(string(s.class)))
		}
		bytes := int64(s.count) * int64(s.element.size)
		if bytes > u.size-at {
			return fmt.Errorf("it ends early: storage %s needs %d bytes, but only %d are left", quote(key), bytes, u.size-at)
		}
		from := at
		s.order = binary.LittleEndian
		s.read = func() ([]byte, error) {
			raw := make([]byte, bytes)
			_, err := r.ReadAt(raw, from)
			return raw, err
		}
		at += bytes
	}
	for key, s := range u.storages {
		if s.read == nil {
			return fmt.Errorf("storage %s is missing", quote(key))
		}
	}
	return nil
}
