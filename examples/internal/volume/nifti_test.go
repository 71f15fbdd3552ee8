package volume

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var orders = []binary.ByteOrder{binary.LittleEndian, binary.BigEndian}

// spec is one version of the hand-made file, with setters for the fields that the tests
// edit.
type spec struct {
	name string
	file func(binary.ByteOrder, func(byteHeader)) []byte
	f    specFields
}

var specs = []spec{
	{"NIfTI-1", spec1, specFields{
		size: 348, minOffset: 352,
		datatype: func(b byteHeader, x int16) { b.i16(70, x) },
		dim:      func(b byteHeader, xs ...int64) { b.i16(40, narrow16(xs)...) },
		pixdim:   func(b byteHeader, xs ...float64) { b.f32(76, narrow32(xs)...) },
		offset:   func(b byteHeader, x int64) { b.f32(108, float32(x)) },
		scaling:  func(b byteHeader, slope, inter float64) { b.f32(112, float32(slope), float32(inter)) },
		codes:    func(b byteHeader, q, s int16) { b.i16(252, q, s) },
		quatern:  func(b byteHeader, xs ...float64) { b.f32(256, narrow32(xs)...) },
		srow:     func(b byteHeader, xs ...float64) { b.f32(280, narrow32(xs)...) },
		magic:    func(b byteHeader, s string) { copy(b.raw[344:348], s) },
		units:    func(b byteHeader, x byte) { b.raw[123] = x },
	}},
	{"NIfTI-2", spec2, specFields{
		size: 540, minOffset: 544,
		datatype: func(b byteHeader, x int16) { b.i16(12, x) },
		dim:      func(b byteHeader, xs ...int64) { b.i64(16, xs...) },
		pixdim:   func(b byteHeader, xs ...float64) { b.f64(104, xs...) },
		offset:   func(b byteHeader, x int64) { b.i64(168, x) },
		scaling:  func(b byteHeader, slope, inter float64) { b.f64(176, slope, inter) },
		codes:    func(b byteHeader, q, s int16) { b.i32(344, int32(q), int32(s)) },
		quatern:  func(b byteHeader, xs ...float64) { b.f64(352, xs...) },
		srow:     func(b byteHeader, xs ...float64) { b.f64(400, xs...) },
		magic:    func(b byteHeader, s string) { copy(b.raw[4:12], s) },
		units:    func(b byteHeader, x byte) { b.i32(500, int32(x)) },
	}},
}

type specFields struct {
	size, minOffset int
	datatype        func(byteHeader, int16)
	dim             func(byteHeader, ...int64)
	pixdim          func(byteHeader, ...float64)
	offset          func(byteHeader, int64)
	scaling         func(b byteHeader, slope, inter float64)
	codes           func(b byteHeader, qform, sform int16)
	quatern         func(byteHeader, ...float64) // b, c, d, then qoffset x, y, z
	srow            func(byteHeader, ...float64)
	magic           func(byteHeader, string)
	units           func(byteHeader, byte)
}

func narrow16(xs []int64) []int16 {
	out := make([]int16, len(xs))
	for i, x := range xs {
		out[i] = int16(x)
	}
	return out
}

func narrow32(xs []float64) []float32 {
	out := make([]float32, len(xs))
	for i, x := range xs {
		out[i] = float32(x)
	}
	return out
}

// eachSpec runs a test on both versions and byte orders.
func eachSpec(t *testing.T, run func(t *testing.T, make func(func(byteHeader, specFields)) []byte)) {
	for _, s := range specs {
		for _, order := range orders {
			t.Run(fmt.Sprintf("%s/%v", s.name, order), func(t *testing.T) {
				run(t, func(edit func(byteHeader, specFields)) []byte {
					return s.file(order, func(b byteHeader) {
						if edit != nil {
							edit(b, s.f)
						}
					})
				})
			})
		}
	}
}

func decodeBytes(t *testing.T, file []byte) *Volume {
	t.Helper()
	v, err := Decode(bytes.NewReader(file))
	require.NoError(t, err)
	return v
}

