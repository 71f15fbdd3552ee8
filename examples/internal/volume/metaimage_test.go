package volume

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// metaLines returns the header of a 2×3×1 image as common writers produce it. The entries
// of change replace or add lines; an empty value removes one.
func metaLines(change map[string]string) string {
	keys := []string{"ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "CompressedData", "TransformMatrix",
		"Offset", "CenterOfRotation", "AnatomicalOrientation", "ElementSpacing", "DimSize", "ElementType"}
	values := map[string]string{
		"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
		"CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "10 20 30",
		"CenterOfRotation": "0 0 0", "AnatomicalOrientation": "RAI", "ElementSpacing": "2 3 4",
		"DimSize": "2 3 1", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
	}
	for k, v := range change {
		if _, there := values[k]; !there {
			keys = append(keys, k)
		}
		values[k] = v
	}
	var b strings.Builder
	for _, k := range append(keys, "ElementDataFile") {
		if values[k] != "" {
			fmt.Fprintf(&b, "%s = %s\n", k, values[k])
		}
	}
	return b.String()
}

var (
	metaValues = []byte{0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0} // 0 … 5 as int16, little-endian
	metaWant   = []float64{0, 2, 4, 1, 3, 5}
)

func metaFile(change map[string]string, voxels []byte) []byte {
	return append([]byte(metaLines(change)), voxels...)
}

