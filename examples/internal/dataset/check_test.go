package dataset

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/segment"
)

// checked writes four training cases t0 … t3 and two validation cases v0 and v1 with two
// channels, lets change edit them, and checks them. label returns the value of a label's
// voxel of a case; nil gives a lesion of 1.
func checked(t *testing.T, p Protocol, description string, label func(id string, i int) float64, change func(dir string)) ([]string, error) {
	t.Helper()
	dir := t.TempDir()
	dims := [3]int{4, 3, 2}
	for part, ids := range map[string][]string{"Train": {"t0", "t1", "t2", "t3"}, "Valid": {"v0", "v1"}} {
		for _, id := range ids {
			writeVolume(t, filepath.Join(dir, part+"Image", id+"_image.nii"), 2, dims, identity, counting)
			writeVolume(t, filepath.Join(dir, part+"Label", id+"_gt.nii"), 1, dims, identity, func(i int) float64 {
				if label != nil {
					return label(id, i)
				}
				if i < 3 {
					return 1
				}
				return 0
			})
		}
	}
	if description != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, DescriptionName), []byte(description), 0o644))
	}
	if change != nil {
		change(dir)
	}
	s, err := p.Reading.Find(dir)
	require.NoError(t, err)
	last := 0
	warnings, err := s.Check(context.Background(), p, func(done, total int) {
		assert.Equal(t, last+1, done)
		assert.Equal(t, 6, total)
		last = done
	})
	assert.Equal(t, 6, last)
	return warnings, err
}

func TestCheckOfGoodCases(t *testing.T) {
	warnings, err := checked(t, BraTS(), `{"labels": {"background": 0, "lesion": 1}}`, nil, nil)
	require.NoError(t, err)
	assert.Empty(t, warnings)
}

func TestCheckNamesWrongCases(t *testing.T) {
	warnings, err := checked(t, Protocol{}, "", nil, func(dir string) {
		writeVolume(t, filepath.Join(dir, "TrainImage", "t1_image.nii"), 2, [3]int{4, 3, 2}, identity, func(i int) float64 {
			if i == 30 {
				return math.NaN()
			}
			return float64(i)
		})
		writeVolume(t, filepath.Join(dir, "ValidLabel", "v1_gt.nii"), 1, [3]int{4, 3, 2}, identity, func(i int) float64 { return float64(i) / 2 })
	})
	assert.Nil(t, warnings)
	assert.ErrorContains(t, err, "2 of 6 cases are wrong: case t1: ")
	assert.ErrorContains(t, err, "t1_image.nii: voxel [1 0 0] is NaN; image values must be finite")
	assert.ErrorContains(t, err, "; case v1: volume: voxel [0 0 1] is 0.5; labels must be")
}

// TestCheckWarnsOnce lists what is suspicious, one sentence for all cases.
func TestCheckWarnsOnce(t *testing.T) {
	p := Protocol{Reading: Reading{FillNaN: true}}
	warnings, err := checked(t, p, `{"modality": {"0": "T2", "1": "DWI"}, "labels": {"0": "background", "1": "lesion", "2": "cyst", "3": "ignore"}}`,
		func(id string, i int) float64 {
			switch {
			case id[0] == 'v':
				return 0
			case id == "t2":
				return 1
			case i == 0:
				return 3
			case i < 5:
				return 7
			}
			return 0
		},
		func(dir string) {
			for _, id := range []string{"t1", "t3"} {
				writeVolume(t, filepath.Join(dir, "TrainImage", id+"_image.nii"), 2, [3]int{4, 3, 2}, identity, func(i int) float64 {
					if i < 24 {
						return float64(i)
					}
					return math.NaN()
				})
			}
		})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"In 2 of 6 cases (the first is t1), image channel 2 (DWI) has the same value everywhere; it becomes zero.",
		"In 1 of 6 cases (the first is t2), every voxel of the label is foreground.",
		"The label of every validation case is empty.",
		"The label cyst (label 2) of dataset.json occurs in no case.",
		"Label 3, in 3 of 6 cases (the first is t0), is named ignore, but no voxel is ignored: it counts as foreground.",
		"Label 7, in 3 of 6 cases (the first is t0), is not among those that dataset.json names.",
	}, warnings)
}

func TestCheckOfClassesAndRegions(t *testing.T) {
	label := func(id string, i int) float64 {
		if i == 0 {
			return 1
		}
		if id == "t3" && i == 1 {
			return 2
		}
		if id == "v0" && i == 2 {
			return 3
		}
		return 0
	}
	classes, err := segment.ParseClasses("1,2,4", nil)
	require.NoError(t, err)
	warnings, err := checked(t, Protocol{Scheme: classes}, "", label, nil)
	require.NoError(t, err)
	name := func(i int) string { return classes.Segments[i].Name }
	assert.Equal(t, []string{
		fmt.Sprintf("The class %s (label 2) occurs in no validation case.", name(1)),
		fmt.Sprintf("The class %s (label 4) occurs in no training case.", name(2)),
		"Label 3, in 1 of 6 cases (the first is v0), belongs to no class and counts as background.",
	}, warnings)

	regions, err := segment.ParseRegions("A=1,2;B=2", nil)
	require.NoError(t, err)
	warnings, err = checked(t, Protocol{Scheme: regions}, "", label, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"The region B (label 2) occurs in no validation case.",
		"Label 3, in 1 of 6 cases (the first is v0), belongs to no region and counts as background.",
	}, warnings)

	regions, err = segment.ParseRegions("A=9", nil)
	require.NoError(t, err)
	_, err = checked(t, Protocol{Scheme: regions}, "", label, nil)
	assert.ErrorContains(t, err, "no training label has a voxel of the regions A (label 9); there is nothing to learn")
}

func TestCheckRefusesEmptyMasks(t *testing.T) {
	_, err := checked(t, Protocol{}, "", func(string, int) float64 { return 0 }, nil)
	assert.ErrorContains(t, err, "no training label has a voxel of the foreground (every nonzero label); there is nothing to learn")
}

func TestCheckStops(t *testing.T) {
	s, err := Find(tree(t, layouts["image_Tr"].files...))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	_, err = s.Check(ctx, Protocol{Size: [3]int{-1, 1, 1}}, nil)
	assert.ErrorContains(t, err, "Protocol.Size")
	_, err = s.Check(ctx, Protocol{}, func(int, int) { cancel() })
	assert.ErrorIs(t, err, context.Canceled)
}

func TestCheckOfRealCases(t *testing.T) {
	if testing.Short() {
		t.Skip("reads every voxel of the real cases")
	}
	for name, want := range map[string][]string{
		"picai_cases": {"The label of every validation case is empty."}, // one case without a lesion
		"ms_lesions":  nil,
	} {
		warnings, err := realSet(t, name).Check(context.Background(), Protocol{}, nil)
		require.NoError(t, err)
		assert.Equal(t, want, warnings, name)
	}
}
