package volume

import (
	"encoding/binary"
	"fmt"
	"math"
)

// layout holds the byte offsets of the fields of a NIfTI header and their widths: version 1
// uses the fields of ANALYZE 7.5, version 2 widens and reorders them.
type layout struct {
	format     Format
	headerSize uint32
	magic      string
	pairMagic  string // magic of a .hdr/.img pair
	wide       bool   // version 2: int64 dim and vox_offset, float64, int32 codes

	magicAt, datatype, bitpix, dim, pixdim, voxOffset, slope, inter, units int
	qformCode, sformCode, quatern, qoffset, srow                           int
}

var nifti1 = layout{
	format: NIfTI1, headerSize: 348, magic: "n+1\x00", pairMagic: "ni1\x00",
	magicAt: 344, datatype: 70, bitpix: 72, dim: 40, pixdim: 76, voxOffset: 108,
	slope: 112, inter: 116, units: 123,
	qformCode: 252, sformCode: 254, quatern: 256, qoffset: 268, srow: 280,
}

// As in PNG, the magic of version 2 ends with four bytes that are damaged by transfers
// that convert line endings or strip the eighth bit.
var nifti2 = layout{
	format: NIfTI2, headerSize: 540, magic: "n+2\x00\r\n\x1a\n", pairMagic: "ni2\x00\r\n\x1a\n", wide: true,
	magicAt: 4, datatype: 12, bitpix: 14, dim: 16, pixdim: 104, voxOffset: 168,
	slope: 176, inter: 184, units: 500,
	qformCode: 344, sformCode: 348, quatern: 352, qoffset: 376, srow: 400,
}

// minOffset returns the smallest possible offset of the voxels, after the header and the
// four bytes that indicate whether extensions follow.
func (l layout) minOffset() int64 { return int64(l.headerSize) + 4 }

// fields reads and writes the fields of a header with the layout's widths.
type fields struct {
	raw   []byte
	l     layout
	order binary.ByteOrder
}

// float returns element i of the floating-point numbers at off.
func (f fields) float(off, i int) float64 {
	if f.l.wide {
		return math.Float64frombits(f.order.Uint64(f.raw[off+8*i:]))
	}
	return float64(math.Float32frombits(f.order.Uint32(f.raw[off+4*i:])))
}

func (f fields) setFloat(off, i int, x float64) {
	if f.l.wide {
		f.order.PutUint64(f.raw[off+8*i:], math.Float64bits(x))
	} else {
		f.order.PutUint32(f.raw[off+4*i:], math.Float32bits(float32(x)))
	}
}

// dim returns dim[i].
func (f fields) dim(i int) int64 {
	if f.l.wide {
		return int64(f.order.Uint64(f.raw[f.l.dim+8*i:]))
	}
	return int64(int16(f.order.Uint16(f.raw[f.l.dim+2*i:])))
}

func (f fields) setDim(i int, n int64) {
	if f.l.wide {
		f.order.PutUint64(f.raw[f.l.dim+8*i:], uint64(n))
	} else {
		f.order.PutUint16(f.raw[f.l.dim+2*i:], uint16(n))
	}
}

// code returns the qform or sform code at off.
func (f fields) code(off int) int32 {
	if f.l.wide {
		return int32(f.order.Uint32(f.raw[off:]))
	}
	return int32(int16(f.order.Uint16(f.raw[off:])))
}

func (f fields) setCode(off int, code int32) {
	if f.l.wide {
		f.order.PutUint32(f.raw[off:], uint32(code))
	} else {
		f.order.PutUint16(f.raw[off:], uint16(code))
	}
}

// parseNIfTI checks a header and returns the parts needed for reading. It ignores bitpix,
// which the standard derives from datatype.
func parseNIfTI(raw []byte, l layout, order binary.ByteOrder) (*Header, error) {
	f := fields{raw: raw, l: l, order: order}
	h := &Header{
		Format:    l.format,
		Type:      DataType(int16(order.Uint16(raw[l.datatype:]))),
		BigEndian: order == binary.BigEndian,
	}
	switch magic := string(raw[l.magicAt : l.magicAt+len(l.magic)]); magic {
	case l.magic:
	case l.pairMagic:
		h.dataFile = pairData
	case "\x00\x00\x00\x00":
		return nil, fmt.Errorf("magic %q: this is an ANALYZE 7.5 header, which does not define the orientation of the image; convert the file to NIfTI", magic)
	default:
		return nil, fmt.Errorf("magic %q, want %q or, with the voxels in a .img file, %q", magic, l.magic, l.pairMagic)
	}
	if err := h.Type.check(); err != nil {
		return nil, err
	}
	if err := f.parseDims(h); err != nil {
		return nil, err
	}
	if err := f.parseOffset(h); err != nil {
		return nil, err
	}
	if err := f.parseScaling(h); err != nil {
		return nil, err
	}
	if err := f.parseAffine(h); err != nil {
		return nil, err
	}
	return h, nil
}

// parseDims reads up to three axes of space and one of channels. An axis after the second
// that is 0 is unused, as in the NIfTI library; other lengths below 1 are errors.
func (f fields) parseDims(h *Header) error {
	axes := f.dim(0)
	if axes < 2 || axes > 7 {
		return fmt.Errorf("dim[0] is %d, want the number of axes, 2 to 7", axes)
	}
	dims, channels, channelAxis := [3]int64{1, 1, 1}, int64(1), 0
	for i := 1; i <= int(axes); i++ {
		d := f.dim(i)
		if d == 0 && i > 2 {
			d = 1
		}
		switch {
		case i <= 3:
			dims[i-1] = d
		case d == 1:
		case channelAxis != 0:
			return fmt.Errorf("dim[%d] is %d and dim[%d] is %d, want an image with one axis of channels beyond its three axes of space",
				channelAxis, channels, i, d)
		default:
			channels, channelAxis = d, i
		}
	}
	if err := checkGrid(dims, channels); err != nil {
		return err
	}
	h.Dims = [3]int{int(dims[0]), int(dims[1]), int(dims[2])}
	h.Channels = int(channels)
	return nil
}