func deflated(t testing.TB, raw []byte) []byte {
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	_, err := w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestMetaImage(t *testing.T) {
	v := decodeBytes(t, metaFile(nil, metaValues))
	assert.Equal(t, [3]int{2, 3, 1}, v.Dims)
	assert.Equal(t, 1, v.Channels)
	assert.Equal(t, metaWant, v.Data)
	assert.Equal(t, [3]float64{2, 3, 4}, v.Spacing())
	// LPS to RAS negates x and y.
	assertAffine(t, [4][4]float64{{-2, 0, 0, -10}, {0, -3, 0, -20}, {0, 0, 4, 30}, {0, 0, 0, 1}}, v.Affine, 0)

	h, err := DecodeHeader(bytes.NewReader(metaFile(nil, nil)))
	require.NoError(t, err)
	assert.Equal(t, MetaImage, h.Format)
	assert.Equal(t, Int16, h.Type)
	assert.Equal(t, 1.0, h.Slope)
}

// TestMetaImageDirections checks that each group of three numbers in TransformMatrix is the
// direction of one index axis, here i to posterior, j to superior, k to left.
func TestMetaImageDirections(t *testing.T) {
	for _, key := range []string{"TransformMatrix", "Rotation", "Orientation"} {
		change := map[string]string{"TransformMatrix": "", key: "0 1 0 0 0 1 1 0 0"}
		v := decodeBytes(t, metaFile(change, metaValues))
		assertAffine(t, [4][4]float64{{0, 0, -4, -10}, {-2, 0, 0, -20}, {0, 3, 0, 30}, {0, 0, 0, 1}}, v.Affine, 0)
	}
}

func TestMetaImageDefaults(t *testing.T) {
	change := map[string]string{"TransformMatrix": "", "Offset": "", "ElementSpacing": "", "BinaryData": "",
		"BinaryDataByteOrderMSB": "", "CompressedData": "", "ObjectType": "", "CenterOfRotation": "", "AnatomicalOrientation": ""}
	v := decodeBytes(t, metaFile(change, metaValues))
	assert.Equal(t, metaWant, v.Data)
	assertAffine(t, [4][4]float64{{-1}, {0, -1}, {0, 0, 1}, {0, 0, 0, 1}}, v.Affine, 0)

	change["ElementSize"] = "5 6 7"
	assert.Equal(t, [3]float64{5, 6, 7}, decodeBytes(t, metaFile(change, metaValues)).Spacing())
	change["ElementSpacing"] = "2 3 4"
	assert.Equal(t, [3]float64{2, 3, 4}, decodeBytes(t, metaFile(change, metaValues)).Spacing())
}

func TestMetaImageByteOrder(t *testing.T) {
	big := append([]byte{}, metaValues...)
	swapBytes(big, 2)
	for _, key := range []string{"BinaryDataByteOrderMSB", "ElementByteOrderMSB"} {
		v := decodeBytes(t, metaFile(map[string]string{"BinaryDataByteOrderMSB": "", key: "True"}, big))
		assert.Equal(t, metaWant, v.Data, key)
	}
}

// TestMetaImageKeysGivenTogether gives keys under several names with equal values.
func TestMetaImageKeysGivenTogether(t *testing.T) {
	v := decodeBytes(t, metaFile(map[string]string{
		"ElementByteOrderMSB": "false", "Position": "10.0 2e1 30", "Origin": "10 20 30", "ElementSize": "9 9 9",
		"Rotation": "1 0 0 0 1 0 0 0 1", "Orientation": "1 0 0  0 1 0  0 0 1",
	}, metaValues))
	assert.Equal(t, decodeBytes(t, metaFile(nil, metaValues)), v)
	colons := strings.ReplaceAll(metaLines(nil), " = ", ": ")
	assert.Equal(t, v, decodeBytes(t, append([]byte(colons), metaValues...)))
	for _, local := range []string{"Local", "local"} {
		text := strings.Replace(metaLines(nil), "LOCAL", local, 1)
		assert.Equal(t, v, decodeBytes(t, append([]byte(text), metaValues...)), local)
	}
}

func TestMetaImageOfTwoAxes(t *testing.T) {
	v := decodeBytes(t, metaFile(map[string]string{
		"NDims": "2", "DimSize": "2 3", "ElementSpacing": "2 3", "Offset": "10 20", "CenterOfRotation": "0 0", "TransformMatrix": "0 1 -1 0",
	}, metaValues))
	assert.Equal(t, [3]int{2, 3, 1}, v.Dims)
	assert.Equal(t, metaWant, v.Data)
	assertAffine(t, [4][4]float64{{0, 3, 0, -10}, {-2, 0, 0, -20}, {0, 0, 1, 0}, {0, 0, 0, 1}}, v.Affine, 0)
}

func TestMetaImageTypes(t *testing.T) {
	one := map[string]string{"DimSize": "1 1 1"}
	for name, typ := range map[string]DataType{
		"MET_CHAR": Int8, "MET_UCHAR": Uint8, "MET_SHORT": Int16, "MET_USHORT": Uint16, "MET_INT": Int32, "MET_UINT": Uint32,
		"MET_LONG": Int32, "MET_ULONG": Uint32, "MET_LONG_LONG": Int64, "MET_ULONG_LONG": Uint64, "MET_FLOAT": Float32, "MET_DOUBLE": Float64,
	} {
		one["ElementType"] = name
		raw := make([]byte, typ.Size())
		require.NoError(t, typ.store(raw, []float64{77}))
		v := decodeBytes(t, metaFile(one, raw))
		assert.Equal(t, []float64{77}, v.Data, name)
		one["ElementType"] = name + "_ARRAY"
		assert.Equal(t, v, decodeBytes(t, metaFile(one, raw)), name)
	}
}

func TestMetaImageCompressed(t *testing.T) {
	packed := deflated(t, metaValues)
	change := map[string]string{"CompressedData": "True"}
	assert.Equal(t, metaWant, decodeBytes(t, metaFile(change, packed)).Data)
	change["CompressedDataSize"] = fmt.Sprint(len(packed))
	assert.Equal(t, metaWant, decodeBytes(t, metaFile(change, packed)).Data)

	change["CompressedDataSize"] = fmt.Sprint(len(packed) - 1)
	_, err := Decode(bytes.NewReader(metaFile(change, packed)))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)

	delete(change, "CompressedDataSize")
	for n := range packed {
		_, err := Decode(bytes.NewReader(metaFile(change, packed[:n])))
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", n)
	}
	packed[len(packed)-1] ^= 1
	_, err = Decode(bytes.NewReader(metaFile(change, packed)))
	assert.ErrorContains(t, err, "checksum")

	bomb := deflated(t, make([]byte, 16<<20))
	allocated := allocates(func() { _, err = Decode(bytes.NewReader(metaFile(change, bomb))) })
	assert.ErrorContains(t, err, "follow the voxels")
	assert.Less(t, allocated, uint64(1<<20))
}

