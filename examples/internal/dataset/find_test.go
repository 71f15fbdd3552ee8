package dataset

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/volume"
)

// layouts are complete sets, each with two training cases and one validation case.
var layouts = map[string]struct {
	layout   Layout
	channels int
	files    []string
}{
	"TrainImage, a file per channel": {TrainImageLayout, 3, []string{
		"TrainImage/1_10_t2w.nii.gz", "TrainImage/1_10_adc.nii.gz", "TrainImage/1_10_hbv.nii.gz", "TrainLabel/1_10_gt.nii.gz",
		"TrainImage/2_20_t2w.nii", "TrainImage/2_20_adc.nii", "TrainImage/2_20_hbv.nii", "TrainLabel/2_20_gt.nii",
		"ValidImage/3_30_t2w.nii.gz", "ValidImage/3_30_adc.nii.gz", "ValidImage/3_30_hbv.nii.gz", "ValidLabel/3_30_gt.nii.gz",
	}},
	"TrainImage, a file per case": {TrainImageLayout, 1, []string{
		"TrainImage/a_image.nii.gz", "TrainLabel/a_gt.nii.gz", "TrainImage/b_image.nii.gz", "TrainLabel/b_gt.nii.gz",
		"ValidImage/c_image.nii.gz", "ValidLabel/c_gt.nii.gz",
	}},
	"TrainVolumes": {TrainVolumesLayout, 3, []string{
		"TrainVolumes/t2w/1.nii.gz", "TrainVolumes/adc/1.nii.gz", "TrainVolumes/hbv/1.nii.gz", "Binary_TrainSegmentation/1.nii.gz",
		"TrainVolumes/t2w/2_t2w.nii.gz", "TrainVolumes/adc/2_adc.nii.gz", "TrainVolumes/hbv/2_0002.nii.gz", "Binary_TrainSegmentation/2_gt.nii.gz",
		"ValidVolumes/t2w/3.nii.gz", "ValidVolumes/adc/3.nii.gz", "ValidVolumes/hbv/3.nii.gz", "Binary_ValidSegmentation/3.nii.gz",
	}},
	"image_Tr": {ImageTrLayout, 1, []string{
		"image_Tr/a.nii.gz", "label_Tr/a.nii.gz", "image_Tr/b_img.nii.gz", "label_Tr/b_seg.nii.gz",
		"image_Val/c.nii.gz", "label_Val/c.nii.gz",
	}},
	"nnU-Net": {NNUNetLayout, 2, []string{
		"imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz",
		"imagesTr/b_0000.nii.gz", "imagesTr/b_0001.nii.gz", "labelsTr/b.nii.gz",
		"imagesTs/c_0000.nii.gz", "imagesTs/c_0001.nii.gz", "labelsTs/c.nii.gz",
	}},
	"Decathlon": {DecathlonLayout, 1, []string{
		"imagesTr/a_001.nii.gz", "labelsTr/a_001.nii.gz", "imagesTr/b_002.nii.gz", "labelsTr/b_002.nii.gz",
		"imagesTs/c_003.nii.gz", "labelsTs/c_003.nii.gz",
	}},
	"folder per case": {CaseFolderLayout, 4, []string{
		"train/x1/x1_flair.nii.gz", "train/x1/x1_t1.nii.gz", "train/x1/x1_t1ce.nii.gz", "train/x1/x1_t2.nii.gz", "train/x1/x1_seg.nii.gz",
		"train/deep/x2/x2_flair.nii.gz", "train/deep/x2/x2_t1.nii.gz", "train/deep/x2/x2_t1ce.nii.gz", "train/deep/x2/x2_t2.nii.gz", "train/deep/x2/x2_seg.nii.gz",
		"Validation/x3/x3_flair.nii", "Validation/x3/x3_t1.nii", "Validation/x3/x3_t1ce.nii", "Validation/x3/x3_t2.nii", "Validation/x3/x3_seg.nii",
	}},
}