func gzipped(t testing.TB, raw []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestHandMadeFile(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		raw := file(nil)
		for _, content := range [][]byte{raw, gzipped(t, raw)} {
			v := decodeBytes(t, content)
			assert.Equal(t, [3]int{2, 3, 1}, v.Dims)
			assert.Equal(t, 1, v.Channels)
			// The file has i fastest: 0 1 | 2 3 | 4 5 for j = 0, 1, 2.
			assert.Equal(t, []float64{0, 2, 4, 1, 3, 5}, v.Data)
			assert.Equal(t, [3]float64{2, 3, 4}, v.Spacing())
		}
		h, err := DecodeHeader(bytes.NewReader(raw[:len(raw)-12])) // no voxels
		require.NoError(t, err)
		assert.Equal(t, [3]int{2, 3, 1}, h.Dims)
		assert.Equal(t, Int16, h.Type)
		assert.Equal(t, [3]float64{2, 3, 4}, h.Spacing())
		assert.Equal(t, 1.0, h.Slope)
		assert.Zero(t, h.Inter)
	})
}

func TestHeaderNamesFormatAndByteOrder(t *testing.T) {
	for i, s := range specs {
		for _, order := range orders {
			h, err := DecodeHeader(bytes.NewReader(s.file(order, nil)))
			require.NoError(t, err)
			assert.Equal(t, Format(i+1), h.Format)
			assert.Equal(t, s.name, h.Format.String())
			assert.Equal(t, order == binary.BigEndian, h.BigEndian)
		}
	}
}

func TestAxes(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		// 1×1×2 voxels of 3 channels, with the same six values.
		v := decodeBytes(t, file(func(b byteHeader, f specFields) { f.dim(b, 4, 1, 1, 2, 3) }))
		assert.Equal(t, [3]int{1, 1, 2}, v.Dims)
		assert.Equal(t, 3, v.Channels)
		assert.Equal(t, []float64{0, 1, 2, 3, 4, 5}, v.Data)

		v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.dim(b, 7, 3, 2, 1, 1, 1, 1, 1) }))
		assert.Equal(t, [3]int{3, 2, 1}, v.Dims)
		assert.Equal(t, 1, v.Channels)

		// Unused axes may be 0, and channels may be on any axis after the third.
		v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.dim(b, 7, 3, 2, 0, 0, 0, 0, 0) }))
		assert.Equal(t, [3]int{3, 2, 1}, v.Dims)
		assert.Equal(t, 1, v.Channels)
		for _, dims := range [][]int64{{5, 1, 3, 1, 1, 2}, {5, 1, 3, 1, 0, 2}, {6, 1, 3, 1, 1, 1, 2}} {
			v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.dim(b, dims...) }))
			assert.Equal(t, [3]int{1, 3, 1}, v.Dims)
			assert.Equal(t, 2, v.Channels)
			assert.Equal(t, []float64{0, 1, 2, 3, 4, 5}, v.Data)
		}
		v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.dim(b, 2, 3, 2, 7) }))
		assert.Equal(t, [3]int{3, 2, 1}, v.Dims, "2-D")

		// Entries beyond dim[0] are ignored.
		v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.dim(b, 3, 3, 2, 1, 9, -1, 0, 5) }))
		assert.Equal(t, 1, v.Channels)
	})
}

func TestScaling(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		v := decodeBytes(t, file(func(b byteHeader, f specFields) { f.scaling(b, 0.5, -3) }))
		assert.Equal(t, []float64{-3, -2, -1, -2.5, -1.5, -0.5}, v.Data)

		v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.scaling(b, -2, 0) }))
		assert.Equal(t, []float64{0, -4, -8, -2, -6, -10}, v.Data)

		// These slopes mean no scaling, so that the intercept is ignored.
		for _, slope := range []float64{0, math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, inter := range []float64{3, math.NaN(), math.Inf(1)} {
				v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.scaling(b, slope, inter) }))
				assert.Equal(t, []float64{0, 2, 4, 1, 3, 5}, v.Data)
			}
		}
	})
}