// TestMetaImageChannels stores the same image with interleaved channels and with a fourth
// axis.
func TestMetaImageChannels(t *testing.T) {
	// Channel 0 holds 0 1 2, channel 1 holds 3 4 5 along j.
	want := []float64{0, 1, 2, 3, 4, 5}
	v := decodeBytes(t, metaFile(map[string]string{
		"NDims": "4", "DimSize": "1 3 1 2", "ElementSpacing": "2 3 4 9", "Offset": "10 20 30 5",
		"TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", "CenterOfRotation": "0 0 0 0",
	}, metaValues))
	assert.Equal(t, [3]int{1, 3, 1}, v.Dims)
	assert.Equal(t, 2, v.Channels)
	assert.Equal(t, want, v.Data)
	assertAffine(t, [4][4]float64{{-2, 0, 0, -10}, {0, -3, 0, -20}, {0, 0, 4, 30}, {0, 0, 0, 1}}, v.Affine, 0)

	v = decodeBytes(t, metaFile(map[string]string{"DimSize": "1 3 1", "ElementNumberOfChannels": "2"},
		[]byte{0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5, 0}))
	assert.Equal(t, 2, v.Channels)
	assert.Equal(t, want, v.Data)
}

// TestInterleavedGrid compares unpacking with the definition, on odd sizes larger than the
// blocks it works in.
func TestInterleavedGrid(t *testing.T) {
	for _, dims := range [][3]int{{37, 17, 19}, {3, 2, blockRows + 3}} {
		for _, interleaved := range []bool{false, true} {
			h := &Header{Dims: dims, Channels: 3, interleaved: interleaved}
			n := h.voxels()
			raw, want := make([]byte, 2*n), make([]float64, n)
			at := 0
			put := func(c, i, j, k int) {
				want[((c*dims[0]+i)*dims[1]+j)*dims[2]+k] = float64(at)
				raw[2*at], raw[2*at+1] = byte(at), byte(at>>8)
				at++
			}
			outer, inner := 3, 1
			if interleaved {
				outer, inner = 1, 3
			}
			for o := range outer {
				for k := range dims[2] {
					for j := range dims[1] {
						for i := range dims[0] {
							for c := range inner {
								put(o+c, i, j, k)
							}
						}
					}
				}
			}
			got := make([]float64, n)
			gridOf(h).unpack(got, raw, Uint16)
			assert.Equal(t, want, got)
			var back []byte
			require.NoError(t, gridOf(h).pack(got, Uint16, func([]float64) {}, func(b []byte) error { back = append(back, b...); return nil }))
			assert.Equal(t, raw, back)
		}
	}
}

func TestMetaImageLineEndsAndUnits(t *testing.T) {
	head := strings.ReplaceAll(metaLines(map[string]string{"DistanceUnits": "cm", "Comment": "a = b"}), "\n", "\r\n")
	v := decodeBytes(t, append([]byte("Comment = first\r\n\r\n"+head), metaValues...))
	assert.Equal(t, metaWant, v.Data)
	assert.Equal(t, [3]float64{20, 30, 40}, v.Spacing())
}

