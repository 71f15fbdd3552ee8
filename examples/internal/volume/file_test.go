package volume

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writeFiles writes files, given by name, into a new folder.
func writeFiles(t *testing.T, files map[string][]byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, content, 0o644))
	}
	return dir
}

// pair returns the two files of a hand-made image, with skip bytes before its voxels.
func (s spec) pair(order binary.ByteOrder, skip int) (header, data []byte) {
	raw := s.file(order, func(b byteHeader) {
		b.raw[bytes.IndexByte(b.raw, 'n')+1] = 'i' // n+1 becomes ni1
		s.f.offset(b, int64(skip))
	})
	header = raw[:s.f.size]
	return header, append(make([]byte, max(skip, 0)), raw[s.f.minOffset:]...)
}

func TestPairOfFiles(t *testing.T) {
	for _, s := range specs {
		for _, order := range orders {
			want := decodeBytes(t, s.file(order, nil))
			header, data := s.pair(order, 0)
			skipped, dataSkipped := s.pair(order, 32)
			dir := writeFiles(t, map[string][]byte{
				"a.hdr": header, "a.img": data,
				"b.hdr.gz": gzipped(t, header), "b.img.gz": gzipped(t, data),
				"c.HDR": header, "c.IMG": data,
				"d.hdr": skipped, "d.img": dataSkipped,
				"e.hdr": append(bytes.Clone(header), 0, 0, 0, 0), "e.img.gz": gzipped(t, data),
			})
			for _, name := range []string{"a.hdr", "a.img", "b.hdr.gz", "b.img.gz", "b.img", "c.HDR", "c.IMG", "d.hdr", "d.img", "e.hdr", "e.img.gz"} {
				v, err := Read(filepath.Join(dir, name))
				if name == "b.img" {
					// The name of a file that does not exist finds the header that does.
					require.NoError(t, err, name)
				}
				require.NoError(t, err, name)
				assert.Equal(t, want, v, name)
			}
		}
	}
}

func TestPairErrors(t *testing.T) {
	s := specs[0]
	header, data := s.pair(binary.LittleEndian, 0)
	negative, _ := s.pair(binary.LittleEndian, -1)
	dir := writeFiles(t, map[string][]byte{
		"alone.hdr": header, "data.img": data, "named.nii": header, "named.nii.img": data, "named.img": data,
		"short.hdr": header, "short.img": data[:5], "negative.hdr": negative, "negative.img": data, "folder.hdr": header, "folder.img/x": nil,
	})
	for name, want := range map[string]string{
		"alone.hdr":    "the voxels: stat " + filepath.Join(dir, "alone.img"),
		"data.img":     "the header of data.img: stat " + filepath.Join(dir, "data.hdr"),
		"named.nii":    "its own name does not end in .hdr",
		"short.hdr":    "data ends after 5 of 12 bytes",
		"negative.hdr": "vox_offset is -1",
		"folder.hdr":   "is not a file",
	} {
		_, err := Read(filepath.Join(dir, name))
		assert.ErrorContains(t, err, want, name)
	}
	analyze := bytes.Clone(header)
	copy(analyze[344:], "\x00\x00\x00\x00")
	_, err := Decode(bytes.NewReader(analyze))
	assert.ErrorContains(t, err, "ANALYZE 7.5 header, which does not define the orientation")
	_, err = ReadHeader(filepath.Join(dir, "alone.hdr"))
	assert.NoError(t, err, "the header is complete")
	_, err = Decode(bytes.NewReader(header))
	assert.ErrorContains(t, err, "the voxels are in a separate file (.img)")
}

func TestMetaImageWithDataFile(t *testing.T) {
	want := decodeBytes(t, metaFile(nil, metaValues))
	change := func(name string, more ...string) []byte {
		c := map[string]string{"ElementDataFile": name}
		for i := 0; i < len(more); i += 2 {
			c[more[i]] = more[i+1]
		}
		return []byte(metaLines(c))
	}
	dir := writeFiles(t, map[string][]byte{
		"a.raw": metaValues, "z.zraw": deflated(t, metaValues), "sub/b.raw": metaValues, "skip.raw": append(make([]byte, 9), metaValues...),
		"short.raw": metaValues[:11], "plain.mhd": change("a.raw"), "packed.mhd": change("z.zraw", "CompressedData", "True"),
		"slash.mhd": change("sub/b.raw"), "backslash.mhd": change(`sub\b.raw`), "from.mhd": change("skip.raw", "HeaderSize", "9"),
		"end.mhd": change("skip.raw", "HeaderSize", "-1"), "exact.mhd": change("a.raw", "HeaderSize", "-1"),
		"none.mhd": change("none.raw"), "short.mhd": change("short.raw"), "shortend.mhd": change("short.raw", "HeaderSize", "-1"), "dir.mhd": change("sub"),
	})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "absolute.mhd"), change(filepath.Join(dir, "a.raw")), 0o644))
	for _, name := range []string{"plain", "packed", "slash", "backslash", "from", "end", "exact", "absolute"} {
		v, err := Read(filepath.Join(dir, name+".mhd"))
		require.NoError(t, err, name)
		assert.Equal(t, want, v, name)
	}
	for name, says := range map[string]string{
		"none": "no such file", "short": "data ends after 11 of 12 bytes", "shortend": "has 11 bytes, want at least 12", "dir": "is not a file",
	} {
		_, err := Read(filepath.Join(dir, name+".mhd"))
		assert.ErrorContains(t, err, says)
	}
	h, err := ReadHeader(filepath.Join(dir, "none.mhd"))
	require.NoError(t, err)
	assert.Equal(t, want.Dims, h.Dims)
}

