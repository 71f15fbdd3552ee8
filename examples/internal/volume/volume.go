// Package volume reads and writes medical images: NIfTI-1 and NIfTI-2 (.nii, .nii.gz; read
// and written), their pairs of a header and a data file (.hdr with .img, either of them also
// .gz; read), and MetaImage with its data in the same file (.mha) or in another one (.mhd
// with .raw or .zraw; read).
//
// # Axes
//
// A 2-D image is read as one slice. The axes after the third hold the channels; at most one
// of them may be longer than 1, whether it is the fourth, as for a series, or the fifth, as
// for a vector. In MetaImage, interleaved channels (ElementNumberOfChannels) are the same.
//
// # Voxel order
//
// In both formats the first index axis varies fastest. In [Volume] the third axis varies
// fastest and the channel slowest, which is the order of a C×X×Y×Z tensor, so reading and
// writing transpose the voxels.
//
// # World coordinates
//
// The affine maps voxel indices to millimeters in RAS+, as in NIfTI. MetaImage uses LPS+
// and is converted. A NIfTI file can define up to three mappings; the order of precedence
// is that of NiBabel and most other tools:
//
//  1. the sform (general affine) if sform_code > 0 and its matrix is neither zero nor NaN;
//  2. the qform (rotation, zooms and shift) if qform_code > 0;
//  3. otherwise only pixdim is known. NIfTI associates no orientation with it; as in
//     NiBabel, the grid is centered on the origin and the first axis points to the left,
//     which is the convention of ANALYZE 7.5.
//
// If the header specifies meters or micrometers, the affine is converted to millimeters;
// an unknown unit is taken as millimeters.
//
// # Incomplete headers
//
// Fields that writers leave unset are read as the NIfTI library reads them: a slope that is
// zero, NaN or infinite means no scaling, an axis after the second of length 0 has length 1,
// and a voxel size that is zero, NaN or infinite is 1. Header.Notes lists each such voxel
// size that the affine depends on.
//
// # Unsupported files
//
// ANALYZE 7.5 (a header without NIfTI's magic, which does not define the orientation),
// MetaImage with a file per slice or voxels stored as text, images with two axes beyond the
// third, and complex, color and 128-bit values are rejected with a descriptive error.
//
// # Hostile files
//
// Headers are validated (dimensions and their product, offsets, scaling, a finite and
// invertible affine), and the voxels are read into a buffer that grows with the data, so
// the memory for a short file that claims to be large is proportional to its actual length.
// A file that ends early, fails its checksum or continues long after its voxels is an error.
package volume

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// MaxVoxels is the largest number of values (voxels × channels) that is read from a file:
// 2³⁰, which take 8 GiB in a [Volume]. It limits the memory that a small, highly compressed
// file can require.
const MaxVoxels = 1 << 30

// Volume is an image on a regular grid.
type Volume struct {
	// Dims is the number of voxels along the first (i), second (j) and third
	// (k) index axis of the file.
	Dims [3]int
	// Channels is the length of the fourth axis, 1 for a 3-D file.
	Channels int
	// Data holds the scaled values; the value of channel c at voxel (i,j,k) is
	// Data[((c*Dims[0]+i)*Dims[1]+j)*Dims[2]+k].
	//
	// Values of 64-bit integer files beyond ±2⁵³ are rounded to the nearest float64. NaN
	// and infinite values of floating-point files are preserved.
	Data []float64
	// Affine maps voxel indices (i,j,k,1) to millimeters in RAS+: x points to the right, y
	// to anterior and z to superior.
	Affine [4][4]float64
}

// Spacing returns the distance in millimeters between neighboring voxels
// along each index axis: the norms of the affine's first three columns.
func (v *Volume) Spacing() [3]float64 { return spacing(v.Affine) }

// Format is a file format.
type Format int

// The formats that can be read.
const (
	NIfTI1 Format = iota + 1
	NIfTI2
	MetaImage
)

// String returns the format's usual name.
func (f Format) String() string {
	switch f {
	case NIfTI1:
		return "NIfTI-1"
	case NIfTI2:
		return "NIfTI-2"
	case MetaImage:
		return "MetaImage"
	}
	return fmt.Sprintf("Format(%d)", int(f))
}

// Header is the information that a file contains about its image, without the voxels.
type Header struct {
	Format    Format
	Dims      [3]int        // voxels along i, j, k
	Channels  int           // length of the fourth axis, 1 for a 3-D file
	Type      DataType      // type of the stored values
	BigEndian bool          // byte order of the file
	Slope     float64       // value = Slope × stored + Inter; 1 if the file has no scaling
	Inter     float64       // 0 if the file has no scaling
	Affine    [4][4]float64 // voxel index to RAS+ millimeters, as in Volume
	// Notes says what was assumed where the header has no usable value, one sentence for
	// each assumption that affects the result.
	Notes []string

	dataFile    string // file of the voxels, "" for the header's own, pairData for a .img
	fromEnd     bool   // the voxels are the last bytes of dataFile (MetaImage)
	skip        int64  // bytes between the parsed header, or the start of dataFile, and the voxels
	interleaved bool   // channels vary fastest in the file (MetaImage)
	zlib        bool   // voxels are a zlib stream (MetaImage)
	zlibSize    int64  // length of the stream, 0 if unknown
}