func TestExtensionsAreSkipped(t *testing.T) {
	for _, s := range specs {
		raw := s.file(binary.LittleEndian, func(b byteHeader) {
			s.f.offset(b, int64(s.f.minOffset+32))
			b.raw[s.f.size] = 1 // extensions follow
		})
		ext := bytes.Repeat([]byte{0xee}, 32)
		binary.LittleEndian.PutUint32(ext, 32)    // esize
		binary.LittleEndian.PutUint32(ext[4:], 6) // ecode: comment
		file := append(append(append([]byte{}, raw[:s.f.minOffset]...), ext...), raw[s.f.minOffset:]...)
		v := decodeBytes(t, file)
		assert.Equal(t, []float64{0, 2, 4, 1, 3, 5}, v.Data)
	}
}

// TestTypes stores the bytes of one number of each type after a hand-made header.
func TestTypes(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		code int16
		typ  DataType
		raw  []byte // least significant byte first
		want float64
	}{
		{2, Uint8, []byte{0xfe}, 254},
		{256, Int8, []byte{0xfe}, -2},
		{4, Int16, []byte{0xfe, 0xff}, -2},
		{512, Uint16, []byte{0xfe, 0xff}, 65534},
		{8, Int32, []byte{0, 0, 0, 0x80}, -2147483648},
		{768, Uint32, []byte{0, 0, 0, 0x80}, 2147483648},
		{1024, Int64, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -1},
		{1280, Uint64, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, 9223372036854775808},
		// 2⁵³+1 is midway between two float64 values and rounds to the even one.
		{1024, Int64, le.AppendUint64(nil, 1<<53+1), 1 << 53},
		{16, Float32, le.AppendUint32(nil, 0x3e200000), 0.15625},
		{64, Float64, le.AppendUint64(nil, 0xc05ec00000000000), -123},
		{16, Float32, le.AppendUint32(nil, 0x7f800000), math.Inf(1)},
	} {
		eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
			raw := file(func(b byteHeader, f specFields) {
				f.datatype(b, c.code)
				f.dim(b, 3, 1, 1, 1)
			})
			raw = raw[:len(raw)-12]
			big := binary.BigEndian.Uint32(raw) < 1000
			for i := range c.raw {
				if big {
					i = len(c.raw) - 1 - i
				}
				raw = append(raw, c.raw[i])
			}
			v := decodeBytes(t, raw)
			assert.Equal(t, []float64{c.want}, v.Data, "%v", c.typ)
			h, err := DecodeHeader(bytes.NewReader(raw))
			require.NoError(t, err)
			assert.Equal(t, c.typ, h.Type)
		})
	}
}

func TestNaNVoxelsArePreserved(t *testing.T) {
	raw := spec1(binary.LittleEndian, func(b byteHeader) {
		b.i16(70, 16)
		b.i16(40, 3, 1, 1, 1)
	})
	raw = binary.LittleEndian.AppendUint32(raw[:352], 0x7fc00000)
	v := decodeBytes(t, raw)
	assert.True(t, math.IsNaN(v.Data[0]))
}

