package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// TestTorchElementTypesAndViews reads testdata/types.pth, whose contents make.py defines.
func TestTorchElementTypesAndViews(t *testing.T) {
	got, metadata, err := Load("testdata/types.pth")
	require.NoError(t, err)
	assert.Nil(t, metadata)

	quarters := []float32{-0.75, -0.5, -0.25, 0, 0.25, 0.5}
	wholes := []int64{-3, -2, -1, 0, 1, 2}
	base := make([]float32, 24)
	for i := range base {
		base[i] = (float32(i) - 3) / 4
	}
	var transposed, permuted []float32
	for i := range base {
		transposed = append(transposed, base[i%4*6+i/4])
	}
	for m := range 2 { // shape 2×3×2×1×2 with the last axis moved first
		for rest := range 12 {
			permuted = append(permuted, base[2*rest+m])
		}
	}
	for name, want := range map[string]struct {
		shape []int
		data  any
	}{
		"float32": {[]int{2, 3}, quarters}, "float16": {[]int{2, 3}, quarters}, "bfloat16": {[]int{2, 3}, quarters},
		"float64": {[]int{2, 3}, []float64{-0.75, -0.5, -0.25, 0, 0.25, 0.5}},
		"int64":   {[]int{2, 3}, wholes}, "int32": {[]int{2, 3}, wholes}, "int16": {[]int{2, 3}, wholes}, "int8": {[]int{2, 3}, wholes},
		"uint8":      {[]int{3}, []int64{0, 1, 255}},
		"bool":       {[]int{2}, []int64{1, 0}},
		"scalar":     {[]int{}, float32(2.5)},
		"counter":    {[]int{}, int64(7)},
		"base":       {[]int{4, 6}, base},
		"transposed": {[]int{6, 4}, transposed},
		"slice":      {[]int{2, 3}, []float32{1.25, 1.5, 1.75, 2.75, 3, 3.25}},
		"strided":    {[]int{2, 3}, []float32{-0.5, 0, 0.5, 2.5, 3, 3.5}},
		"permuted":   {[]int{2, 2, 3, 2, 1}, permuted},
		"tied.a":     {[]int{3}, quarters[:3]},
		"tied.b":     {[]int{3}, quarters[:3]},
	} {
		require.Contains(t, got, name)
		assert.Equal(t, want.data, got[name].Data(), name)
		assert.Equal(t, want.shape, append([]int{}, got[name].Shape()...), name)
	}
	special := got["special"].Data().([]float32)
	assert.True(t, math.IsNaN(float64(special[0])))
	assert.Equal(t, []uint32{0x7f800000, 0x80000000}, []uint32{math.Float32bits(special[1]), math.Float32bits(special[2])})
	assert.Equal(t, []float32{0x1p-24, 65504}, special[3:])
	assert.Same(t, got["tied.a"], got["tied.b"], "tied parameters are the same tensor")
	assert.Len(t, got, 20)

	// Writing and reading again gives the same tensors.
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, Save(path, got, nil))
	again, _, err := Load(path)
	require.NoError(t, err)
	assert.Equal(t, permuted, again["permuted"].Data())
	assert.Len(t, again, len(got))
}

// entries are the names and contents of an archive's entries, in order.
type entries [][2]string

