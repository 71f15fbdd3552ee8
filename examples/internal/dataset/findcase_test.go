package dataset

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// touch creates empty files in a new folder; FindCase only looks at names.
func touch(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "patient")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	return dir
}

func TestFindCase(t *testing.T) {
	for _, c := range []struct {
		files []string
		path  string // relative to the folder
		id    string
		want  []string
	}{
		{[]string{"10_100_adc.mha", "10_100_hbv.mha", "10_100_t2w.mha", "10_100_sag.mha", "10_100_cor.mha"}, "", "10_100",
			[]string{"10_100_t2w.mha", "10_100_adc.mha", "10_100_hbv.mha"}},
		{[]string{"BraTS20_001_t1.nii.gz", "BraTS20_001_t1ce.nii.gz", "BraTS20_001_t2.nii.gz", "BraTS20_001_flair.nii.gz", "BraTS20_001_seg.nii.gz"}, "", "BraTS20_001",
			[]string{"BraTS20_001_flair.nii.gz", "BraTS20_001_t1.nii.gz", "BraTS20_001_t1ce.nii.gz", "BraTS20_001_t2.nii.gz"}},
		{[]string{"BraTS-GLI-1-000-t1n.nii.gz", "BraTS-GLI-1-000-t1c.nii.gz", "BraTS-GLI-1-000-t2w.nii.gz", "BraTS-GLI-1-000-t2f.nii.gz"}, "", "BraTS-GLI-1-000",
			[]string{"BraTS-GLI-1-000-t2f.nii.gz", "BraTS-GLI-1-000-t1n.nii.gz", "BraTS-GLI-1-000-t1c.nii.gz", "BraTS-GLI-1-000-t2w.nii.gz"}},
		{[]string{"a_0001.nii", "a_0000.nii", ".a_0002.nii", "a_0002.txt"}, "", "a", []string{"a_0000.nii", "a_0001.nii"}},
		{[]string{"t2w.nii", "adc.nii", "hbv.nii"}, "", "patient", []string{"t2w.nii", "adc.nii", "hbv.nii"}},
		{[]string{"a_image.nii", "ab_image.nii", "b_image.nii"}, "a", "a", []string{"a_image.nii"}},
		{[]string{"a_image.nii", "ab_image.nii", "b_image.nii"}, "ab", "ab", []string{"ab_image.nii"}},
		{[]string{"case_12_image.nii", "other_image.nii"}, "case_1", "case_12", []string{"case_12_image.nii"}},
	} {
		dir := touch(t, c.files...)
		got, err := FindCase(filepath.Join(dir, c.path))
		require.NoError(t, err)
		var want []string
		for _, name := range c.want {
			want = append(want, filepath.Join(dir, name))
		}
		assert.Equal(t, Case{ID: c.id, Images: want}, got)
	}
}

