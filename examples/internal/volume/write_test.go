package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var allTypes = []DataType{Uint8, Int8, Uint16, Int16, Uint32, Int32, Uint64, Int64, Float32, Float64}

var identity = [4][4]float64{{1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}}

func encodeBytes(t testing.TB, v *Volume, o WriteOptions) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, encode(&buf, v, o))
	return buf.Bytes()
}

// randomOf returns a value that the type represents exactly, often an extreme one.
func randomOf(rng *rand.Rand, t DataType) float64 {
	switch t {
	case Float32:
		special := []float64{math.MaxFloat32, math.SmallestNonzeroFloat32, math.Inf(1), math.Copysign(0, -1), math.NaN()}
		if n := rng.IntN(20); n < len(special) {
			return special[n]
		}
		return float64(float32(rng.NormFloat64() * 1e3))
	case Float64:
		special := []float64{math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(-1), math.Copysign(0, -1), math.NaN()}
		if n := rng.IntN(20); n < len(special) {
			return special[n]
		}
		return rng.NormFloat64() * 1e3
	}
	lo, end := t.integerRange()
	largest := end - 1
	if t.Size() == 8 {
		largest = math.Nextafter(end, 0)
	}
	switch rng.IntN(10) {
	case 0:
		return lo
	case 1:
		return largest
	}
	return min(math.Floor(lo+rng.Float64()*(end-lo)), largest)
}