func TestGzipMembersAndPadding(t *testing.T) {
	raw := spec1(binary.LittleEndian, nil)
	want := decodeBytes(t, raw)
	zeros := make([]byte, 100_000)
	two := append(gzipped(t, raw[:200]), gzipped(t, raw[200:])...)
	for name, file := range map[string][]byte{
		"padded":              append(gzipped(t, raw), zeros...),
		"one zero":            append(gzipped(t, raw), 0),
		"two members":         two,
		"two members, padded": append(bytes.Clone(two), zeros...),
		"padding between":     append(append(gzipped(t, raw[:200]), zeros...), gzipped(t, raw[200:])...),
		"empty members":       append(append(gzipped(t, nil), two...), gzipped(t, nil)...),
	} {
		assert.Equal(t, want, decodeBytes(t, file), name)
	}
	for name, file := range map[string][]byte{
		"text":               append(gzipped(t, raw), "text after the stream"...),
		"zeros, then text":   append(append(gzipped(t, raw), zeros...), 'x'),
		"half a gzip header": append(gzipped(t, raw), 0x1f, 0x8b, 8),
	} {
		_, err := Decode(bytes.NewReader(file))
		assert.ErrorContains(t, err, "bytes after the end of the stream", name)
	}
	cut := two[:len(two)-5]
	_, err := Decode(bytes.NewReader(cut))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestFilesOfAnImage(t *testing.T) {
	s := specs[0]
	header, data := s.pair(binary.LittleEndian, 0)
	dir := writeFiles(t, map[string][]byte{
		"a.hdr": header, "a.img": data, "one.nii": s.file(binary.LittleEndian, nil), "one.mha": metaFile(nil, metaValues),
		"b.mhd": []byte(metaLines(map[string]string{"ElementDataFile": "sub/b.raw"})), "sub/b.raw": metaValues,
		"c.mhd": []byte(metaLines(map[string]string{"ElementDataFile": "c.raw"})),
	})
	for name, want := range map[string][]string{
		"a.hdr": {"a.hdr", "a.img"}, "a.img": {"a.hdr", "a.img"}, "one.nii": {"one.nii"}, "one.mha": {"one.mha"}, "b.mhd": {"b.mhd", "sub/b.raw"},
	} {
		got, err := Files(filepath.Join(dir, name))
		require.NoError(t, err, name)
		for i, path := range want {
			want[i] = filepath.Join(dir, filepath.FromSlash(path))
		}
		assert.Equal(t, want, got)
	}
	for name, want := range map[string]bool{"a.nii": false, "a.nii.gz": false, "a": false, "a.MHD": true, "a.mha": true, "a.hdr.gz": true, "a.IMG": true} {
		assert.Equal(t, want, Separable(name), name)
	}
	for name, says := range map[string]string{"c.mhd": "MetaImage: the voxels: stat", "sub/b.raw": "a .raw file has no header; read the .mhd file", "absent": "no such file"} {
		_, err := Files(filepath.Join(dir, name))
		assert.ErrorContains(t, err, says)
	}
}

// TestForeignFormats names what a file is that has the name of an image.
func TestForeignFormats(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("\x00", 128) + "DICM\x02\x00": "DICOM", "NRRD0004\ntype: short\n": "NRRD", "BZh91AY&SY": "bzip2", "\x28\xb5\x2f\xfd\x00": "Zstandard",
		"PK\x03\x04\x14": "ZIP", "\x89PNG\r\n\x1a\n": "PNG", "\xff\xd8\xff\xe0": "JPEG", "<!DOCTYPE html>": "HTML", "\x93NUMPY\x01": "NumPy",
	} {
		for _, file := range [][]byte{[]byte(text), gzipped(t, []byte(text))} {
			_, err := Decode(bytes.NewReader(file))
			assert.ErrorContains(t, err, "this is a "+want+" file; convert it to NIfTI or MetaImage")
		}
	}
}

func TestTrimExtension(t *testing.T) {
	for name, want := range map[string]string{
		"a.nii": "a", "a.nii.gz": "a", "a.b.NII.GZ": "a.b", "a.mha": "a", "a.mhd": "a", "a.hdr": "a", "a.hdr.gz": "a", "dir/a_gt.Nii": "dir/a_gt",
		"a.img": "", "a.raw": "", "a": "", ".nii": "", ".nii.gz": "", "a.gz": "", "": "",
	} {
		stem, ok := TrimExtension(name)
		assert.Equal(t, want != "", ok, name)
		if ok {
			assert.Equal(t, want, stem, name)
		} else if name != ".nii.gz" {
			assert.Equal(t, name, stem, name)
		}
	}
	for _, ext := range strings.Split(Extensions(), ", ") {
		stem, ok := TrimExtension("x" + ext)
		assert.True(t, ok, ext)
		assert.Equal(t, "x", stem, ext)
	}
}