func TestFindEveryLayout(t *testing.T) {
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, l.files...)
			// Files that are not images are ignored.
			for _, stray := range []string{"README.json", filepath.Dir(l.files[0]) + "/.a_image.nii.gz", filepath.Dir(l.files[0]) + "/notes.txt"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(stray)), []byte("x"), 0o644))
			}
			s, err := Find(dir)
			require.NoError(t, err)
			assert.Equal(t, l.layout, s.Layout)
			assert.Equal(t, l.channels, s.Channels)
			assert.False(t, s.HeldOut)
			require.Len(t, s.Train, 2)
			require.Len(t, s.Valid, 1)
			assert.Less(t, s.Train[0].ID, s.Train[1].ID)
			var got []string
			for _, c := range slices.Concat(s.Train, s.Valid) {
				for _, path := range append(slices.Clone(c.Images), c.Label) {
					assert.Contains(t, filepath.Base(path), c.ID)
					rel, err := filepath.Rel(dir, path)
					require.NoError(t, err)
					got = append(got, filepath.ToSlash(rel))
				}
			}
			assert.Equal(t, l.files, got, "channels in order, then the label")
		})
	}
}

// TestFindNamesMissingFile removes each file in turn and expects an error that names it.
func TestFindNamesMissingFile(t *testing.T) {
	for name, l := range layouts {
		dir := tree(t, l.files...)
		for _, missing := range l.files {
			t.Run(name+"/"+missing, func(t *testing.T) {
				path := filepath.Join(dir, filepath.FromSlash(missing))
				away := filepath.Join(dir, "away")
				require.NoError(t, os.Rename(path, away))
				defer func() { require.NoError(t, os.Rename(away, path)) }()
				_, err := Find(dir)
				require.Error(t, err)
				// The name in the error may have the layout's default suffix.
				stem, _ := volume.TrimExtension(filepath.Base(missing))
				if l.layout == ImageTrLayout || l.layout == TrainVolumesLayout {
					stem, _, _ = strings.Cut(stem, "_")
				}
				if l.layout == CaseFolderLayout {
					_, ending, _ := strings.Cut(stem, "_")
					assert.ErrorContains(t, err, " in "+filepath.ToSlash(filepath.Dir(missing))+" has no ")
					assert.ErrorContains(t, err, ending)
					return
				}
				assert.ErrorContains(t, err, filepath.ToSlash(filepath.Dir(missing))+"/"+stem)
			})
		}
	}
}

