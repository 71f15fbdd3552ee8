package fingerprint

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dataset"
)

// write writes cases with two image files and a label each.
func write(t *testing.T, dir string, ids ...string) []dataset.Case {
	t.Helper()
	var cases []dataset.Case
	for _, id := range ids {
		c := dataset.Case{ID: id}
		for _, end := range []string{"_0", "_1", "_gt"} {
			path := filepath.Join(dir, id+end)
			require.NoError(t, os.WriteFile(path, []byte("content of "+id+end), 0o644))
			// As unpacked from an archive, in which all files have the same time.
			require.NoError(t, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
			if end == "_gt" {
				c.Label = path
			} else {
				c.Images = append(c.Images, path)
			}
		}
		cases = append(cases, c)
	}
	return cases
}

func of(t *testing.T, train, valid []dataset.Case, known *Data) *Data {
	t.Helper()
	d, err := Of(context.Background(), dataset.Split{Train: train, Valid: valid}, known, nil)
	require.NoError(t, err)
	return d
}

func TestContent(t *testing.T) {
	dir := t.TempDir()
	train, valid := write(t, dir, "a", "b"), write(t, dir, "c")
	var last, total int64
	d, err := Of(context.Background(), dataset.Split{Train: train, Valid: valid}, nil, func(done, all int64) {
		assert.GreaterOrEqual(t, done, last)
		last, total = done, all
	})
	require.NoError(t, err)
	assert.EqualValues(t, 3*(2*len("content of a_0")+len("content of a_gt")), total)
	assert.Equal(t, total, last)
	require.Len(t, d.Train, 2)
	require.Len(t, d.Valid, 1)
	assert.Equal(t, "b", d.Train[1].ID)
	require.Len(t, d.Train[1].Images, 2)
	assert.Equal(t, int64(len("content of b_1")), d.Train[1].Images[1].Size)
	// printf 'content of b_1' | sha256sum
	assert.Equal(t, "c147e388c52a552c9e2989e9f744f3f7459d2e2c29de9807b49c70dcfafdc7da", d.Train[1].Images[1].SHA256)
	f, err := OfFile(valid[0].Label)
	require.NoError(t, err)
	assert.True(t, f.Equal(d.Valid[0].Label))
	assert.False(t, f.Equal(d.Train[0].Label))

	// The same content elsewhere has the same ID; a case of another name has not.
	moved := t.TempDir()
	other := of(t, write(t, moved, "a", "b"), write(t, moved, "c"), nil)
	require.NoError(t, Compare(d, other))
	id, err := d.ID()
	require.NoError(t, err)
	again, err := other.ID()
	require.NoError(t, err)
	assert.Equal(t, id, again)
	other.Train[0].ID = "z"
	again, err = other.ID()
	require.NoError(t, err)
	assert.NotEqual(t, id, again)
}

func TestCompareNamesTheDifference(t *testing.T) {
	dir := t.TempDir()
	train, valid := write(t, dir, "a", "b"), write(t, dir, "c")
	d := of(t, train, valid, nil)
	for want, change := range map[string]func(*Data){
		"the training case b, which the run started with, is missing":                                     func(n *Data) { n.Train = n.Train[:1] },
		"the validation case d did not exist when the run started":                                        func(n *Data) { n.Valid = append(n.Valid, Case{ID: "d"}) },
		"the training case a has changed since the run started: it had 2 image files and has 1":           func(n *Data) { n.Train[0].Images = n.Train[0].Images[:1] },
		"the training case a has changed since the run started: image file 2 of 2 had 14 bytes with SHA-": func(n *Data) { n.Train[0].Images[1] = n.Train[0].Images[0] },
		"the validation case c has changed since the run started: the label had 15 bytes with SHA-256 ":   func(n *Data) { n.Valid[0].Label.Size++ },
	} {
		now := of(t, train, valid, nil)
		change(now)
		assert.ErrorContains(t, Compare(d, now), want)
	}
	now := of(t, train, valid, nil)
	now.Train[0], now.Train[1] = now.Train[1], now.Train[0]
	assert.NoError(t, Compare(d, now))
}

// TestExchangedFiles exchanges files of the same size and modification time under their
// names, with and without the results of an earlier call.
// TestVoxelsBesideTheHeader changes the file of the voxels alone.
func TestVoxelsBesideTheHeader(t *testing.T) {
	dir := t.TempDir()
	c := dataset.Case{ID: "a", Images: []string{filepath.Join(dir, "a.mhd")}, Label: filepath.Join(dir, "a_gt.mhd")}
	for _, name := range []string{"a", "a_gt"} {
		header := "NDims = 3\nDimSize = 1 1 2\nElementType = MET_UCHAR\nElementDataFile = " + name + ".raw\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".mhd"), []byte(header), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".raw"), []byte{1, 2}, 0o644))
	}
	before := of(t, []dataset.Case{c}, nil, nil)
	require.Len(t, before.Train[0].Voxels, 2)
	id, err := before.ID()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.raw"), []byte{1, 3}, 0o644))
	after := of(t, []dataset.Case{c}, nil, before)
	assert.EqualError(t, Compare(before, after), "the training case a has changed since the run started: a file of voxels beside a header is another one")
	changed, err := after.ID()
	require.NoError(t, err)
	assert.NotEqual(t, id, changed)
	require.NoError(t, os.Remove(filepath.Join(dir, "a_gt.raw")))
	_, err = Of(context.Background(), dataset.Split{Train: []dataset.Case{c}}, nil, nil)
	assert.ErrorContains(t, err, "case a: volume: MetaImage: the voxels")
}

func TestExchangedFiles(t *testing.T) {
	dir := t.TempDir()
	train := write(t, dir, "a", "b")
	d := of(t, train, train[:1], nil)
	assert.Empty(t, d.Train[0].Label.Version, "a new file may change again without a sign")
	if runtime.GOOS == "linux" {
		// Pretend that the files were read when they had settled.
		for i, c := range train {
			for k, path := range c.Images {
				info, err := os.Stat(path)
				require.NoError(t, err)
				d.Train[i].Images[k].Version = version(info)
			}
		}
	}
	a, b := train[0].Images[0], train[1].Images[0]
	require.NoError(t, os.Rename(a, a+".x"))
	require.NoError(t, os.Rename(b, a))
	require.NoError(t, os.Rename(a+".x", b))
	assert.ErrorContains(t, Compare(d, of(t, train, train[:1], nil)), "training case a has changed")
	assert.ErrorContains(t, Compare(d, of(t, train, train[:1], d)), "training case a has changed")
}

func TestKnownFilesAreNotReadAgain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the versions of files are known on Linux only")
	}
	dir := t.TempDir()
	train := write(t, dir, "a")
	d := of(t, train, nil, nil)
	info, err := os.Stat(train[0].Label)
	require.NoError(t, err)
	d.Train[0].Label.Version = version(info)
	var total int64
	again, err := Of(context.Background(), dataset.Split{Train: train}, d, func(_, all int64) { total = all })
	require.NoError(t, err)
	assert.EqualValues(t, 2*len("content of a_0"), total, "the label is not read")
	assert.Equal(t, d.Train[0].Label, again.Train[0].Label)

	// Overwritten in place by content of the same length, with the old modification time.
	require.NoError(t, os.WriteFile(train[0].Label, []byte(strings.Repeat("x", len("content of a_gt"))), 0o644))
	require.NoError(t, os.Chtimes(train[0].Label, time.Unix(1e9, 0), time.Unix(1e9, 0)))
	again = of(t, train, nil, d)
	assert.ErrorContains(t, Compare(d, again), "the label had 15 bytes")
}

