package volume

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// metaTypes maps the scalar element types of MetaImage. MET_LONG has four bytes on disk
// regardless of the size of a C long.
var metaTypes = map[string]DataType{
	"MET_CHAR": Int8, "MET_UCHAR": Uint8,
	"MET_SHORT": Int16, "MET_USHORT": Uint16,
	"MET_INT": Int32, "MET_UINT": Uint32,
	"MET_LONG": Int32, "MET_ULONG": Uint32,
	"MET_LONG_LONG": Int64, "MET_ULONG_LONG": Uint64,
	"MET_FLOAT": Float32, "MET_DOUBLE": Float64,
}

// metaAliases maps other names of keys, which MetaIO reads too, to the usual ones.
var metaAliases = map[string]string{
	"Origin": "Offset", "Position": "Offset",
	"Rotation": "TransformMatrix", "Orientation": "TransformMatrix",
	"ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}

// metaLengths maps the values of DistanceUnits to millimeters; "?" means unknown.
var metaLengths = map[string]float64{"?": 1, "um": 1e-3, "mm": 1, "cm": 10}

// metaHeader maps the keys of a MetaImage header to their values.
type metaHeader map[string]string

// readMetaHeader reads "Key = Value" or "Key: Value" lines up to and including
// ElementDataFile, which is the last one. In a single file the voxels follow immediately.
// A key may appear more than once, under any of its names, with equal values.
func readMetaHeader(r *bufio.Reader) (metaHeader, error) {
	const maxHeader = 256 << 10
	h := metaHeader{}
	names := map[string]string{} // the name under which each key was given
	for total := 0; ; {
		// A line that does not fit into the reader's buffer is an error.
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("header line of more than %d bytes", len(line))
		}
		if err == io.EOF {
			return nil, fmt.Errorf("header ends without ElementDataFile: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		if total += len(line); total > maxHeader {
			return nil, fmt.Errorf("header of more than %d bytes", maxHeader)
		}
		text := strings.TrimSpace(string(line))
		if text == "" {
			continue
		}
		at := strings.IndexAny(text, "=:")
		if at < 0 {
			return nil, fmt.Errorf("header line %.80q, want Key = Value", text)
		}
		given, value := strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:])
		key := given
		if name, ok := metaAliases[key]; ok {
			key = name
		}
		if first, twice := h[key]; twice && key != "Comment" && !sameMetaValue(first, value) {
			as := ""
			if given != key || names[key] != key {
				as = fmt.Sprintf(" (%s and %s)", names[key], given)
			}
			return nil, fmt.Errorf("%s appears twice%s, as %.80q and as %.80q", key, as, first, value)
		}
		h[key], names[key] = value, given
		if key == "ElementDataFile" {
			return h, nil
		}
	}
}

// sameMetaValue reports whether two values are the same words, numbers or Booleans.
func sameMetaValue(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return slices.EqualFunc(x, y, func(a, b string) bool {
		if strings.EqualFold(a, b) {
			return true
		}
		p, err1 := strconv.ParseFloat(a, 64)
		q, err2 := strconv.ParseFloat(b, 64)
		return err1 == nil && err2 == nil && p == q
	})
}

// floats returns the n numbers of key, or def if it is absent.
func (h metaHeader) floats(key string, n int, def []float64) ([]float64, error) {
	text, ok := h[key]
	if !ok {
		return def, nil
	}
	words := strings.Fields(text)
	if len(words) != n {
		return nil, fmt.Errorf("%s has %d numbers, want %d", key, len(words), n)
	}
	out := make([]float64, n)
	for i, w := range words {
		x, err := strconv.ParseFloat(w, 64)
		if err != nil || !finite(x) {
			return nil, fmt.Errorf("%s contains %.40q, want a finite number", key, w)
		}
		out[i] = x
	}
	return out, nil
}

// integer returns the integer value of key, or def if it is absent.
func (h metaHeader) integer(key string, def int64) (int64, error) {
	text, ok := h[key]
	if !ok {
		return def, nil
	}
	x, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %.40q, want an integer", key, text)
	}
	return x, nil
}

// boolean returns the Boolean value of key, or def if it is absent or empty.
func (h metaHeader) boolean(key string, def bool) (bool, error) {
	switch text := h[key]; strings.ToLower(text) {
	case "true", "t", "1":
		return true, nil
	case "false", "f", "0":
		return false, nil
	case "":
		return def, nil
	default:
		return false, fmt.Errorf("%s is %.40q, want True or False", key, text)
	}
}

// parseMetaImage reads the header of a MetaImage. Absent optional keys have the format's
// defaults (spacing 1, offset 0, no rotation, little-endian, uncompressed, one channel).
func parseMetaImage(r *bufio.Reader) (*Header, error) {
	m, err := readMetaHeader(r)
	if err != nil {
		return nil, err
	}
	if text, ok := m["ObjectType"]; ok && text != "Image" {
		return nil, fmt.Errorf("ObjectType is %.80q, want Image", text)
	}
	if binary, err := m.boolean("BinaryData", true); err != nil {
		return nil, err
	} else if !binary {
		return nil, errors.New("BinaryData is False: voxels stored as text are not supported")
	}
	h := &Header{Format: MetaImage, Slope: 1}
	if err := m.parseDataFile(h); err != nil {
		return nil, err
	}
	// Ignoring a linear map of the intensities would give wrong values.
	for key, neutral := range map[string]float64{"ElementToIntensityFunctionSlope": 1, "ElementToIntensityFunctionOffset": 0} {
		x, err := m.floats(key, 1, []float64{neutral})
		if err != nil {
			return nil, err
		}
		if x[0] != neutral {
			return nil, fmt.Errorf("%s is %g, want %g: scaled values are not supported", key, x[0], neutral)
		}
	}

	name := m["ElementType"]
	if h.Type = metaTypes[strings.TrimSuffix(name, "_ARRAY")]; h.Type == 0 {
		return nil, fmt.Errorf("ElementType is %.80q, want a scalar type such as MET_SHORT", name)
	}
	if h.BigEndian, err = m.boolean("BinaryDataByteOrderMSB", false); err != nil {
		return nil, err
	}
	if h.zlib, err = m.boolean("CompressedData", false); err != nil {
		return nil, err
	}
	if h.zlibSize, err = m.integer("CompressedDataSize", 0); err != nil {
		return nil, err
	}
	if h.zlibSize < 0 {
		return nil, fmt.Errorf("CompressedDataSize is %d, want a number of bytes", h.zlibSize)
	}
	n, err := m.parseDims(h)
	if err != nil {
		return nil, err
	}
	if err := m.parseAffine(h, n); err != nil {
		return nil, err
	}
	return h, nil
}

