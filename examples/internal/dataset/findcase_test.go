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
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
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
		"no image whose name ends in t2w+adc+hbv, ":                     {"scan.nii", "t2w.txt"},
		"contains 2 cases, including a and b":                           {"a_image.nii", "b_image.nii"},
		"case a has the images adc, t2w, want one complete set of t2w+": {"a_t2w.nii", "a_adc.nii"},
		"are the same image":                                            {"a_image.nii", "a_image.nii.gz"},
	} {
		_, err := FindCase(touch(t, files...))
		assert.ErrorContains(t, err, want)
	}
	_, err := FindCase(filepath.Join(t.TempDir(), "absent", "a"))
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
