package volume

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkDecoded checks that decoding arbitrary bytes returns either an error or a complete
// volume that is no larger than the bytes could hold and that survives a round trip.
func checkDecoded(t *testing.T, file []byte, expansion int) {
	v, err := Decode(bytes.NewReader(file))
	if err != nil {
		require.Nil(t, v)
		return
	}
	h, err := DecodeHeader(bytes.NewReader(file))
	require.Empty(t, h.dataFile, "voxels of another file")
	require.NoError(t, err, "a file with valid voxels has a valid header")
	require.Equal(t, v.Dims, h.Dims)
	require.Equal(t, v.Dims[0]*v.Dims[1]*v.Dims[2]*v.Channels, len(v.Data))
	require.LessOrEqual(t, len(v.Data)*h.Type.Size(), len(file)*expansion)
	for _, s := range v.Spacing() {
		require.True(t, s > 0 && finite(s), "spacing %g", s)
	}
	require.NoError(t, checkAffine(v.Affine))

	var buf bytes.Buffer
	require.NoError(t, encode(&buf, v, WriteOptions{Type: Float64, Version: 2, BigEndian: h.BigEndian}))
	again, err := Decode(&buf)
	require.NoError(t, err)
	assert.Equal(t, v.Dims, again.Dims)
	assert.Equal(t, v.Channels, again.Channels)
	assert.Equal(t, v.Affine, again.Affine)
	sameBits(t, v.Data, again.Data)
}

func FuzzNIfTI(f *testing.F) {
	for _, s := range specs {
		for _, order := range orders {
			for _, edit := range []func(b byteHeader){
				nil,
				func(b byteHeader) { s.f.scaling(b, 0.5, -3) },
				func(b byteHeader) { s.f.codes(b, 1, 0); s.f.quatern(b, 0, 0, 1) },
				func(b byteHeader) { s.f.codes(b, 0, 2); s.f.srow(b, 0, 2, 0, 1, -1, 0, 0, 2, 0, 0.5, 3, 0) },
				func(b byteHeader) { s.f.dim(b, 5, 1, 1, 2, 3, 1) },
				func(b byteHeader) { s.f.dim(b, 5, 1, 1, 2, 0, 3) },
				func(b byteHeader) { s.f.dim(b, 2, 2, 3); s.f.pixdim(b, math.NaN(), 0, math.NaN()) },
				func(b byteHeader) { s.f.scaling(b, math.NaN(), math.NaN()); s.f.codes(b, 1, 1) },
				func(b byteHeader) { s.f.codes(b, 0, 1); s.f.srow(b, 2, 0, 0, 0, 0, 3) },
				func(b byteHeader) { s.f.dim(b, 3, 12, 1, 1); s.f.datatype(b, 2); s.f.units(b, 3) },
				func(b byteHeader) { s.f.dim(b, 3, 1, 1, 3); s.f.datatype(b, 16) },
				func(b byteHeader) { s.f.dim(b, 3, 1, 1, 1); s.f.datatype(b, 64) },
				func(b byteHeader) { s.f.dim(b, 3, 1, 1, 1); s.f.datatype(b, 1280) },
				func(b byteHeader) { s.f.dim(b, 3, 1024, 1024, 1024) },
				func(b byteHeader) { s.f.offset(b, int64(s.f.minOffset+2)); s.f.dim(b, 3, 5, 1, 1) },
			} {
				f.Add(s.file(order, edit))
			}
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		// The fuzzer cannot produce valid checksums, so compress here. A plain file
		// reaches the same code with less work.
		plain := len(file) < 2 || file[0] != 0x1f || file[1] != 0x8b
		if plain {
			checkDecoded(t, file, 1)
		}
		if len(file) > 0 && file[len(file)-1]&15 == 0 {
			half := len(file) / 2
			members := append(gzipped(t, file[:half]), gzipped(t, file[half:])...)
			checkDecoded(t, append(members, make([]byte, half%7)...), 1100)
		}
	})
}