func TestFindNamesUnmatchedFile(t *testing.T) {
	for name, c := range map[string]struct {
		layout, add string
		want        string
	}{
		"image without label":       {"TrainImage, a file per case", "ValidImage/z_image.nii.gz", "image ValidImage/z_image.nii.gz has no label ValidLabel/z_gt"},
		"label without image":       {"TrainImage, a file per case", "TrainLabel/z_gt.nii.gz", "label TrainLabel/z_gt.nii.gz has no image TrainImage/z_image"},
		"unknown suffix":            {"TrainImage, a file per case", "TrainImage/z_flair.nii.gz", "TrainImage/z_flair.nii.gz does not end in _t2w, _adc, _hbv, _image"},
		"unknown label suffix":      {"TrainImage, a file per case", "TrainLabel/z.nii.gz", "TrainLabel/z.nii.gz does not end in _gt"},
		"no channel number":         {"nnU-Net", "imagesTr/z.nii.gz", "imagesTr/z.nii.gz does not end in a channel number"},
		"image of the Decathlon":    {"Decathlon", "imagesTr/z.nii.gz", "image imagesTr/z.nii.gz has no label labelsTr/z"},
		"case twice":                {"folder per case", "train/more/x1_t2.nii.gz", "case x1 is in the folders train/more and train/x1"},
		"channel twice":             {"folder per case", "train/x1/x1-t2.nii.gz", "train/x1/x1-t2.nii.gz and train/x1/x1_t2.nii.gz are the same image"},
		"label twice":               {"folder per case", "train/x1/x1_gt.nii.gz", "train/x1/x1_gt.nii.gz and train/x1/x1_seg.nii.gz are labels of the same case"},
		"case without label":        {"folder per case", "train/x9/x9_t1.nii.gz", "case x9 in train/x9 has no image flair and no t1ce and no t2"},
		"one more channel":          {"nnU-Net", "imagesTs/c_0002.nii.gz", "case c has 3 channels, but case a has 2"},
		"one more channel in train": {"nnU-Net", "imagesTr/a_0002.nii.gz", "case b has no imagesTr/b_0002; case c has no imagesTs/c_0002"},
		"both kinds":                {"TrainImage, a file per case", "TrainImage/z_adc.nii.gz", "TrainImage/z_adc.nii.gz holds one channel, but other images of this set end in _image"},
		"twice":                     {"TrainImage, a file per case", "TrainImage/a_image.nii", "are the same image"},
		"twice by suffix":           {"TrainVolumes", "TrainVolumes/t2w/1_t2w.nii.gz", "are the same image"},
		"two layouts":               {"nnU-Net", "TrainImage/z_image.nii.gz", "more than one layout"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Find(tree(t, append(slices.Clone(layouts[c.layout].files), c.add)...))
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestFindReadsTheDescription(t *testing.T) {
	for name, l := range layouts {
		dir := tree(t, l.files...)
		path := filepath.Join(dir, DescriptionName)
		s, err := Find(dir)
		require.NoError(t, err, name)
		assert.Nil(t, s.Description, name)

		require.NoError(t, os.WriteFile(path, []byte(`{"labels": {"background": 0, "lesion": 1}}`), 0o644))
		s, err = Find(dir)
		require.NoError(t, err, name)
		assert.Equal(t, &Description{Labels: []Label{{"background", []int{0}}, {"lesion", []int{1}}}}, s.Description, name)

		require.NoError(t, os.WriteFile(path, []byte(`{"modality": {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}}`), 0o644))
		_, err = Find(dir)
		assert.ErrorContains(t, err, fmt.Sprintf("dataset.json names 5 channels (a, b, c, d, e), but the images have %d", l.channels), name)

		require.NoError(t, os.WriteFile(path, []byte(`{`), 0o644))
		_, err = Find(dir)
		assert.ErrorContains(t, err, "dataset.json: not JSON", name)
	}
}

func TestFindRejectsTrainingCaseInValidation(t *testing.T) {
	_, err := Find(tree(t, append(slices.Clone(layouts["image_Tr"].files), "image_Val/a.nii.gz", "label_Val/a.nii.gz")...))
	assert.ErrorContains(t, err, "case a is in both")
}

func TestFindNeedsItsFolders(t *testing.T) {
	_, err := Find(filepath.Join(t.TempDir(), "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = Find(t.TempDir())
	assert.ErrorContains(t, err, "none of the folders TrainImage")
	_, err = Find(tree(t, "TrainImage/a_image.nii.gz", "TrainLabel/a_gt.nii.gz"))
	assert.ErrorContains(t, err, "cannot read folder ValidImage")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = Find(file)
	assert.ErrorContains(t, err, "is a file")
	empty := t.TempDir()
	for _, folder := range []string{"TrainImage", "TrainLabel", "ValidImage", "ValidLabel"} {
		require.NoError(t, os.Mkdir(filepath.Join(empty, folder), 0o755))
	}
	_, err = Find(empty)
	assert.ErrorContains(t, err, "0 training and 0 validation cases")
}

func TestFindHoldsOutEveryFifthCase(t *testing.T) {
	var files []string
	for i := range 11 {
		files = append(files, fmt.Sprintf("imagesTr/c%02d_0000.nii.gz", i), fmt.Sprintf("labelsTr/c%02d.nii.gz", i))
	}
	// Test images without labels are ignored.
	s, err := Find(tree(t, append(files, "imagesTs/x_0000.nii.gz")...))
	require.NoError(t, err)
	assert.True(t, s.HeldOut)
	assert.Len(t, s.Train, 9)
	require.Len(t, s.Valid, 2)
	assert.Equal(t, "c04", s.Valid[0].ID)
	assert.Equal(t, "c09", s.Valid[1].ID)

	_, err = Find(tree(t, files[:8]...))
	assert.ErrorContains(t, err, "4 training and 0 validation cases")
}

// TestFindCaseFolders reads the folders of BraTS as it is published.
func TestFindCaseFolders(t *testing.T) {
	var files []string
	for i := range 6 {
		id := fmt.Sprintf("BraTS-GLI-%05d-000", i)
		for _, channel := range []string{"t1c", "t1n", "t2f", "t2w", "seg"} {
			files = append(files, "TrainingData/"+id+"/"+id+"-"+channel+".nii.gz")
		}
	}
	dir := tree(t, append(files, "TrainingData/BraTS-GLI-00000-000/notes.nii.gz", "TrainingData/.hidden/x-t1c.nii.gz")...)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "TrainingData", "mapping.csv"), []byte("x"), 0o644))
	s, err := Find(dir)
	require.NoError(t, err)
	assert.Equal(t, CaseFolderLayout, s.Layout)
	assert.Equal(t, []string{"t2f", "t1n", "t1c", "t2w"}, s.ChannelNames)
	assert.Equal(t, 4, s.Channels)
	assert.True(t, s.HeldOut)
	assert.Len(t, s.Train, 5)
	require.Len(t, s.Valid, 1)
	c := s.Valid[0]
	assert.Equal(t, "BraTS-GLI-00004-000", c.ID)
	alone, err := FindCase(filepath.Join(dir, "TrainingData", c.ID))
	require.NoError(t, err)
	assert.Equal(t, alone.Images, c.Images, "the same order for prediction")

	_, err = Find(filepath.Join(dir, "TrainingData", "BraTS-GLI-00000-000"))
	assert.ErrorContains(t, err, "none of the folders TrainImage")
	_, err = Find(tree(t, "a/a_t1c.nii.gz", "a/a_seg.nii.gz"))
	assert.ErrorContains(t, err, "case a has the images t1c, want one complete set of")
	s, err = Find(tree(t, "train/a/image.nii.gz", "train/a/label.nii.gz", "val/b/image.nii.gz", "val/b/gt.nii.gz"))
	require.NoError(t, err)
	assert.Equal(t, "a", s.Train[0].ID)
	assert.Equal(t, "b", s.Valid[0].ID)
	assert.Nil(t, s.ChannelNames)
}

func TestFindNamesTheChannels(t *testing.T) {
	for name, want := range map[string][]string{
		"TrainImage, a file per channel": {"t2w", "adc", "hbv"}, "TrainVolumes": {"t2w", "adc", "hbv"},
		"TrainImage, a file per case": nil, "image_Tr": nil, "nnU-Net": {"A", "B"}, "Decathlon": nil, "folder per case": {"flair", "t1", "t1ce", "t2"},
	} {
		dir := tree(t, layouts[name].files...)
		if name == "nnU-Net" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, DescriptionName), []byte(`{"channel_names": {"0": "A", "1": "B"}}`), 0o644))
		}
		s, err := Find(dir)
		require.NoError(t, err)
		assert.Equal(t, want, s.ChannelNames, name)
	}
}