func (f fields) parseOffset(h *Header) error {
	var offset int64
	if f.l.wide {
		offset = int64(f.order.Uint64(f.raw[f.l.voxOffset:]))
	} else {
		x := f.float(f.l.voxOffset, 0)
		// No file is longer than 2⁵³ bytes; the bound makes the conversion to an integer
		// well defined.
		if !(math.Abs(x) < 1<<53) || x != math.Trunc(x) {
			return fmt.Errorf("vox_offset is %g, want an integer number of bytes", x)
		}
		offset = int64(x)
	}
	if h.dataFile != "" {
		if offset < 0 {
			return fmt.Errorf("vox_offset is %d, want a position in the .img file", offset)
		}
		h.skip = offset
		return nil
	}
	if offset < f.l.minOffset() {
		return fmt.Errorf("vox_offset is %d, want at least %d, the end of the header", offset, f.l.minOffset())
	}
	h.skip = offset - int64(f.l.headerSize)
	return nil
}

// parseScaling reads the linear map of the values. A slope of 0 means no scaling by the
// standard, and one that is not finite cannot mean any; nibabel and the NIfTI library agree.
// A finite slope without a finite intercept is an error, as in nibabel: the values would be
// off by an unknown amount.
func (f fields) parseScaling(h *Header) error {
	slope, inter := f.float(f.l.slope, 0), f.float(f.l.inter, 0)
	if slope == 0 || !finite(slope) {
		h.Slope, h.Inter = 1, 0
		return nil
	}
	if !finite(inter) {
		return fmt.Errorf("scl_slope is %g but scl_inter is %g, want a finite number: the values are scaled by an unknown amount", slope, inter)
	}
	h.Slope, h.Inter = slope, inter
	return nil
}

// Units of length in the low three bits of xyzt_units.
const (
	unitMeter  = 1
	unitMM     = 2
	unitMicron = 3
)

func (f fields) parseAffine(h *Header) error {
	a, hasSform := f.sform()
	switch {
	case hasSform:
		if h.Dims[2] == 1 && column(a, 2) == [3]float64{} {
			// Writers of 2-D images leave the third axis zero. The slice is in the plane of
			// the other two.
			zooms, _ := f.zooms()
			a = withNormal(a, zooms[2])
		}
	case f.code(f.l.qformCode) > 0:
		zooms, notes := f.zooms()
		q := qform{
			b: f.float(f.l.quatern, 0), c: f.float(f.l.quatern, 1), d: f.float(f.l.quatern, 2),
			zooms: zooms, qfac: 1,
			offset: [3]float64{f.float(f.l.qoffset, 0), f.float(f.l.qoffset, 1), f.float(f.l.qoffset, 2)},
		}
		// Every value but −1 means 1: the standard says so of 0, and nibabel and the NIfTI
		// library take other positive ones and NaN so. They disagree on −2.
		if qfac := f.float(f.l.pixdim, 0); qfac == -1 {
			q.qfac = -1
		} else if qfac < 0 {
			return fmt.Errorf("pixdim[0] is %g, want 1 or -1 with a qform", qfac)
		}
		var err error
		if a, err = q.affine(); err != nil {
			return err
		}
		h.Notes = append(h.Notes, notes...)
	default:
		zooms, notes := f.zooms()
		a = [4][4]float64{3: {3: 1}}
		for i := range 3 {
			a[i][i] = zooms[i]
			a[i][3] = -zooms[i] * float64(h.Dims[i]-1) / 2
		}
		a[0][0], a[0][3] = -a[0][0], -a[0][3]
		h.Notes = append(h.Notes, notes...)
	}
	scale := 1.0
	switch f.raw[f.l.units+f.unitByte()] & 7 {
	case unitMeter:
		scale = 1e3
	case unitMicron:
		scale = 1e-3
	}
	for i := range 3 {
		for c := range 4 {
			a[i][c] *= scale
		}
	}
	h.Affine = a
	return checkAffine(a)
}

// sform returns the sform. ok is false if its code says that there is none, or if its matrix
// is zero or has an entry that is not finite, which some writers leave beside a good qform.
func (f fields) sform() (a [4][4]float64, ok bool) {
	if f.code(f.l.sformCode) <= 0 {
		return a, false
	}
	for i := range 3 {
		for c := range 4 {
			a[i][c] = f.float(f.l.srow, 4*i+c)
			if c < 3 && !finite(a[i][c]) {
				return a, false
			}
			ok = ok || c < 3 && a[i][c] != 0
		}
	}
	a[3][3] = 1
	return a, ok
}

// zooms returns the voxel sizes in pixdim, and a note on each that had to be assumed. Old
// writers mark a flipped axis by a negative size.
func (f fields) zooms() (zooms [3]float64, notes []string) {
	for i := range zooms {
		x := math.Abs(f.float(f.l.pixdim, i+1))
		if x == 0 || !finite(x) {
			if int64(i) < f.dim(0) {
				notes = append(notes, fmt.Sprintf("the voxel size along axis %d (pixdim[%d]) is %g, taken as 1", i+1, i+1, x))
			}
			x = 1
		}
		zooms[i] = x
	}
	return zooms, notes
}

// unitByte returns the position of the low byte of xyzt_units, which has one byte in
// version 1 and four in version 2.
func (f fields) unitByte() int {
	if f.l.wide && f.order == binary.BigEndian {
		return 3
	}
	return 0
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