func TestFindCaseErrors(t *testing.T) {
	for want, files := range map[string][]string{
		": found the images scan.nii; want images (.nii.gz, .nii, .mha, .mhd, .hdr.gz, .hdr) whose name ends in t2w+adc+hbv, ": {"scan.nii", "t2w.txt", ".a_image.nii"},
		": found no image, but 1.txt, 2.txt, 3.txt and 2 others; want images (":                                                {"1.txt", "2.txt", "3.txt", "4.txt", "5.txt"},
		": found nothing; want images (":                                nil,
		"contains 2 cases, including a and b":                           {"a_image.nii", "b_image.nii"},
		"case a has the images adc, t2w, want one complete set of t2w+": {"a_t2w.nii", "a_adc.nii"},
		"are the same image":                                            {"a_image.nii", "a_image.nii.gz"},
	} {
		_, err := FindCase(touch(t, files...))
		assert.ErrorContains(t, err, want)
	}
	dir := touch(t, "b_image.nii", "c.nii")
	_, err := FindCase(filepath.Join(dir, "a"))
	assert.ErrorContains(t, err, "dataset: "+dir+": found the images b_image.nii, c.nii; want images (.nii.gz, .nii, .mha, .mhd, .hdr.gz, .hdr) whose name begins with a and ends in ")
	_, err = FindCase(filepath.Join(t.TempDir(), "absent", "a"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestCaseOf(t *testing.T) {
	for path, want := range map[string]string{
		"dir/10_100_t2w.mha": "10_100", "brain.nii.gz": "brain", "t2w.nii": "t2w", "odd.img": "odd.img",
	} {
		images := []string{path, "second.nii"}
		assert.Equal(t, Case{ID: want, Images: images}, CaseOf(images))
	}
}

func TestFindCases(t *testing.T) {
	dir := touch(t, "b_image.nii", "a_image.nii.gz", "a_gt.nii", "notes.txt")
	for _, name := range []string{"c/c_adc.mha", "c/c_hbv.mha", "c/c_t2w.mha", "c/d_t2w.mha", "c/d_adc.mha", "c/d_hbv.mha", "e/image.nii", ".hidden/f_image.nii", "c/deeper/g_image.nii"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	cases, err := FindCases(dir)
	require.NoError(t, err)
	var ids []string
	for _, c := range cases {
		ids = append(ids, c.ID)
	}
	assert.Equal(t, []string{"a", "b", "c", "d", "e"}, ids)
	assert.Equal(t, []string{filepath.Join(dir, "c", "c_t2w.mha"), filepath.Join(dir, "c", "c_adc.mha"), filepath.Join(dir, "c", "c_hbv.mha")}, cases[2].Images)

	for want, files := range map[string][]string{
		" and the folders directly below it: found the images scan.nii, " + filepath.Join("a", "scan.nii") + "; want images (": {"scan.nii", "a/scan.nii"},
		"case a has the images adc, t2w, want one complete set of t2w+":                                                        {"a_t2w.nii", "a_adc.nii", "b_image.nii"},
	} {
		_, err := FindCases(touch(t, files...))
		assert.ErrorContains(t, err, want)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c", "a_image.nii"), nil, 0o644))
	_, err = FindCases(dir)
	assert.ErrorContains(t, err, "are both of a case named a")
	_, err = FindCases(filepath.Join(dir, "absent"))
	assert.Error(t, err)
}

func TestFindLabel(t *testing.T) {
	dir := touch(t, "a_gt.nii.gz", "ab_seg.mha", "b.nii", "c_label.nii", "c_gt.nii", "a_image.nii", "e/e-seg.nii", "e/e-t1c.nii", "f.nii", "f/f_gt.nii")
	for id, want := range map[string]string{"a": "a_gt.nii.gz", "ab": "ab_seg.mha", "b": "b.nii", "e": "e/e-seg.nii"} {
		got, err := FindLabel(dir, id)
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(dir, want), got)
	}
	_, err := FindLabel(dir, "c")
	assert.ErrorContains(t, err, "are both labels of the case c")
	_, err = FindLabel(dir, "d")
	assert.ErrorContains(t, err, "contains no label d, nor d with the ending seg, gt, label")
	_, err = FindLabel(dir, "f")
	assert.ErrorContains(t, err, "are both labels of the case f")
	_, err = FindLabel(filepath.Join(dir, "absent"), "a")
	assert.Error(t, err)
}

func TestChannelNames(t *testing.T) {
	assert.Equal(t, []string{"adc", "t2w", "hbv"}, ChannelNames([]string{"x/1_adc.mha", "1_t2w.nii.gz", "2-hbv.nii"}))
	assert.Equal(t, []string{"0001", "0000"}, ChannelNames([]string{"a_0001.nii", "a_0000.nii"}))
	assert.Nil(t, ChannelNames([]string{"a_adc.nii", "a.nii"}))
	assert.Nil(t, ChannelNames([]string{"a_image.nii"}))
	assert.Equal(t, []string{"t2w", "adc", "hbv"}, ChannelOrder([]string{"hbv", "adc", "t2w"}))
	assert.Equal(t, []string{"0000", "0001"}, ChannelOrder([]string{"0001", "0000"}))
	assert.Nil(t, ChannelOrder([]string{"adc", "t2w"}))
	assert.Nil(t, ChannelOrder([]string{"adc", "adc", "t2w"}))
}