func TestFindNotesAssumptions(t *testing.T) {
	dir := tree(t, layouts["TrainImage, a file per case"].files...)
	for _, name := range []string{"TrainImage/a_image.nii.gz", "TrainLabel/a_gt.nii.gz"} {
		path := filepath.Join(dir, strings.TrimSuffix(name, ".gz"))
		writeVolume(t, path, 1, [3]int{4, 3, 2}, identity, sparse)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		copy(raw[80:], make([]byte, 12)) // pixdim
		copy(raw[252:], make([]byte, 4)) // no qform, no sform
		require.NoError(t, os.WriteFile(path, raw, 0o644))
		require.NoError(t, os.Remove(path+".gz"))
	}
	s, err := Find(dir)
	require.NoError(t, err)
	require.Len(t, s.Notes, 3)
	assert.Equal(t, "In 1 of 3 cases (the first is a) the voxel size along axis 1 (pixdim[1]) is 0, taken as 1.", s.Notes[0])
}

func TestFindReadsEveryFormat(t *testing.T) {
	dir := tree(t, "imagesTr/a.nii", "labelsTr/a.nii", "imagesTs/b.nii.gz", "labelsTs/b.nii.gz")
	for _, name := range []string{"imagesTr/a", "labelsTr/a"} {
		raw, err := os.ReadFile(filepath.Join(dir, name+".nii"))
		require.NoError(t, err)
		copy(raw[344:], "ni1")
		copy(raw[108:], make([]byte, 4)) // vox_offset
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".HDR"), raw[:348], 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".IMG"), raw[352:], 0o644))
		require.NoError(t, os.Remove(filepath.Join(dir, name+".nii")))
	}
	s, err := Find(dir)
	require.NoError(t, err)
	assert.Equal(t, "a", s.Train[0].ID)
	_, err = s.Check(t.Context(), Protocol{}, nil)
	assert.NoError(t, err)
}