func TestMetaImageErrors(t *testing.T) {
	for _, c := range []struct {
		change map[string]string
		says   string
	}{
		{map[string]string{"ObjectType": "Tube"}, "ObjectType"},
		{map[string]string{"ElementDataFile": "image.raw"}, "separate file (image.raw)"},
		{map[string]string{"ElementDataFile": "LIST"}, "a file for every slice is not supported"},
		{map[string]string{"ElementDataFile": "List 2D"}, "a file for every slice is not supported"},
		{map[string]string{"ElementDataFile": "slice%03d.raw 1 9 1"}, "a file for every slice is not supported"},
		{map[string]string{"ElementDataFile": "image.raw", "HeaderSize": "-2"}, "HeaderSize"},
		{map[string]string{"ElementDataFile": "image.raw", "HeaderSize": "-1", "CompressedData": "True"}, "HeaderSize"},
		{map[string]string{"BinaryData": "False"}, "BinaryData"},
		{map[string]string{"BinaryData": "Maybe"}, "BinaryData"},
		{map[string]string{"HeaderSize": "-1"}, "HeaderSize"},
		{map[string]string{"ElementType": "MET_OTHER_ARRAY"}, "MET_OTHER_ARRAY"},
		{map[string]string{"ElementType": ""}, "ElementType"},
		{map[string]string{"NDims": "1"}, "NDims"},
		{map[string]string{"NDims": "2"}, "DimSize has 3 numbers, want 2"},
		{map[string]string{"NDims": "5"}, "NDims"},
		{map[string]string{"NDims": ""}, "NDims"},
		{map[string]string{"NDims": "three"}, "NDims"},
		{map[string]string{"DimSize": "2 3"}, "DimSize"},
		{map[string]string{"DimSize": ""}, "DimSize"},
		{map[string]string{"DimSize": "2 3 1.5"}, "DimSize"},
		{map[string]string{"DimSize": "2 3 99999999999999999999"}, "DimSize"},
		{map[string]string{"DimSize": "-2 -3 1"}, "at least 1"},
		{map[string]string{"DimSize": "0 3 1"}, "at least 1"},
		{map[string]string{"DimSize": "4294967296 4294967296 1"}, "at most"},
		{map[string]string{"DimSize": "1024 1024 1024"}, "ends after 12 of"},
		{map[string]string{"ElementNumberOfChannels": "0"}, "at least 1"},
		{map[string]string{"ElementNumberOfChannels": "-1"}, "at least 1"},
		{map[string]string{"ElementNumberOfChannels": "9223372036854775807"}, "at most"},
		{map[string]string{"NDims": "4", "DimSize": "1 1 1 3", "ElementNumberOfChannels": "2"}, "only one of the two"},
		{map[string]string{"ElementSpacing": "1 1"}, "ElementSpacing"},
		{map[string]string{"ElementSpacing": "1 1 0"}, "positive"},
		{map[string]string{"ElementSpacing": "1 -1 1"}, "positive"},
		{map[string]string{"ElementSpacing": "1 NaN 1"}, "finite"},
		{map[string]string{"Offset": "1 Inf 1"}, "finite"},
		{map[string]string{"Offset": "1e999 0 0"}, "finite"},
		{map[string]string{"TransformMatrix": "1 0 0 0 1 0"}, "TransformMatrix"},
		{map[string]string{"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "singular"},
		{map[string]string{"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "spacing"},
		{map[string]string{"NDims": "4", "DimSize": "2 3 1 1", "ElementSpacing": "1 1 1 1", "Offset": "0 0 0 0",
			"TransformMatrix": "1 0 0 0.5 0 1 0 0 0 0 1 0 0 0 0 1"}, "fourth axis"},
		{map[string]string{"DistanceUnits": "inch"}, "DistanceUnits"},
		{map[string]string{"CompressedData": "True"}, "compressed voxels"},
		{map[string]string{"CompressedData": "Yes"}, "CompressedData"},
		{map[string]string{"CompressedDataSize": "-5"}, "CompressedDataSize"},
		{map[string]string{"ElementToIntensityFunctionSlope": "2"}, "ElementToIntensityFunctionSlope"},
		{map[string]string{"ElementToIntensityFunctionOffset": "-1"}, "ElementToIntensityFunctionOffset"},
		{map[string]string{"Origin": "0 0 0"}, `Offset appears twice (Offset and Origin), as "10 20 30" and as "0 0 0"`},
		{map[string]string{"ElementByteOrderMSB": "True"}, "(BinaryDataByteOrderMSB and ElementByteOrderMSB)"},
	} {
		var err error
		file := metaFile(c.change, metaValues)
		allocated := allocates(func() { _, err = Decode(bytes.NewReader(file)) })
		assert.ErrorContains(t, err, c.says, "%v", c.change)
		assert.Less(t, allocated, uint64(1<<20), "%v", c.change)
	}
}

func TestMetaImageHostileText(t *testing.T) {
	for name, text := range map[string]string{
		"no equals sign": "ObjectType Image\n",
		"endless line":   "ObjectType = " + strings.Repeat("x", 1<<20),
		"endless header": strings.Repeat("Comment = x\n", 1<<18),
		"no end":         "ObjectType = Image\nNDims = 3\n",
		"no newline":     strings.TrimSuffix(metaLines(nil), "\n"),
	} {
		_, err := Decode(strings.NewReader(text))
		assert.Error(t, err, name)
	}
	whole := metaFile(nil, metaValues)
	for n := range whole {
		_, err := Decode(bytes.NewReader(whole[:n]))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", n)
	}
}

// TestMetaImageToNIfTI writes a MetaImage as NIfTI and reads the same image back.
func TestMetaImageToNIfTI(t *testing.T) {
	c, s := math.Cos(0.3), math.Sin(0.3)
	v := decodeBytes(t, metaFile(map[string]string{
		"TransformMatrix": fmt.Sprintf("%v %v 0 %v %v 0 0 0 1", c, s, -s, c),
	}, metaValues))
	got := decodeBytes(t, encodeBytes(t, v, WriteOptions{Type: Int16, Version: 2}))
	assert.Equal(t, v, got)
}