// sameBits compares values bitwise, except that any NaN equals any other.
func sameBits(t *testing.T, want, got []float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, x := range want {
		if math.Float64bits(x) != math.Float64bits(got[i]) && !(math.IsNaN(x) && math.IsNaN(got[i])) {
			require.Failf(t, "values differ", "at %d: want %v, got %v", i, x, got[i])
		}
	}
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	// Odd sizes, thinner and thicker than the slabs used for transposing.
	grids := [][3]int{{1, 1, 1}, {3, 5, 7}, {1, 2, 17}, {13, 1, 9}, {2, 3, 8}}
	for _, typ := range allTypes {
		for version := 1; version <= 2; version++ {
			for _, big := range []bool{false, true} {
				for _, ext := range []string{".nii", ".nii.gz"} {
					for _, channels := range []int{1, 4} {
						name := fmt.Sprintf("%v-v%d-big=%v-%dch%s", typ, version, big, channels, ext)
						dims := grids[rng.IntN(len(grids))]
						want := filledVolume(dims, channels, identity, func(c, i, j, k int) float64 { return randomOf(rng, typ) })
						want.Affine[1][3] = -12.5
						path := filepath.Join(dir, name)
						require.NoError(t, Write(path, want, WriteOptions{Type: typ, Version: version, BigEndian: big}), name)
						got, err := Read(path)
						require.NoError(t, err, name)
						assert.Equal(t, want.Dims, got.Dims, name)
						assert.Equal(t, want.Channels, got.Channels, name)
						assert.Equal(t, want.Affine, got.Affine, name)
						sameBits(t, want.Data, got.Data)
						h, err := ReadHeader(path)
						require.NoError(t, err, name)
						assert.Equal(t, typ, h.Type, name)
						assert.Equal(t, big, h.BigEndian, name)
						assert.Equal(t, Format(version), h.Format, name)
					}
				}
			}
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	assert.Empty(t, left, "temporary files")
}

// TestFileOrder checks in the raw bytes that i varies fastest and the channel slowest.
func TestFileOrder(t *testing.T) {
	v := filledVolume([3]int{2, 3, 2}, 2, identity, func(c, i, j, k int) float64 {
		return float64(1000*c + 100*k + 10*j + i)
	})
	raw := encodeBytes(t, v, WriteOptions{Type: Uint16, BigEndian: true})
	var got []uint16
	for b := raw[352:]; len(b) > 0; b = b[2:] {
		got = append(got, binary.BigEndian.Uint16(b))
	}
	assert.Equal(t, []uint16{
		0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121,
		1000, 1001, 1010, 1011, 1020, 1021, 1100, 1101, 1110, 1111, 1120, 1121,
	}, got)
}

// TestWrittenHeader checks the fields that other readers rely on, at the offsets given in
// the standard.
func TestWrittenHeader(t *testing.T) {
	v := filledVolume([3]int{2, 3, 4}, 5, identity, func(c, i, j, k int) float64 { return 0 })
	raw := encodeBytes(t, v, WriteOptions{Type: Int16, Slope: 0.5, Inter: 2})
	le := binary.LittleEndian
	assert.Equal(t, uint32(348), le.Uint32(raw))
	assert.Equal(t, "n+1\x00", string(raw[344:348]))
	assert.Equal(t, []byte{0, 0, 0, 0}, raw[348:352])
	for i, want := range []uint16{4, 2, 3, 4, 5, 1, 1, 1} {
		assert.Equal(t, want, le.Uint16(raw[40+2*i:]), "dim[%d]", i)
	}
	assert.Equal(t, uint16(4), le.Uint16(raw[70:]), "datatype")
	assert.Equal(t, uint16(16), le.Uint16(raw[72:]), "bitpix")
	assert.Equal(t, float32(352), math.Float32frombits(le.Uint32(raw[108:])), "vox_offset")
	assert.Equal(t, float32(0.5), math.Float32frombits(le.Uint32(raw[112:])), "scl_slope")
	assert.Equal(t, float32(2), math.Float32frombits(le.Uint32(raw[116:])), "scl_inter")
	assert.Equal(t, byte(2), raw[123], "xyzt_units")
	assert.Len(t, raw, 352+2*120)

	v = filledVolume([3]int{2, 3, 4}, 1, identity, func(c, i, j, k int) float64 { return 0 })
	raw = encodeBytes(t, v, WriteOptions{Type: Uint8, Version: 2, BigEndian: true})
	be := binary.BigEndian
	assert.Equal(t, uint32(540), be.Uint32(raw))
	assert.Equal(t, "n+2\x00\r\n\x1a\n", string(raw[4:12]))
	for i, want := range []uint64{3, 2, 3, 4, 1, 1, 1, 1} {
		assert.Equal(t, want, be.Uint64(raw[16+8*i:]), "dim[%d]", i)
	}
	assert.Equal(t, uint16(2), be.Uint16(raw[12:]), "datatype")
	assert.Equal(t, uint16(8), be.Uint16(raw[14:]), "bitpix")
	assert.Equal(t, uint64(544), be.Uint64(raw[168:]), "vox_offset")
	assert.Equal(t, 1.0, math.Float64frombits(be.Uint64(raw[176:])), "scl_slope")
	assert.Equal(t, uint32(2), be.Uint32(raw[500:]), "xyzt_units")
	assert.Len(t, raw, 544+24)
}

func TestRoundingAndRange(t *testing.T) {
	one := func(x float64) *Volume {
		return filledVolume([3]int{1, 1, 1}, 1, identity, func(c, i, j, k int) float64 { return x })
	}
	for _, c := range []struct {
		typ       DataType
		in, want  float64
		overflows bool
	}{
		{Uint8, 0.5, 0, false}, {Uint8, 1.5, 2, false}, {Uint8, 2.5, 2, false},
		{Uint8, -0.5, 0, false}, {Uint8, -0.51, 0, true},
		{Uint8, 255.49, 255, false}, {Uint8, 255.5, 0, true}, {Uint8, 256, 0, true},
		{Int8, -128.5, -128, false}, {Int8, -129, 0, true}, {Int8, 127.5, 0, true},
		{Uint16, 65535, 65535, false}, {Uint16, 65536, 0, true},
		{Int16, -32768, -32768, false}, {Int16, 32768, 0, true},
		{Uint32, 1<<32 - 1, 1<<32 - 1, false}, {Uint32, 1 << 32, 0, true},
		{Int32, -1 << 31, -1 << 31, false}, {Int32, 1 << 31, 0, true},
		{Uint64, 1<<64 - 2048, 1<<64 - 2048, false}, {Uint64, 1 << 64, 0, true}, {Uint64, -1, 0, true},
		{Int64, -1 << 63, -1 << 63, false}, {Int64, 1 << 63, 0, true},
		{Int64, math.Inf(1), 0, true}, {Uint64, math.Inf(-1), 0, true},
		{Uint8, math.NaN(), 0, true}, {Int64, math.NaN(), 0, true},
		{Float32, 0.1, float64(float32(0.1)), false},
		{Float32, 1e39, 0, true}, {Float32, -1e39, 0, true}, {Float32, math.Inf(1), math.Inf(1), false},
		{Float64, -1e308, -1e308, false},
	} {
		var buf bytes.Buffer
		err := encode(&buf, one(c.in), WriteOptions{Type: c.typ})
		if c.overflows {
			assert.ErrorContains(t, err, "does not fit in "+c.typ.String(), "%g", c.in)
			continue
		}
		require.NoError(t, err, "%g in %v", c.in, c.typ)
		assert.Equal(t, c.want, decodeBytes(t, buf.Bytes()).Data[0], "%g in %v", c.in, c.typ)
	}
}

// TestWriteScaled checks that multiples of the slope, relative to the intercept, are
// restored exactly, and other values within half the slope.
func TestWriteScaled(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for version := 1; version <= 2; version++ {
		v := filledVolume([3]int{3, 4, 11}, 2, identity, func(c, i, j, k int) float64 { return rng.Float64()*100 - 20 })
		o := WriteOptions{Type: Int16, Version: version, Slope: 0.1, Inter: 7.3}
		got := decodeBytes(t, encodeBytes(t, v, o))
		assert.InDeltaSlice(t, v.Data, got.Data, 0.05+1e-9)

		o.Slope, o.Inter = 0.25, -3
		v = filledVolume([3]int{3, 4, 11}, 2, identity, func(c, i, j, k int) float64 { return 0.25*float64(rng.IntN(100)) - 3 })
		got = decodeBytes(t, encodeBytes(t, v, o))
		assert.Equal(t, v.Data, got.Data)
	}
	v := filledVolume([3]int{1, 1, 1}, 1, identity, func(c, i, j, k int) float64 { return 1000 })
	err := encode(&bytes.Buffer{}, v, WriteOptions{Type: Uint8, Slope: 2})
	assert.ErrorContains(t, err, "does not fit", "500 is stored")
}

func TestWriteErrors(t *testing.T) {
	good := func() *Volume {
		return filledVolume([3]int{2, 3, 4}, 1, identity, func(c, i, j, k int) float64 { return 300 })
	}
	for _, c := range []struct {
		name string
		edit func(v *Volume, o *WriteOptions)
		says string
	}{
		{"type", func(v *Volume, o *WriteOptions) { o.Type = 128 }, "rgb24"},
		{"version", func(v *Volume, o *WriteOptions) { o.Version = 3 }, "Version"},
		{"value", func(v *Volume, o *WriteOptions) { o.Type = Uint8 }, "does not fit"},
		{"intercept without slope", func(v *Volume, o *WriteOptions) { o.Inter = 1 }, "Slope"},
		{"NaN slope", func(v *Volume, o *WriteOptions) { o.Slope = math.NaN() }, "Slope"},
		{"slope below float32", func(v *Volume, o *WriteOptions) { o.Slope = 1e-60 }, "Slope"},
		{"slope above float32", func(v *Volume, o *WriteOptions) { o.Slope = 1e60 }, "Slope"},
		{"affine above float32", func(v *Volume, o *WriteOptions) { v.Affine[0][3] = 1e60 }, "affine"},
		{"affine below float32", func(v *Volume, o *WriteOptions) { v.Affine[0][0] = 1e-60 }, "spacing"},
		{"singular affine", func(v *Volume, o *WriteOptions) { v.Affine = [4][4]float64{3: {0, 0, 0, 1}} }, "spacing"},
		{"no affine", func(v *Volume, o *WriteOptions) { v.Affine = [4][4]float64{} }, "last row"},
		{"short data", func(v *Volume, o *WriteOptions) { v.Data = v.Data[:23] }, "23"},
		{"long data", func(v *Volume, o *WriteOptions) { v.Data = append(v.Data, 1) }, "25"},
		{"no channels", func(v *Volume, o *WriteOptions) { v.Channels = 0 }, "channels"},
		{"negative axes", func(v *Volume, o *WriteOptions) { v.Dims = [3]int{-2, -3, 4} }, "dimensions"},
		{"overflowing axes", func(v *Volume, o *WriteOptions) { v.Dims = [3]int{math.MaxInt/2 + 1, 4, 24} }, "dimensions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "v.nii.gz")
			require.NoError(t, os.WriteFile(path, []byte("before"), 0o644))
			v, o := good(), WriteOptions{}
			c.edit(v, &o)
			require.ErrorContains(t, Write(path, v, o), c.says)
			// The existing file is unchanged, and no other file appears.
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, "before", string(content))
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Len(t, entries, 1)
		})
	}
	assert.ErrorContains(t, encode(&bytes.Buffer{}, nil, WriteOptions{}), "nil")
	for _, name := range []string{"v", "v.gz", "v.mha", "v.nii.bz2"} {
		assert.ErrorContains(t, Write(filepath.Join(t.TempDir(), name), good(), WriteOptions{}), ".nii.gz", name)
	}
	assert.ErrorIs(t, Write(filepath.Join(t.TempDir(), "no", "v.nii"), good(), WriteOptions{}), os.ErrNotExist)
}