// archiveOf returns an uncompressed archive whose entries are in the folder "archive".
func archiveOf(t testing.TB, e entries) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, nameAndText := range e {
		f, err := w.CreateHeader(&zip.FileHeader{Name: "archive/" + nameAndText[0], Method: zip.Store})
		require.NoError(t, err)
		_, err = f.Write([]byte(nameAndText[1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// The functions pText to pTensor return fragments of pickles.

func pText(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func pInt(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func pInts(values ...int64) string {
	s := "("
	for _, v := range values {
		s += pInt(v)
	}
	return s + "t"
}

func pStorage(class, key string, count int64) string {
	return "(" + pText("storage") + "ctorch\n" + class + "\n" + pText(key) + pText("cpu") + pInt(count) + "tQ"
}

func pTensor(storage string, offset int64, shape, strides string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + pInt(offset) + shape + strides + "\x89ccollections\nOrderedDict\n)RtR"
}

// pDict returns a complete pickle of a dictionary with the given keys and values.
func pDict(keysAndValues ...string) string {
	return "\x80\x02}(" + strings.Join(keysAndValues, "") + "u."
}

const sixFloats = "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40\x00\x00\xa0\x40\x00\x00\xc0\x40" // 1 … 6

func floats(offset int64, shape, strides string) string {
	return pTensor(pStorage("FloatStorage", "0", 6), offset, shape, strides)
}

// decodeBytes reads all tensors of a file.
func decodeBytes(raw []byte) (map[string]*tensor.Dense, error) {
	var begin start
	copy(begin[:], raw)
	items, _, err := describe(bytes.NewReader(raw), int64(len(raw)), begin)
	if err != nil {
		return nil, err
	}
	return read(items)
}

func TestTorchByHand(t *testing.T) {
	good := pDict(pText("w"), floats(0, pInts(2, 3), pInts(3, 1)))
	for name, c := range map[string]struct {
		e    entries
		want []float32
	}{
		"plain":         {entries{{"data.pkl", good}, {"data/0", sixFloats}}, []float32{1, 2, 3, 4, 5, 6}},
		"little endian": {entries{{"data.pkl", good}, {"byteorder", "little"}, {"data/0", sixFloats}}, []float32{1, 2, 3, 4, 5, 6}},
		"big endian": {entries{{"data.pkl", good}, {"byteorder", "big"}, {"data/0", strings.Join([]string{
			"\x3f\x80\x00\x00", "\x40\x00\x00\x00", "\x40\x40\x00\x00", "\x40\x80\x00\x00", "\x40\xa0\x00\x00", "\x40\xc0\x00\x00"}, "")}},
			[]float32{1, 2, 3, 4, 5, 6}},
		"the last of equal keys": {entries{{"data.pkl", pDict(pText("w"), "K\x01", pText("w"), floats(0, pInts(6), pInts(1)))}, {"data/0", sixFloats}}, []float32{1, 2, 3, 4, 5, 6}},
		"repeated by a stride of 0": {entries{{"data.pkl", pDict(pText("w"), floats(5, pInts(2, 2), pInts(0, 0)))}, {"data/0", sixFloats}},
			[]float32{6, 6, 6, 6}},
		"an unknown call": {entries{{"data.pkl", pDict(pText("x"), "cposix\nsystem\n"+pText("true")+"\x85R", pText("w"), floats(4, pInts(2), pInts(1)))}, {"data/0", sixFloats}},
			[]float32{5, 6}},
	} {
		got, err := decodeBytes(archiveOf(t, c.e))
		require.NoError(t, err, name)
		require.Contains(t, got, "w", name)
		assert.Equal(t, c.want, got["w"].Data(), name)
	}
}

func TestTorchRejectsHostileFiles(t *testing.T) {
	// The largest ints depend on the machine.
	const huge, half, root = math.MaxInt >> 23, math.MaxInt/2 + 1, 1 << (strconv.IntSize / 2)
	w := func(value string) entries {
		return entries{{"data.pkl", pDict(pText("w"), value)}, {"data/0", sixFloats}}
	}
	raw := func(pickle string) entries { return entries{{"data.pkl", pickle}, {"data/0", sixFloats}} }
	whole := floats(0, pInts(6), pInts(1))
	var many []string
	for i := range int64(9) { // 27 elements: 9 views of 3, all different
		many = append(many, pText(fmt.Sprint(i)), floats(i%4, pInts(3), pInts(i/4)))
	}
	for want, e := range map[string]entries{
		fmt.Sprintf("storage has 24 bytes, want %d", int64(4*huge)): w(pTensor(pStorage("FloatStorage", "0", huge), 0, pInts(huge), pInts(1))),
		"storage has 24 bytes, want 48":                             w(pTensor(pStorage("LongStorage", "0", 6), 0, pInts(6), pInts(1))),
		`storage "0" has -1 elements`:                               w(pTensor(pStorage("FloatStorage", "0", -1), 0, pInts(6), pInts(1))),
		`storage "0" has 9223372036854775807`:                       w(pTensor(pStorage("FloatStorage", "0", math.MaxInt64), 0, pInts(6), pInts(1))),
		`has no entry "data/1"`:                                     w(pTensor(pStorage("FloatStorage", "1", 6), 0, pInts(6), pInts(1))),
		`has no entry "data/../data.pkl"`:                           w(pTensor(pStorage("FloatStorage", "../data.pkl", 6), 0, pInts(6), pInts(1))),
		"offset 1 reaches beyond its storage of 6":                  w(floats(1, pInts(6), pInts(1))),
		"strides [3 2]":                                             w(floats(0, pInts(2, 3), pInts(3, 2))),
		fmt.Sprintf("shape [2 %d]", half):                           w(floats(0, pInts(2, half), pInts(1, 4))),
		fmt.Sprintf("strides [%d]", math.MaxInt):                    w(floats(0, pInts(3), pInts(math.MaxInt))),
		"repeats too often the elements":                            w(floats(0, pInts(huge), pInts(0))),
		"repeats too often the elements of":                         w(floats(0, pInts(root, root), pInts(0, 0))),
		"have more than 4 times":                                    raw(pDict(many...)),
		"shape [0 3] has no elements":                               w(floats(0, pInts(0, 3), pInts(3, 1))),
		"strides: value 0 is an int":                                w(floats(0, pInts(6), pInts(-1))),
		"shape [6] and strides [] differ":                           w(floats(0, pInts(6), ")")),
		"offset is an int outside":                                  w(floats(7, pInts(1), pInts(1))),
		"offset is an int":                                          w(floats(-1, pInts(1), pInts(1))),
		"shape: it is a list":                                       w(floats(0, "]", pInts(1))),
		"shape: it is a tuple":                                      w(floats(0, "("+strings.Repeat("K\x01", 65)+"t", pInts(1))),
		"the storage is None":                                       w(pTensor("N", 0, pInts(1), pInts(1))),
		`it contains a value of "posix.system" without any tensor`:  raw("\x80\x02cposix\nsystem\n" + pText("true") + "\x85R."),
		"calls a tuple":                                             raw("\x80\x02))R."),
		"opcode 0x69":                                               raw("\x80\x02(iposix\nsystem\n."), // INST
		"it refers to a string in an int":                           raw("\x80\x04K\x01" + pText("system") + "\x93."),
		"pickle protocol 6, want 2 to 5":                            raw("\x80\x06N."),
		"sets attributes of a list":                                 raw("\x80\x02]}b."),
		"appends to a dictionary":                                   raw("\x80\x02}Na."),
		"sets items of a list":                                      raw("\x80\x02]NNs."),
		"a key has no value":                                        raw("\x80\x02}(Nu."),
		"no value to add to":                                        raw("\x80\x02(Ne."),
		"no value to store in the memo":                             raw("\x80\x02q\x00."),
		"memo entry 4294967295 does not exist":                      raw("\x80\x02j\xff\xff\xff\xff."),
		"a mark is missing":                                         raw("\x80\x02t."),
		"2 values are needed, but the stack has 1":                  raw("\x80\x02(N\x86."),
		"4294967295 bytes are needed, but only 3 are left":          raw("\x80\x02X\xff\xff\xff\xffabc"),
		"ends early":                                                raw("\x80\x02"),
		"unterminated line":                                         raw("\x80\x02cposix"),
		"0 values and 0 open marks":                                 raw("\x80\x02."),
		"1 bytes follow its end":                                    raw("\x80\x02}.}"),
		"it refers to None":                                         raw("\x80\x02NQ."),
		"storage: (None, a string, an int)":                         raw("\x80\x02(" + pText("storage") + "N" + pText("0") + "NK\x01tQ."),
		"it contains None without any tensor":                       raw("\x80\x02N."),
		"it contains a dictionary without any tensor":               raw("\x80\x02}."),
		"without data.pkl":                                          {{"other", ""}},
		"no entry \"data/0\"":                                       {{"data.pkl", pDict(pText("w"), whole)}},
		"duplicate entry":                                           {{"data.pkl", pDict(pText("w"), whole)}, {"data/0", sixFloats}, {"data/0", sixFloats}},
		"the byte order is \"middle\"":                              {{"data.pkl", pDict(pText("w"), whole)}, {"data/0", sixFloats}, {"byteorder", "middle"}},
	} {
		_, err := decodeBytes(archiveOf(t, e))
		assert.ErrorContains(t, err, want, want)
	}

	// A value that contains itself must not be traversed forever.
	_, err := decodeBytes(archiveOf(t, raw("\x80\x02]q\x00h\x00a.")))
	assert.ErrorContains(t, err, "it contains a list without any tensor")

	for want, pickle := range map[string]string{
		"it calls an int":                       "\x80\x02K\x01)R.",
		"calls \"posix.system\" with a list":    "\x80\x02cposix\nsystem\n]R.",
		"opcode 0x97":                           "\x80\x05\x97.", // NEXT_BUFFER
		"no value to duplicate":                 "\x80\x02(2.",
		"1 values are needed":                   "\x80\x020.",
		"a name has more than 4096 bytes":       "\x80\x02c" + strings.Repeat("x", 5000) + "\n\n.",
		"there are no arguments":                "\x80\x02ctorch._utils\n_rebuild_parameter\n)R.",
		"0 arguments, want at least 4":          "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
		"the state of a NumPy array is None":    "\x80\x02cnumpy.core.multiarray\n_reconstruct\n)RNb.",
		"the state of a NumPy dtype is a tuple": "\x80\x02cnumpy\ndtype\n" + pText("f4") + "\x85R)b.",
		"a NumPy array of shape [2] has 4 bytes": "\x80\x04cnumpy.core.numeric\n_frombuffer\n(C\x04abcdcnumpy\ndtype\n" + pText("f4") +
			"\x85RK\x02\x85" + pText("C") + "tR.",
		"which is not Latin-1":            "\x80\x02c_codecs\nencode\n" + pText("€") + pText("latin1") + "\x86R.",
		"storage \"0\" is both 6":         pDict(pText("w"), whole, pText("v"), pTensor(pStorage("LongStorage", "0", 6), 0, pInts(6), pInts(1))),
		"storage \"0\": its part is a tu": "\x80\x02(" + pText("storage") + "ctorch\nFloatStorage\n" + pText("0") + pText("cpu") + "K\x06)tQ.",
		"single tensor":                   "\x80\x02" + whole + ".",
	} {
		_, err := decodeBytes(archiveOf(t, raw(pickle)))
		assert.ErrorContains(t, err, want, want)
	}

	// A compressed entry could be far larger than the file.
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	f, err := z.Create("archive/data.pkl")
	require.NoError(t, err)
	_, err = f.Write(make([]byte, 10<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	_, err = decodeBytes(out.Bytes())
	assert.ErrorContains(t, err, "it is compressed")
}

// TestTorchMemory checks that a small file that describes terabytes of data needs little
// memory.
func TestTorchMemory(t *testing.T) {
	raw := archiveOf(t, entries{{"data.pkl", pDict(pText("w"), pTensor(pStorage("FloatStorage", "0", 1<<40), 0, pInts(1<<40), pInts(1)))}, {"data/0", sixFloats}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := decodeBytes(raw)
	runtime.ReadMemStats(&after)
	require.Error(t, err)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

// TestTorchRepetition checks that values that contain each other, or copies of one value,
// cannot make a small file large.
func TestTorchRepetition(t *testing.T) {
	repeat := func(n int, step string) string { return strings.Repeat(step, n) }
	whole := floats(0, pInts(6), pInts(1))
	module := func(members string) string {
		return "cm\nModule\n)\x81}(" + pText("_parameters") + "}" + pText("_modules") + "}" + members + "ub"
	}
	// Memo entry 0 is the innermost value; each step doubles it.
	tuples := "\x80\x02}" + pText("w") + whole + "\x85q\x00" + repeat(100, "0h\x00h\x00\x86q\x00") + "s."
	modules := "\x80\x02}" + pText("m") + "cm\nModule\n)\x81}(" + pText("_modules") + "}" + pText("_parameters") + "}" + pText("w") + whole + "subq\x00" +
		repeat(100, "0"+module("("+pText("a")+"h\x00"+pText("b")+"h\x00u")+"q\x00") + "s."
	text := strings.Repeat("x", 10_000)
	encoded := "\x80\x02]" + pText(text) + "q\x000(" + repeat(100, "c_codecs\nencode\nh\x00"+pText("latin1")+"\x86R") + "e."
	pairs := "\x80\x02](" + repeat(1000, "K\x01K\x02\x86") + "e\x85q\x000](" + repeat(1000, "ccollections\nOrderedDict\nh\x00R") + "e."
	deep := "\x80\x02" + repeat(2000, "]") + repeat(1999, "a") + "."
	for want, pickle := range map[string]string{
		"contain each other so often":         tuples,
		"contain each other so often that":    modules,
		"copy more than the ":                 encoded,
		"copy more than":                      pairs,
		"values are nested more than 1000":    deep,
		"it contains a value of \"m.Module\"": "\x80\x02" + "cm\nModule\n)\x81q\x00}(" + pText("_parameters") + "}" + pText("_modules") + "}" + pText("a") + "h\x00sub.",
	} {
		_, err := decodeBytes(archiveOf(t, entries{{"data.pkl", pickle}, {"data/0", sixFloats}}))
		assert.ErrorContains(t, err, want)
	}
}

// TestPlainPickle reads a tensor that is pickled with its storage inside a bytes value,
// which must not contain another one.
func TestPlainPickle(t *testing.T) {
	sized := func(op, s string) string {
		return op + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	legacy := func(value, keys, storages string) string {
		return "\x80\x02\x8a\x0a" + string(legacyMagic) + ".\x80\x02" + pInt(legacyVersion) + ".\x80\x02}.\x80\x02" + value + ".\x80\x02" + keys + "." + storages
	}
	eight := "\x06\x00\x00\x00\x00\x00\x00\x00" + sixFloats
	storage := "ctorch.storage\n_load_from_bytes\n" + sized("B", legacy(pStorage("FloatStorage", "9", 6), "]"+pText("9")+"a", eight)) + "\x85R"
	got, err := decodeBytes([]byte(pDict(pText("w"), pTensor(storage, 1, pInts(2), pInts(1)))))
	require.NoError(t, err)
	assert.Equal(t, []float32{2, 3}, got["w"].Data())

	part := strings.Replace(pStorage("FloatStorage", "9", 6), "tQ", "("+pText("8")+"K\x02K\x03ttQ", 1)
	view := "}" + pText("w") + pTensor(part, 1, pInts(2), pInts(1)) + "s"
	got, err = decodeBytes([]byte(legacy(view, "]"+pText("9")+"a", eight)))
	require.NoError(t, err)
	assert.Equal(t, []float32{4, 5}, got["w"].Data(), "a view of a part of a storage")

	for want, file := range map[string]string{
		"the keys of its storages are None":  legacy(view, "N", eight),
		"to which no tensor refers":          legacy(view, "]"+pText("7")+"a", eight),
		"storage \"9\" is missing":           legacy(view, "]", eight),
		"has 7 elements, want 6":             legacy(view, "]"+pText("9")+"a", "\x07"+eight[1:]),
		"needs 24 bytes, but only 23":        legacy(view, "]"+pText("9")+"a", eight[:31]),
		"before storage \"9\"":               legacy(view, "]"+pText("9")+"a", ""),
		"its version is 7":                   "\x80\x02\x8a\x0a" + string(legacyMagic) + ".\x80\x02K\x07.",
		"unknown class \"torch.NewStorage\"": legacy(strings.Replace(view, "FloatStorage", "NewStorage", 1), "]"+pText("9")+"a", eight),
		"the argument is a bytes value":      pDict(pText("w"), "ctorch.storage\n_load_from_bytes\n"+sized("B", "\x80\x02"+storage+".")+"\x85R"),
		"without the storages":               pDict(pText("w"), floats(0, pInts(6), pInts(1))),
		"bytes follow its end":               "\x80\x02}.}",
	} {
		_, err := decodeBytes([]byte(file))
		assert.ErrorContains(t, err, want)
	}
}

// TestTorchDamage truncates a valid file at every length and flips a bit of every byte. A
// flip must either be detected or not change what is read.
func TestTorchDamage(t *testing.T) {
	good, err := os.ReadFile("testdata/types.pth")
	require.NoError(t, err)
	want, err := decodeBytes(good)
	require.NoError(t, err)
	for n := range good {
		_, err := decodeBytes(good[:n])
		require.Error(t, err, "%d bytes", n)
	}
	legacy, err := os.ReadFile("testdata/legacy.pth")
	require.NoError(t, err)
	for n := range legacy {
		_, err := decodeBytes(legacy[:n])
		require.Error(t, err, "%d bytes", n)
	}
	found := 0
	for i := range good {
		damaged := bytes.Clone(good)
		damaged[i] ^= 0x10
		got, err := decodeBytes(damaged)
		if err != nil {
			found++
			continue
		}
		require.Len(t, got, len(want), "byte %d", i)
		for name := range want {
			if name != "special" { // it contains NaN, which does not equal itself
				require.Equal(t, want[name].Data(), got[name].Data(), "byte %d: %s", i, name)
			}
		}
	}
	assert.Greater(t, found, len(good)/4)
}

// FuzzTorch checks that any file, and any pickle in an archive with one storage, is
// either rejected or gives tensors that can be written.
func FuzzTorch(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	require.NoError(f, err)
	for _, name := range files {
		if filepath.Ext(name) == ".py" {
			continue
		}
		raw, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(raw)
		if z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw))); err == nil {
			for _, entry := range z.File {
				if path.Base(entry.Name) == "data.pkl" {
					in, err := entry.Open()
					require.NoError(f, err)
					pickle, err := io.ReadAll(in)
					require.NoError(f, err)
					f.Add(pickle)
				}
			}
		}
	}
	f.Add([]byte(pDict(pText("w"), floats(0, pInts(2, 3), pInts(3, 1)))))
	f.Add([]byte(pDict(pText("net"), "}"+pText("module.w")+floats(1, pInts(2, 2), pInts(0, 2))+"s")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, file := range [][]byte{raw, archiveOf(t, entries{{"data.pkl", string(raw)}, {"data/0", sixFloats}})} {
			var begin start
			copy(begin[:], file)
			items, _, err := describe(bytes.NewReader(file), int64(len(file)), begin)
			if err != nil {
				continue
			}
			if fitted, err := fit(items, small, ""); err == nil {
				require.Len(t, fitted.State, len(small))
			}
			tensors, err := read(items)
			if err != nil {
				continue
			}
			if _, reserved := tensors["__metadata__"]; !reserved {
				require.NoError(t, encode(&bytes.Buffer{}, tensors, nil))
			}
		}
	})
}