func TestHostileHeaders(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	const maxDim = math.MaxInt16
	for _, c := range []struct {
		name string
		edit func(b byteHeader, f specFields)
		says string
	}{
		{"float128", func(b byteHeader, f specFields) { f.datatype(b, 1536) }, "float128"},
		{"complex64", func(b byteHeader, f specFields) { f.datatype(b, 32) }, "complex64"},
		{"complex128", func(b byteHeader, f specFields) { f.datatype(b, 1792) }, "complex128"},
		{"complex256", func(b byteHeader, f specFields) { f.datatype(b, 2048) }, "complex256"},
		{"rgb", func(b byteHeader, f specFields) { f.datatype(b, 128) }, "rgb24"},
		{"rgba", func(b byteHeader, f specFields) { f.datatype(b, 2304) }, "rgba32"},
		{"bits", func(b byteHeader, f specFields) { f.datatype(b, 1) }, "binary"},
		{"no type", func(b byteHeader, f specFields) { f.datatype(b, 0) }, "unknown"},
		{"undefined type", func(b byteHeader, f specFields) { f.datatype(b, -7) }, "-7"},
		{"no axes", func(b byteHeader, f specFields) { f.dim(b, 0) }, "dim[0]"},
		{"8 axes", func(b byteHeader, f specFields) { f.dim(b, 8) }, "dim[0]"},
		{"negative axes", func(b byteHeader, f specFields) { f.dim(b, -3) }, "dim[0]"},
		{"1-D", func(b byteHeader, f specFields) { f.dim(b, 1, 6) }, "dim[0]"},
		{"time and vector", func(b byteHeader, f specFields) { f.dim(b, 5, 1, 1, 1, 2, 3) }, "dim[4] is 2 and dim[5] is 3"},
		{"7-D with -1", func(b byteHeader, f specFields) { f.dim(b, 7, 2, 3, 1, 1, 1, 1, -1) }, "at least 1"},
		{"empty axis", func(b byteHeader, f specFields) { f.dim(b, 3, 2, 0, 1) }, "at least 1"},
		{"negative axis", func(b byteHeader, f specFields) { f.dim(b, 3, -2, -3, 1) }, "at least 1"},
		{"too many voxels", func(b byteHeader, f specFields) { f.dim(b, 4, maxDim, maxDim, maxDim, maxDim) }, "at most"},
		{"claims more than it has", func(b byteHeader, f specFields) { f.dim(b, 3, 1024, 1024, 1023) }, "ends after 12 of"},
		{"pair of files", func(b byteHeader, f specFields) { b.raw[bytes.IndexByte(b.raw, 'n')+1] = 'i' }, ".img"},
		{"wrong magic", func(b byteHeader, f specFields) { f.magic(b, "nii\x00") }, "magic"},
		{"no magic", func(b byteHeader, f specFields) { f.magic(b, "\x00\x00\x00\x00") }, "magic"},
		{"offset in the header", func(b byteHeader, f specFields) { f.offset(b, int64(f.minOffset-1)) }, "vox_offset"},
		{"offset 0", func(b byteHeader, f specFields) { f.offset(b, 0) }, "vox_offset"},
		{"negative offset", func(b byteHeader, f specFields) { f.offset(b, -352) }, "vox_offset"},
		{"offset beyond the end", func(b byteHeader, f specFields) { f.offset(b, 1<<40) }, "before its voxels"},
		{"NaN intercept", func(b byteHeader, f specFields) { f.scaling(b, 1, nan) }, "scl_inter"},
		{"infinite intercept", func(b byteHeader, f specFields) { f.scaling(b, 2, inf) }, "scl_inter"},
		{"other qfac", func(b byteHeader, f specFields) { f.codes(b, 1, 0); f.pixdim(b, -2) }, "pixdim[0]"},
		{"long quaternion", func(b byteHeader, f specFields) { f.codes(b, 1, 0); f.quatern(b, 0.9, 0.9, 0) }, "quaternion"},
		{"NaN quaternion", func(b byteHeader, f specFields) { f.codes(b, 1, 0); f.quatern(b, 0, nan, 0) }, "quaternion"},
		{"NaN qoffset", func(b byteHeader, f specFields) { f.codes(b, 1, 0); f.quatern(b, 0, 0, 0, 0, nan) }, "affine"},
		{"NaN shift of the sform", func(b byteHeader, f specFields) {
			f.codes(b, 0, 1)
			f.srow(b, 1, 0, 0, nan, 0, 1, 0, 0, 0, 0, 1, 0)
		}, "finite"},
		{"singular sform", func(b byteHeader, f specFields) {
			f.codes(b, 0, 1)
			f.srow(b, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0)
		}, "singular"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
				raw := file(c.edit)
				for _, content := range [][]byte{raw, gzipped(t, raw)} {
					var err error
					allocated := allocates(func() { _, err = Decode(bytes.NewReader(content)) })
					require.ErrorContains(t, err, c.says)
					assert.Less(t, allocated, uint64(1<<20), "bytes allocated")
				}
			})
		})
	}
}