// Spacing returns the voxel spacing in millimeters, like [Volume.Spacing].
func (h *Header) Spacing() [3]float64 { return spacing(h.Affine) }

// voxels returns the number of values, which checkGrid has limited to MaxVoxels.
func (h *Header) voxels() int { return h.Dims[0] * h.Dims[1] * h.Dims[2] * h.Channels }

// Read reads the image file at path. Compression, format (NIfTI-1, NIfTI-2 or MetaImage) and
// byte order are determined by the content, not by the name. Of a pair of files path may
// name either; it reads both.
func Read(path string) (*Volume, error) {
	v, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("volume: %w (%s)", err, path)
	}
	return v, nil
}

// ReadHeader reads only the header of the file at path; the voxels may be
// missing or damaged.
func ReadHeader(path string) (*Header, error) {
	h, err := readHeader(path)
	if err != nil {
		return nil, fmt.Errorf("volume: %w (%s)", err, path)
	}
	return h, nil
}

// Decode reads an image as [Read] does. It reads r to its end and tolerates up to 64 KiB
// after the voxels. In addition to the result it needs memory for the stored voxels. An
// image whose voxels are in another file is an error.
func Decode(r io.Reader) (*Volume, error) {
	h, body, err := open(r)
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	if h.dataFile != "" {
		return nil, fmt.Errorf("volume: %v: the voxels are in a separate file (%s), which only reading by file name finds", h.Format, h.dataFile)
	}
	v, err := h.decode(body)
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	return v, nil
}

// decode reads the voxels, from the end of the header or the start of their own file.
func (h *Header) decode(r *bufio.Reader) (*Volume, error) {
	data, err := readVoxels(r, h)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", h.Format, err)
	}
	return &Volume{Dims: h.Dims, Channels: h.Channels, Data: data, Affine: h.Affine}, nil
}

// DecodeHeader reads a header as [ReadHeader] does.
func DecodeHeader(r io.Reader) (*Header, error) {
	h, _, err := open(r)
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	return h, nil
}

// open decompresses gzip, recognizes the format and parses the header. The returned reader
// is positioned after the header, and h.skip bytes before the voxels.
func open(r io.Reader) (*Header, *bufio.Reader, error) {
	br, err := decompress(r)
	if err != nil {
		return nil, nil, err
	}
	start, err := br.Peek(4)
	if err == io.EOF {
		return nil, nil, fmt.Errorf("file of %d bytes is neither NIfTI nor MetaImage: %w", len(start), io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, nil, err
	}
	if name := foreignFormat(br); name != "" {
		return nil, nil, fmt.Errorf("this is a %s file; convert it to NIfTI or MetaImage", name)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(start) {
		case nifti1.headerSize:
			return openNIfTI(br, nifti1, order)
		case nifti2.headerSize:
			return openNIfTI(br, nifti2, order)
		}
	}
	if c := start[0] | 0x20; c >= 'a' && c <= 'z' {
		h, err := parseMetaImage(br)
		if err != nil {
			return nil, nil, fmt.Errorf("MetaImage: %w", err)
		}
		return h, br, nil
	}
	return nil, nil, fmt.Errorf("file starts with % x, want the header size of NIfTI-1 (348) or NIfTI-2 (540) or the text of a MetaImage header", start)
}

func openNIfTI(br *bufio.Reader, l layout, order binary.ByteOrder) (*Header, *bufio.Reader, error) {
	raw := make([]byte, l.headerSize)
	n, err := io.ReadFull(br, raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%v: header ends after %d of %d bytes: %w", l.format, n, l.headerSize, noEOF(err))
	}
	h, err := parseNIfTI(raw, l, order)
	if err != nil {
		return nil, nil, fmt.Errorf("%v: %w", l.format, err)
	}
	return h, br, nil
}

// noEOF converts io.EOF to io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkGrid checks the dimensions of an image.
func checkGrid(dims [3]int64, channels int64) error {
	total := int64(1)
	for _, d := range [...]int64{dims[0], dims[1], dims[2], channels} {
		if d < 1 {
			return fmt.Errorf("dimensions %v with %d channels, want at least 1 along each axis", dims, channels)
		}
		if d > MaxVoxels/total {
			return fmt.Errorf("dimensions %v with %d channels, want at most %d values", dims, channels, MaxVoxels)
		}
		total *= d
	}
	return nil
}
