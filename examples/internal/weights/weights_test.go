package weights

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func sample() map[string]*tensor.Dense {
	return map[string]*tensor.Dense{
		"a.weight":              tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, -2, 3.5, float32(math.Inf(-1)), math.SmallestNonzeroFloat32, 0})),
		"a.bias":                tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{math.Pi})),
		"a.num_batches_tracked": tensor.New(tensor.FromScalar(int64(math.MaxInt64))),
		"s32":                   tensor.New(tensor.FromScalar(float32(1.5))),
		"s64":                   tensor.New(tensor.FromScalar(2.5)),
		"counts":                tensor.New(tensor.WithShape(3), tensor.WithBacking([]int64{-1, 0, 1})),
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	meta := map[string]string{"model": "unet", "note": "µ \"quoted\"\n"}
	require.NoError(t, Save(path, sample(), meta))
	got, gotMeta, err := Load(path)
	require.NoError(t, err)
	assert.Equal(t, meta, gotMeta)
	want := sample()
	require.Len(t, got, len(want))
	for name, w := range want {
		require.Contains(t, got, name)
		assert.Equal(t, w.Data(), got[name].Data(), name)
		assert.Equal(t, []int(w.Shape()), []int(got[name].Shape()), name)
	}

	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, Save(path, sample(), meta)) // replaces the file
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, first, second, "the same content gives the same bytes")
	requireFiles(t, filepath.Dir(path), "w.safetensors")

	encoded, err := Encode(sample(), meta)
	require.NoError(t, err)
	assert.Equal(t, first, encoded)
	decoded, decodedMeta, err := Decode(encoded)
	require.NoError(t, err)
	assert.Equal(t, got, decoded)
	assert.Equal(t, meta, decodedMeta)
	for _, damaged := range [][]byte{nil, encoded[:5], encoded[:len(encoded)-1], append([]byte("x"), encoded...)} {
		_, _, err := Decode(damaged)
		assert.Error(t, err)
	}
}

// TestSaveLeavesNothingBehind checks that a failed Save does not change the old file and
// leaves no other one.
func TestSaveLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	transposed := tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Float32))
	require.NoError(t, transposed.T())
	for want, bad := range map[string]*tensor.Dense{
		"is nil":         nil,
		"not contiguous": transposed,
		"element type":   tensor.New(tensor.WithShape(2), tensor.WithBacking([]uint8{1, 2})),
	} {
		assert.ErrorContains(t, Save(path, map[string]*tensor.Dense{"x": bad}, nil), want)
	}
	assert.ErrorContains(t, Save(path, map[string]*tensor.Dense{"__metadata__": sample()["s32"]}, nil), "metadata")
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "old", string(old))
	requireFiles(t, dir, "w")
	assert.Error(t, Save(filepath.Join(dir, "absent", "w"), sample(), nil))

	// The target is a folder, so that only the final rename fails.
	require.NoError(t, os.Mkdir(filepath.Join(dir, "taken"), 0o755))
	assert.Error(t, Save(filepath.Join(dir, "taken"), sample(), nil))
	requireFiles(t, dir, "taken", "w")
}

func requireFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	require.Equal(t, names, got)
}

func TestLoadRejectsDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w")
	require.NoError(t, Save(path, sample(), nil))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	const neither = "is neither a safetensors file nor one written by PyTorch"
	for name, c := range map[string]struct {
		damaged []byte
		want    string
	}{
		"empty":            {nil, neither},
		"short":            {raw[:7], neither},
		"text":             {[]byte("# A title\n\nA text that is longer than a header's length.\n"), neither},
		"text with brace":  {[]byte("function{ return }"), neither},
		"no header":        {[]byte("\x02\x00\x00\x00\x00\x00\x00\x00[]"), neither},
		"truncated header": {raw[:20], "the file ends early: it has 20 bytes, but the header alone needs "},
		"no data":          {raw[:bytes.LastIndexByte(raw, '}')+1], "the file ends early"},
		"truncated":        {raw[:len(raw)-1], fmt.Sprintf("the file ends early, after %d bytes", len(raw)-1)},
		"longer":           {append(bytes.Clone(raw), 0), "1 bytes follow its last tensor"},
		"dtype":            {bytes.Replace(raw, []byte(`"F64"`), []byte(`"BF1"`), 1), `invalid DType string value "BF1"`},
		"bytes":            {bytes.Replace(raw, []byte(`"I64","shape":[3]`), []byte(`"U64","shape":[3]`), 1), `element type "U64" is not supported`},
		"no voxels":        {[]byte("\x3b\x00\x00\x00\x00\x00\x00\x00" + `{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}     `), "shape [0] has no elements"},
	} {
		require.NotEqual(t, raw, c.damaged)
		require.NoError(t, os.WriteFile(path, c.damaged, 0o644))
		_, _, err := Load(path)
		assert.ErrorContains(t, err, path, name)
		assert.ErrorContains(t, err, c.want, name)
	}
	_, _, err = Load(filepath.Join(dir, "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// decode reads a safetensors file.
func decode(raw []byte) (map[string]*tensor.Dense, map[string]string, error) {
	var begin start
	copy(begin[:], raw)
	items, metadata, err := describeSafetensors(bytes.NewReader(raw), int64(len(raw)), begin)
	if err != nil {
		return nil, nil, err
	}
	tensors, err := read(items)
	return tensors, metadata, err
}

// FuzzDecode checks that any bytes are either rejected or give tensors that can be written
// and read again.
func FuzzDecode(f *testing.F) {
	var raw bytes.Buffer
	require.NoError(f, encode(&raw, sample(), map[string]string{"k": "v"}))
	f.Add(raw.Bytes())
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tensors, metadata, err := decode(raw)
		if err != nil {
			return
		}
		var again bytes.Buffer
		require.NoError(t, encode(&again, tensors, metadata))
		tensors2, metadata2, err := decode(again.Bytes())
		require.NoError(t, err)
		require.Len(t, tensors2, len(tensors))
		require.Len(t, metadata2, len(metadata))
	})
}