func TestErrors(t *testing.T) {
	train := write(t, t.TempDir(), "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Of(ctx, dataset.Split{Train: train}, nil, nil)
	require.ErrorIs(t, err, context.Canceled)
	train[0].Images[1] += "gone"
	_, err = Of(context.Background(), dataset.Split{Train: train}, nil, nil)
	require.ErrorContains(t, err, "case a")
	require.ErrorContains(t, err, "gone")
	_, err = OfFile(t.TempDir())
	require.Error(t, err)
}

// TestOverlap gives test cases the ID or an image of another case.
func TestOverlap(t *testing.T) {
	dir := t.TempDir()
	train, valid, test := write(t, dir, "a", "b"), write(t, dir, "c"), write(t, dir, "d", "e")
	data := func() *Data {
		d, err := Of(context.Background(), dataset.Split{Train: train, Valid: valid, Test: test}, nil, nil)
		require.NoError(t, err)
		return d
	}
	before := data()
	require.Len(t, before.Test, 2)
	require.NoError(t, before.Overlap())
	id, err := before.ID()
	require.NoError(t, err)

	d := data()
	d.Test[1].ID = "c"
	assert.EqualError(t, d.Overlap(), "the test case c is also a validation case")
	d.Test[0].ID = "b"
	assert.EqualError(t, d.Overlap(), "the test case b is also a training case")

	d = data()
	d.Test[1].Label = d.Train[0].Label
	assert.NoError(t, d.Overlap(), "empty labels are equal")
	raw, err := os.ReadFile(train[1].Images[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(test[0].Images[1], raw, 0o644))
	d = data()
	assert.EqualError(t, d.Overlap(), "image file 2 of 2 of the test case d has the same content as image file 1 of 2 of the training case b")
	assert.ErrorContains(t, Compare(before, d), "the test case d has changed since the run started: image file 2 of 2")
	changed, err := d.ID()
	require.NoError(t, err)
	assert.NotEqual(t, id, changed)

	// Equal headers of different voxels are no overlap.
	d.Train[1].Voxels, d.Test[0].Voxels = []File{{SHA256: "1"}}, []File{{SHA256: "2"}}
	assert.NoError(t, d.Overlap())
	d.Test[0].Voxels, d.Test[0].Images = d.Train[1].Voxels, d.Train[1].Images
	assert.EqualError(t, d.Overlap(), "the image of the test case d has the same content as the image of the training case b")
}