func TestLongAxisNeedsVersion2(t *testing.T) {
	v := filledVolume([3]int{1, 32768, 1}, 1, identity, func(c, i, j, k int) float64 { return float64(j) })
	assert.ErrorContains(t, encode(&bytes.Buffer{}, v, WriteOptions{}), "Version 2")
	got := decodeBytes(t, encodeBytes(t, v, WriteOptions{Version: 2, Type: Uint16}))
	assert.Equal(t, v.Data, got.Data)
}

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "V.NII.GZ")
	for n := 1; n <= 2; n++ {
		v := filledVolume([3]int{n, 1, 1}, 1, identity, func(c, i, j, k int) float64 { return float64(n) })
		require.NoError(t, Write(path, v, WriteOptions{}))
		got, err := Read(path)
		require.NoError(t, err)
		assert.Equal(t, v.Data, got.Data)
	}
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, []byte{0x1f, 0x8b}, content[:2], "gzip")
}

// TestWriteOverFolder makes the last step, the rename, fail.
func TestWriteOverFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "v.nii")
	require.NoError(t, os.Mkdir(path, 0o755))
	v := filledVolume([3]int{1, 1, 1}, 1, identity, func(c, i, j, k int) float64 { return 1 })
	require.Error(t, Write(path, v, WriteOptions{}))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "temporary files")
}

// failingWriter fails after n bytes.
type failingWriter struct{ n int }

var errFull = errors.New("disk full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if len(b) > w.n {
		return w.n, errFull
	}
	w.n -= len(b)
	return len(b), nil
}

func TestEncodeReturnsWriteErrors(t *testing.T) {
	v := filledVolume([3]int{5, 5, 20}, 2, identity, func(c, i, j, k int) float64 { return 1 })
	size := len(encodeBytes(t, v, WriteOptions{}))
	for _, n := range []int{0, 351, 352, size / 2, size - 1} {
		assert.ErrorIs(t, encode(&failingWriter{n}, v, WriteOptions{}), errFull, "%d bytes", n)
	}
	assert.NoError(t, encode(&failingWriter{size}, v, WriteOptions{}))
}

func TestReadNamesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.nii")
	require.NoError(t, os.WriteFile(path, []byte("junk"), 0o644))
	_, err := Read(path)
	assert.ErrorContains(t, err, path)
	_, err = ReadHeader(path)
	assert.ErrorContains(t, err, path)
	_, err = Read(path + "x")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = ReadHeader(path + "x")
	assert.ErrorIs(t, err, os.ErrNotExist)
}
