package volume

import (
	"bytes"
	"encoding/binary"
	"math"
)

// byteHeader builds a NIfTI header byte by byte at the offsets given in the standard,
// independently of the package's own layout, so that the parser is not only tested against
// the writer.
type byteHeader struct {
	raw   []byte
	order binary.ByteOrder
}

func (b byteHeader) i16(off int, xs ...int16) {
	for i, x := range xs {
		b.order.PutUint16(b.raw[off+2*i:], uint16(x))
	}
}

func (b byteHeader) i32(off int, xs ...int32) {
	for i, x := range xs {
		b.order.PutUint32(b.raw[off+4*i:], uint32(x))
	}
}

func (b byteHeader) i64(off int, xs ...int64) {
	for i, x := range xs {
		b.order.PutUint64(b.raw[off+8*i:], uint64(x))
	}
}

func (b byteHeader) f32(off int, xs ...float32) {
	for i, x := range xs {
		b.order.PutUint32(b.raw[off+4*i:], math.Float32bits(x))
	}
}

func (b byteHeader) f64(off int, xs ...float64) {
	for i, x := range xs {
		b.order.PutUint64(b.raw[off+8*i:], math.Float64bits(x))
	}
}

// spec1 returns a NIfTI-1 file of 2×3×1 int16 voxels with the values 0, 1, … in the order of
// the file, spacing 2×3×4 mm and neither sform nor qform. edit modifies its header.
func spec1(order binary.ByteOrder, edit func(byteHeader)) []byte {
	b := byteHeader{make([]byte, 352), order}
	b.i32(0, 348)                     // sizeof_hdr
	b.i16(40, 3, 2, 3, 1, 1, 1, 1, 1) // dim
	b.i16(70, 4, 16)                  // datatype DT_INT16, bitpix
	b.f32(76, 1, 2, 3, 4, 1, 1, 1, 1) // pixdim
	b.f32(108, 352)                   // vox_offset
	b.raw[123] = 2                    // xyzt_units: NIFTI_UNITS_MM
	copy(b.raw[344:], "n+1\x00")      // magic
	return specFile(b, edit, []int16{0, 1, 2, 3, 4, 5})
}

// spec2 returns the same image as NIfTI-2.
func spec2(order binary.ByteOrder, edit func(byteHeader)) []byte {
	b := byteHeader{make([]byte, 544), order}
	b.i32(0, 540)                              // sizeof_hdr
	copy(b.raw[4:], "n+2\x00\x0d\x0a\x1a\x0a") // magic
	b.i16(12, 4, 16)                           // datatype, bitpix
	b.i64(16, 3, 2, 3, 1, 1, 1, 1, 1)          // dim
	b.f64(104, 1, 2, 3, 4, 1, 1, 1, 1)         // pixdim
	b.i64(168, 544)                            // vox_offset
	b.i32(500, 2)                              // xyzt_units
	return specFile(b, edit, []int16{0, 1, 2, 3, 4, 5})
}

func specFile(b byteHeader, edit func(byteHeader), values []int16) []byte {
	if edit != nil {
		edit(b)
	}
	var out bytes.Buffer
	out.Write(b.raw)
	for _, x := range values {
		var two [2]byte
		b.order.PutUint16(two[:], uint16(x))
		out.Write(two[:])
	}
	return out.Bytes()
}

// filledVolume returns a volume whose value at (c,i,j,k) is value(c,i,j,k).
func filledVolume(dims [3]int, channels int, affine [4][4]float64, value func(c, i, j, k int) float64) *Volume {
	v := &Volume{Dims: dims, Channels: channels, Affine: affine}
	for c := range channels {
		for i := range dims[0] {
			for j := range dims[1] {
				for k := range dims[2] {
					v.Data = append(v.Data, value(c, i, j, k))
				}
			}
		}
	}
	return v
}
