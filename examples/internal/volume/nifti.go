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
	switch magic := string(raw[l.magicAt : l.magicAt+len(l.magic)]); magic {
	case l.magic:
	case l.pairMagic:
		return nil, fmt.Errorf("magic %q: the voxels are in a separate .img file, want a single file (magic %q)", magic, l.magic)
	default:
		return nil, fmt.Errorf("magic %q, want %q", magic, l.magic)
	}
	h := &Header{
		Format:    l.format,
		Type:      DataType(int16(order.Uint16(raw[l.datatype:]))),
		BigEndian: order == binary.BigEndian,
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

func (f fields) parseDims(h *Header) error {
	n := f.dim(0)
	if n < 3 || n > 7 {
		return fmt.Errorf("dim[0] is %d, want an image with 3 or 4 axes", n)
	}
	dims, channels := [3]int64{f.dim(1), f.dim(2), f.dim(3)}, int64(1)
	if n >= 4 {
		channels = f.dim(4)
	}
	for i := 5; i <= int(n); i++ {
		if d := f.dim(i); d != 1 {
			return fmt.Errorf("dim[%d] is %d, want 1 for an image with 3 or 4 axes", i, d)
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
	if offset < f.l.minOffset() {
		return fmt.Errorf("vox_offset is %d, want at least %d", offset, f.l.minOffset())
	}
	h.skip = offset - int64(f.l.headerSize)
	return nil
}

func (f fields) parseScaling(h *Header) error {
	slope, inter := f.float(f.l.slope, 0), f.float(f.l.inter, 0)
	if slope == 0 { // by the standard, the values are not scaled
		h.Slope, h.Inter = 1, 0
		return nil
	}
	if !finite(slope) || !finite(inter) {
		return fmt.Errorf("scl_slope %g and scl_inter %g, want finite numbers", slope, inter)
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
	var zooms [3]float64
	for i := range zooms {
		zooms[i] = f.float(f.l.pixdim, i+1)
		if !finite(zooms[i]) {
			return fmt.Errorf("pixdim[%d] is %g, want a finite number", i+1, zooms[i])
		}
		zooms[i] = math.Abs(zooms[i]) // old writers use the sign to mark a flipped axis
	}
	var a [4][4]float64
	a[3][3] = 1
	switch {
	case f.code(f.l.sformCode) > 0:
		for i := range 3 {
			for c := range 4 {
				a[i][c] = f.float(f.l.srow, 4*i+c)
			}
		}
	case f.code(f.l.qformCode) > 0:
		q := qform{
			b: f.float(f.l.quatern, 0), c: f.float(f.l.quatern, 1), d: f.float(f.l.quatern, 2),
			zooms: zooms, qfac: f.float(f.l.pixdim, 0),
			offset: [3]float64{f.float(f.l.qoffset, 0), f.float(f.l.qoffset, 1), f.float(f.l.qoffset, 2)},
		}
		switch q.qfac {
		case 1, -1:
		case 0:
			q.qfac = 1 // required by the standard
		default:
			return fmt.Errorf("pixdim[0] is %g, want 1 or -1 with a qform", q.qfac)
		}
		var err error
		if a, err = q.affine(); err != nil {
			return err
		}
	default:
		for i := range 3 {
			a[i][i] = zooms[i]
			a[i][3] = -zooms[i] * float64(h.Dims[i]-1) / 2
		}
		a[0][0], a[0][3] = -a[0][0], -a[0][3]
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

// unitByte returns the position of the low byte of xyzt_units, which has one byte in
// version 1 and four in version 2.
func (f fields) unitByte() int {
	if f.l.wide && f.order == binary.BigEndian {
		return 3
	}
	return 0
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