func FuzzMetaImage(f *testing.F) {
	add := func(change map[string]string, voxels []byte) { f.Add(metaLines(change), voxels, false) }
	add(nil, metaValues)
	add(map[string]string{"BinaryDataByteOrderMSB": "True"}, metaValues)
	add(map[string]string{"NDims": "4", "DimSize": "1 3 1 2", "ElementSpacing": "2 3 4 9", "Offset": "", "TransformMatrix": ""}, metaValues)
	add(map[string]string{"DimSize": "1 3 1", "ElementNumberOfChannels": "2"}, metaValues)
	add(map[string]string{"DimSize": "1 3 1", "ElementType": "MET_FLOAT"}, metaValues)
	add(map[string]string{"DimSize": "1 1 1", "ElementType": "MET_DOUBLE", "ElementSpacing": "", "ElementSize": "1e-3 2 3"}, metaValues)
	add(map[string]string{"DimSize": "9999999 9999999 9999999", "ElementType": "MET_UCHAR", "DistanceUnits": "um"}, metaValues)
	add(map[string]string{"TransformMatrix": "0.6 0.8 0 -0.8 0.6 0 0 0 1", "Comment": "="}, metaValues)
	add(map[string]string{"NDims": "2", "DimSize": "2 3", "ElementSpacing": "2 3", "Offset": "", "TransformMatrix": "0 1 1 0"}, metaValues)
	add(map[string]string{"ElementByteOrderMSB": "False", "Origin": "10 20 30.0", "ElementDataFile": "Local"}, metaValues)
	add(map[string]string{"ElementDataFile": "image.raw", "HeaderSize": "-1"}, metaValues)
	add(map[string]string{"CompressedData": "True", "CompressedDataSize": "99"}, deflated(f, metaValues))
	f.Add(metaLines(map[string]string{"CompressedData": "True"}), metaValues, true)
	f.Fuzz(func(t *testing.T, header string, voxels []byte, deflate bool) {
		// As with gzip, the fuzzer cannot produce a valid zlib stream.
		if deflate {
			voxels = deflated(t, voxels)
		}
		file := append([]byte(header), voxels...)
		if len(file) >= 4 && isBinaryStart(file) {
			return // covered by FuzzNIfTI
		}
		checkDecoded(t, file, 1100)
	})
}

// isBinaryStart reports whether a file would be recognized as gzip or NIfTI.
func isBinaryStart(file []byte) bool {
	if file[0] == 0x1f && file[1] == 0x8b {
		return true
	}
	for _, order := range orders {
		if n := order.Uint32(file); n == nifti1.headerSize || n == nifti2.headerSize {
			return true
		}
	}
	return false
}

// FuzzDataFile reads an image whose header names another file. Whatever the name, it reads
// nothing but a regular file, and no more of it than the image has.
func FuzzDataFile(f *testing.F) {
	for _, name := range []string{"voxels.raw", "./voxels.raw", `.\voxels.raw`, "../voxels.raw", "LOCAL", "LIST", "a%d.raw", ".", "", "\x00"} {
		f.Add(name, "0", metaValues)
		f.Add(name, "-1", append(make([]byte, 3), metaValues...))
	}
	f.Fuzz(func(t *testing.T, name, skip string, voxels []byte) {
		text := metaLines(map[string]string{"ElementDataFile": name, "HeaderSize": skip})
		dir := writeFiles(t, map[string][]byte{"a.mhd": []byte(text), "voxels.raw": voxels})
		v, err := Read(filepath.Join(dir, "a.mhd"))
		if err != nil {
			require.Nil(t, v)
			return
		}
		require.Len(t, v.Data, 6)
	})
}

// FuzzLabel checks that rounding gives whole numbers near the values, or an error.
func FuzzLabel(f *testing.F) {
	f.Add(0.0, 1.0, 0.9999999997671694)
	f.Add(-1e-9, 2.5, math.NaN())
	f.Fuzz(func(t *testing.T, a, b, c float64) {
		v := row(a, b, c, a)
		if v.RoundLabel() != nil {
			return
		}
		for i, x := range []float64{a, b, c, a} {
			require.LessOrEqual(t, math.Abs(v.Data[i]-x), labelTolerance)
			require.Equal(t, math.Trunc(v.Data[i]), v.Data[i])
			require.False(t, math.Signbit(v.Data[i]))
		}
	})
}

// FuzzStore checks that storing and loading a value returns the nearest value of the type,
// or an error if there is none within half a step.
func FuzzStore(f *testing.F) {
	for i := range allTypes {
		for _, x := range []float64{0, -0.5, 1.5, 127.5, 255.5, 65535.5, 1 << 31, 1 << 63, 1 << 64, 1e39, math.NaN(), math.Inf(1)} {
			f.Add(uint8(i), x)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, x float64) {
		typ := allTypes[int(i)%len(allTypes)]
		raw := binary.LittleEndian.AppendUint64(nil, 0)[:typ.Size()]
		if err := typ.store(raw, []float64{x}); err != nil {
			return
		}
		got := make([]float64, 1)
		typ.load(got, raw)
		switch typ {
		case Float64:
			sameBits(t, []float64{x}, got)
		case Float32:
			sameBits(t, []float64{float64(float32(x))}, got)
		default:
			require.LessOrEqual(t, math.Abs(got[0]-x), 0.5, "%v in %v", x, typ)
			require.Equal(t, math.Trunc(got[0]), got[0])
		}
	})
}
