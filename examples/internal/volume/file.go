package volume

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// extensions are the endings of the files that hold an image or the header of one, longest
// first where one ends in another.
var extensions = []string{".nii.gz", ".nii", ".mha", ".mhd", ".hdr.gz", ".hdr"}

// Extensions lists the endings of image files, for messages.
func Extensions() string { return strings.Join(extensions, ", ") }

// TrimExtension returns a file name without its image extension, in upper or lower case, and
// false if it has none. The data file of a pair (.img, .raw, .zraw) is not an image by itself.
func TrimExtension(name string) (stem string, ok bool) {
	for _, ext := range extensions {
		if n := len(name) - len(ext); n > 0 && strings.EqualFold(name[n:], ext) {
			return name[:n], true
		}
	}
	return name, false
}

// pairData stands for the .img file beside a .hdr file.
const pairData = ".img"

// Separable reports whether a file name is of a kind whose header and voxels may be in two
// files: all but .nii and .nii.gz.
func Separable(path string) bool {
	path = strings.TrimSuffix(strings.ToLower(path), ".gz")
	return slices.Contains([]string{".mha", ".mhd", ".hdr", ".img"}, filepath.Ext(path))
}

// Files returns the files of the image at path: the one with the header, and that of the
// voxels if it is another one, which must exist.
func Files(path string) ([]string, error) {
	f, header, err := openImage(path)
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	defer f.Close()
	h, _, err := open(f)
	if err != nil {
		return nil, fmt.Errorf("volume: %w (%s)", err, path)
	}
	if h.dataFile == "" {
		return []string{header}, nil
	}
	data, err := h.openData(header)
	if err != nil {
		return nil, fmt.Errorf("volume: %v: %w (%s)", h.Format, err, path)
	}
	return []string{header, data.Name()}, data.Close()
}

func readFile(path string) (*Volume, error) {
	f, path, err := openImage(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, body, err := open(f)
	if err != nil {
		return nil, err
	}
	if h.dataFile == "" {
		return h.decode(body)
	}
	data, err := h.openData(path)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", h.Format, err)
	}
	defer data.Close()
	if h.Format != MetaImage {
		if body, err = decompress(data); err != nil {
			return nil, fmt.Errorf("%v: %s: %w", h.Format, data.Name(), err)
		}
	} else {
		body.Reset(data)
	}
	return h.decode(body)
}

func readHeader(path string) (*Header, error) {
	f, _, err := openImage(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, _, err := open(f)
	return h, err
}

// openImage opens an image, or the .hdr file if path names its .img file, and returns the
// path of the opened file.
func openImage(path string) (*os.File, string, error) {
	for _, ext := range []string{".img", ".img.gz"} {
		if n := len(path) - len(ext); n > 0 && strings.EqualFold(path[n:], ext) {
			header, err := existing(path[:n], ".hdr", ".hdr.gz")
			if err != nil {
				return nil, "", fmt.Errorf("the header of %s: %w", filepath.Base(path), err)
			}
			path = header
			break
		}
	}
	if raw := strings.ToLower(filepath.Ext(path)); raw == ".raw" || raw == ".zraw" {
		return nil, "", fmt.Errorf("a %s file has no header; read the .mhd file that describes it", raw)
	}
	f, err := os.Open(path)
	return f, path, err
}

// openData opens the file of the voxels, whose header is at path.
func (h *Header) openData(path string) (*os.File, error) {
	data := h.dataFile
	if h.Format != MetaImage {
		stem, ok := TrimExtension(path)
		if !ok || strings.EqualFold(filepath.Ext(path), ".nii") || strings.EqualFold(path[len(stem):], ".nii.gz") {
			return nil, fmt.Errorf("the header says that the voxels are in a separate .img file, but its own name does not end in .hdr")
		}
		var err error
		if data, err = existing(stem, ".img", ".img.gz"); err != nil {
			return nil, fmt.Errorf("the voxels: %w", err)
		}
	} else {
		data = filepath.FromSlash(strings.ReplaceAll(data, `\`, "/"))
		if !filepath.IsAbs(data) {
			data = filepath.Join(filepath.Dir(path), data)
		}
	}
	info, err := os.Stat(data)
	if err != nil {
		return nil, fmt.Errorf("the voxels: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the voxels: %s is not a file", data)
	}
	if h.fromEnd {
		need := int64(h.voxels() * h.Type.Size())
		if h.skip = info.Size() - need; h.skip < 0 {
			return nil, fmt.Errorf("the voxels: %s has %d bytes, want at least %d: %w", data, info.Size(), need, io.ErrUnexpectedEOF)
		}
	}
	return os.Open(data)
}

// existing returns stem with the first of the endings, in lower or upper case, for which the
// file exists.
func existing(stem string, endings ...string) (string, error) {
	for _, e := range endings {
		for _, path := range []string{stem + e, stem + strings.ToUpper(e)} {
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
	}
	_, err := os.Stat(stem + endings[0])
	return "", err
}

// bufSize is the size of the buffers for reading.
const bufSize = 64 << 10

// decompress returns a reader of the content of r, decompressed if it is gzip.
func decompress(r io.Reader) (*bufio.Reader, error) {
	br := bufio.NewReaderSize(r, bufSize)
	magic, err := br.Peek(2)
	if err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return br, nil // an error of r appears again when it is read
	}
	zr, err := gzip.NewReader(br)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	zr.Multistream(false)
	return bufio.NewReaderSize(&gunzip{compressed: br, member: zr}, bufSize), nil
}

// gunzip reads the members of a gzip file one after the other. Unlike gzip.Reader it accepts
// zeros between and after them, with which some tools and media pad files to whole blocks.
type gunzip struct {
	compressed *bufio.Reader
	member     *gzip.Reader
	err        error // result of all further reads
}

func (g *gunzip) Read(p []byte) (int, error) {
	for g.err == nil {
		n, err := g.member.Read(p)
		if err == io.EOF {
			err = g.next()
		}
		g.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, g.err
}

// next skips zeros and begins the next member. It returns io.EOF if there is none.
func (g *gunzip) next() error {
	for {
		b, err := g.compressed.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			break
		}
	}
	if err := g.compressed.UnreadByte(); err != nil {
		return err
	}
	if err := g.member.Reset(g.compressed); err != nil {
		return fmt.Errorf("gzip: bytes after the end of the stream are neither zero nor another stream: %w", noEOF(err))
	}
	g.member.Multistream(false)
	return nil
}