// allocates returns the total number of heap bytes that run allocates.
func allocates(run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestOverflowOfTheProduct uses dimensions whose product is 0 or small when it wraps around
// 64 bits.
func TestOverflowOfTheProduct(t *testing.T) {
	for _, dims := range [][]int64{
		{4, 1 << 32, 1 << 32, 1, 1},
		{4, 1 << 16, 1 << 16, 1 << 16, 1 << 16},
		{3, math.MaxInt64, math.MaxInt64, 1},
		{3, math.MaxInt64, 3, 3},
		{3, 1<<63 - 1, 1, 1},
		{3, math.MinInt64, math.MinInt64, 1},
	} {
		_, err := Decode(bytes.NewReader(spec2(binary.LittleEndian, func(b byteHeader) { b.i64(16, dims...) })))
		require.Error(t, err, "%v", dims)
		assert.Contains(t, err.Error(), "dimensions", "%v", dims)
	}
}

func TestFractionalOffset(t *testing.T) {
	for _, x := range []float32{352.5, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 3e38} {
		_, err := Decode(bytes.NewReader(spec1(binary.LittleEndian, func(b byteHeader) { b.f32(108, x) })))
		assert.ErrorContains(t, err, "vox_offset", "%g", x)
	}
}

func TestTruncatedAnywhere(t *testing.T) {
	for _, s := range specs {
		raw := s.file(binary.BigEndian, nil)
		for n := range raw {
			_, err := Decode(bytes.NewReader(raw[:n]))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s cut at %d", s.name, n)
		}
		packed := gzipped(t, raw)
		for n := range packed {
			_, err := Decode(bytes.NewReader(packed[:n]))
			require.Error(t, err, "%s.gz cut at %d", s.name, n)
		}
	}
}

func TestGzipChecksum(t *testing.T) {
	packed := gzipped(t, spec1(binary.LittleEndian, nil))
	packed[len(packed)-8] ^= 1 // first byte of the CRC
	_, err := Decode(bytes.NewReader(packed))
	assert.ErrorContains(t, err, "checksum")
}

// TestGzipBomb checks that memory is limited for a stream that expands far beyond the size
// in its header, and for a short stream whose header claims a large size.
func TestGzipBomb(t *testing.T) {
	bomb := gzipped(t, append(spec1(binary.LittleEndian, nil), make([]byte, 16<<20)...))
	var err error
	allocated := allocates(func() { _, err = Decode(bytes.NewReader(bomb)) })
	require.ErrorContains(t, err, "follow the voxels")
	assert.Less(t, allocated, uint64(1<<20))

	claims := spec2(binary.LittleEndian, func(b byteHeader) { b.i64(16, 3, 1<<10, 1<<10, 1<<10) })
	short := gzipped(t, append(claims, make([]byte, 1<<20)...))
	allocated = allocates(func() { _, err = Decode(bytes.NewReader(short)) })
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Less(t, allocated, uint64(8<<20))
}

func TestPaddingIsTolerated(t *testing.T) {
	raw := append(spec1(binary.LittleEndian, nil), make([]byte, maxPadding)...)
	assert.Equal(t, []float64{0, 2, 4, 1, 3, 5}, decodeBytes(t, raw).Data)
	_, err := Decode(bytes.NewReader(append(raw, 0)))
	assert.ErrorContains(t, err, "follow the voxels")
}

func TestNeitherFormat(t *testing.T) {
	for _, content := range []string{"", "a", "abc", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x89PNG\r\n\x1a\n", "\x1f\x8b", "\x1f\x8bxxxxxxxxxxxx"} {
		_, err := Decode(bytes.NewReader([]byte(content)))
		assert.Error(t, err, "%q", content)
	}
}

// TestScalingOverflow checks that scaling never turns a finite value into an infinite one.
func TestScalingOverflow(t *testing.T) {
	raw := spec2(binary.LittleEndian, func(b byteHeader) {
		b.i64(16, 3, 1, 1, 1)
		b.i16(12, 64)
		b.f64(176, 1e300, 0)
	})
	raw = binary.LittleEndian.AppendUint64(raw[:544], math.Float64bits(1e300))
	_, err := Decode(bytes.NewReader(raw))
	assert.ErrorIs(t, err, errOverflow)
}