// parseDataFile sets where the voxels are: after the header for LOCAL, otherwise in a file
// whose name is relative to the header's folder, after HeaderSize bytes or, if that is -1,
// at its end.
func (m metaHeader) parseDataFile(h *Header) error {
	skip, err := m.integer("HeaderSize", 0)
	if err != nil {
		return err
	}
	name := m["ElementDataFile"]
	first, _, _ := strings.Cut(name, " ")
	switch {
	case name == "":
		return errors.New("ElementDataFile is empty, want LOCAL or the name of a file")
	case strings.EqualFold(name, "LOCAL"):
		if skip != 0 {
			return fmt.Errorf("HeaderSize is %d, want 0 for voxels in the same file", skip)
		}
		return nil
	case strings.EqualFold(first, "LIST"), strings.Contains(name, "%"):
		return fmt.Errorf("ElementDataFile is %.80q: a file for every slice is not supported; want a single file", name)
	case skip < -1:
		return fmt.Errorf("HeaderSize is %d, want a number of bytes, or -1 for voxels at the end of the file", skip)
	}
	h.dataFile, h.skip, h.fromEnd = name, max(skip, 0), skip == -1
	if compressed, err := m.boolean("CompressedData", false); h.fromEnd && compressed && err == nil {
		return errors.New("HeaderSize is -1, want the number of bytes before compressed voxels")
	}
	return nil
}

// parseDims sets the dimensions of h and returns the number of axes.
func (m metaHeader) parseDims(h *Header) (int, error) {
	n, err := m.integer("NDims", 0)
	if err != nil {
		return 0, err
	}
	if n < 2 || n > 4 {
		return 0, fmt.Errorf("NDims is %d, want 2, 3 or 4", n)
	}
	channels, err := m.integer("ElementNumberOfChannels", 1)
	if err != nil {
		return 0, err
	}
	words := strings.Fields(m["DimSize"])
	if len(words) != int(n) {
		return 0, fmt.Errorf("DimSize has %d numbers, want %d", len(words), n)
	}
	dims := [4]int64{1, 1, 1, 1}
	for i, w := range words {
		if dims[i], err = strconv.ParseInt(w, 10, 64); err != nil {
			return 0, fmt.Errorf("DimSize contains %.40q, want an integer", w)
		}
	}
	h.interleaved = channels != 1
	if n == 4 {
		if channels != 1 {
			return 0, fmt.Errorf("ElementNumberOfChannels is %d and NDims is 4, want only one of the two", channels)
		}
		channels = dims[3]
	}
	if err := checkGrid([3]int64(dims[:3]), channels); err != nil {
		return 0, err
	}
	h.Dims = [3]int{int(dims[0]), int(dims[1]), int(dims[2])}
	h.Channels = int(channels)
	return int(n), nil
}

// parseAffine sets the affine of an image with n axes. Each group of n numbers in
// TransformMatrix is the direction of one index axis. Coordinates are LPS+ and become RAS+
// by negating the first two.
func (m metaHeader) parseAffine(h *Header, n int) error {
	ones, zeros, identity := make([]float64, n), make([]float64, n), make([]float64, n*n)
	for i := range n {
		ones[i], identity[i*n+i] = 1, 1
	}
	size, err := m.floats("ElementSize", n, ones)
	if err != nil {
		return err
	}
	zooms, err := m.floats("ElementSpacing", n, size)
	if err != nil {
		return err
	}
	offset, err := m.floats("Offset", n, zeros)
	if err != nil {
		return err
	}
	matrix, err := m.floats("TransformMatrix", n*n, identity)
	if err != nil {
		return err
	}
	unit := 1.0
	if text, given := m["DistanceUnits"]; given {
		known := false
		if unit, known = metaLengths[text]; !known {
			return fmt.Errorf("DistanceUnits is %.40q, want mm, um or cm", text)
		}
	}
	if n == 2 { // one slice, 1 thick and perpendicular to z
		zooms, offset = append(zooms, 1), append(offset, 0)
		matrix = []float64{matrix[0], matrix[1], 0, matrix[2], matrix[3], 0, 0, 0, 1}
		n = 3
	}
	for i := range 3 {
		if !(zooms[i] > 0) {
			return fmt.Errorf("ElementSpacing is %v, want positive numbers", zooms)
		}
		if n == 4 && (matrix[i*n+3] != 0 || matrix[3*n+i] != 0) {
			return errors.New("TransformMatrix mixes the fourth axis with the first three")
		}
		sign := unit
		if i < 2 {
			sign = -unit
		}
		for c := range 3 {
			h.Affine[i][c] = sign * matrix[c*n+i] * zooms[c]
		}
		h.Affine[i][3] = sign * offset[i]
	}
	h.Affine[3][3] = 1
	return checkAffine(h.Affine)
}