func TestFindLimitsTheError(t *testing.T) {
	files := slices.Clone(layouts["TrainImage, a file per case"].files)
	for i := range 30 {
		files = append(files, fmt.Sprintf("TrainLabel/z%02d_gt.nii.gz", i))
	}
	_, err := Find(tree(t, files...))
	assert.ErrorContains(t, err, "; and 10 more")
	assert.ErrorContains(t, err, "z19_gt")
	assert.NotContains(t, err.Error(), "z20_gt")
}

func TestFindChecksTheGrids(t *testing.T) {
	files := layouts["TrainImage, a file per case"].files
	moved := identity
	moved[1][3] = 0.6
	for name, c := range map[string]struct {
		path     string
		channels int
		dims     [3]int
		m        affine
		want     string
	}{
		"size": {"TrainLabel/b_gt.nii.gz", 1, [3]int{4, 3, 3}, identity, "1 of 3 cases is wrong: label TrainLabel/b_gt.nii.gz is on another grid than its image TrainImage/b_image.nii.gz: " +
			"the label has 4×3×3 voxels of 1×1×1 mm, axes RAS, first voxel at (0, 0, 0) mm, the image 4×3×2 voxels of 1×1×1 mm, axes RAS, first voxel at (0, 0, 0) mm; " +
			"-resample_labels resamples the label by nearest neighbor"},
		"affine":   {"ValidLabel/c_gt.nii.gz", 1, [3]int{4, 3, 2}, moved, "first voxel at (0, 0.6, 0) mm, the image 4×3×2 voxels of 1×1×1 mm, axes RAS, first voxel at (0, 0, 0) mm; their corners are up to 0.6 mm apart"},
		"label":    {"TrainLabel/b_gt.nii.gz", 2, [3]int{4, 3, 2}, identity, "label TrainLabel/b_gt.nii.gz has 2 channels"},
		"channels": {"ValidImage/c_image.nii.gz", 3, [3]int{4, 3, 2}, identity, "case c has 3 channels, but case a has 1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, files...)
			writeVolume(t, filepath.Join(dir, filepath.FromSlash(c.path)), c.channels, c.dims, c.m, sparse)
			_, err := Find(dir)
			assert.ErrorContains(t, err, c.want)
		})
	}
	t.Run("broken file", func(t *testing.T) {
		for _, broken := range []string{"TrainImage/a_image.nii.gz", "TrainLabel/a_gt.nii.gz"} {
			dir := tree(t, files...)
			require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(broken)), []byte("not an image"), 0o644))
			_, err := Find(dir)
			assert.ErrorContains(t, err, filepath.Base(broken))
			assert.NotContains(t, err.Error(), "0 channels")
		}
	})
	t.Run("channel outside the image", func(t *testing.T) {
		for far, meets := range map[float64]bool{0: true, 3: true, -3: true, 4.1: false, -4.1: false, 500: false} {
			dir := tree(t, layouts["nnU-Net"].files...)
			elsewhere := identity
			elsewhere[0][3] += far
			image := filepath.Join(dir, "imagesTr", "b_0001.nii.gz")
			writeVolume(t, image, 1, [3]int{4, 3, 2}, elsewhere, counting)
			first := filepath.Join(dir, "imagesTr", "b_0000.nii.gz")
			_, err := Find(dir)
			_, loaded := Protocol{}.load(Case{ID: "b", Images: []string{first, image}})
			if meets {
				assert.NoError(t, err, far)
				assert.NoError(t, loaded, far)
				continue
			}
			want := fmt.Sprintf("image imagesTr/b_0001.nii.gz is outside image imagesTr/b_0000.nii.gz of the same case, up to %.3g mm away from it", math.Abs(far))
			assert.ErrorContains(t, err, want)
			assert.ErrorContains(t, loaded, "b_0001.nii.gz is outside image")
		}
	})
	t.Run("channel file with two channels", func(t *testing.T) {
		dir := tree(t, layouts["nnU-Net"].files...)
		writeVolume(t, filepath.Join(dir, "imagesTr", "b_0001.nii.gz"), 2, [3]int{4, 3, 2}, identity, counting)
		_, err := Find(dir)
		assert.ErrorContains(t, err, "imagesTr/b_0001.nii.gz has 2 channels, want 1")
	})
}
