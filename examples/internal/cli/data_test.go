package cli

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/examples/internal/weights"
)

// prostates generates the phantom's prostates and lists them in a file with the channels in
// another order than usual.
func prostates(t *testing.T, training, validation int) (dir, list string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	require.NoError(t, phantom.Generate(dir, phantom.Options{Kind: phantom.PICAI, Train: training, Valid: validation, Size: [3]int{32, 32, 16}}))
	text := "case;image.t2w;image.hbv;image.adc;label;split;age\n"
	for i := 1; i <= training+validation; i++ {
		part := "Train"
		if i > training {
			part = "Valid"
		}
		image := fmt.Sprintf("%sImage/phantom_%03d_", part, i)
		text += fmt.Sprintf("p%d;%st2w.nii.gz;%shbv.nii.gz;%sadc.nii.gz;%sLabel/phantom_%03d_gt.nii.gz;%s;50\n", i, image, image, image, part, i, strings.ToLower(part))
	}
	list = filepath.Join(dir, "cases.csv")
	require.NoError(t, os.WriteFile(list, []byte(text), 0o644))
	return dir, list
}

// TestCasesFromAList trains on listed files and predicts with the recorded order of channels.
func TestCasesFromAList(t *testing.T) {
	data, list := prostates(t, 2, 1)
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"-cases", list, "-model_dir", dir, "-size", "32,32,16", "-epochs", "1", "-steps", "1", "-loss", "dice"}
	code, out, errs := runProgram(tinyPICAI(), args...)
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Note: Not read from cases.csv: age.\n")
	assert.Contains(t, out, "Data: "+list+", layout list of cases.")
	assert.NotContains(t, out, "SYNTHETIC")
	file := filepath.Join(dir, "unet", "dice", "best.safetensors")
	_, metadata, err := weights.Load(file)
	require.NoError(t, err)
	s, _, err := settings.Read(metadata)
	require.NoError(t, err)
	assert.Equal(t, []string{"t2w", "hbv", "adc"}, s.Channels)
	code, out, errs = runProgram(tinyPICAI(), "-model_dir", dir, "-resume")
	require.Equal(t, exitOK, code, errs)
	assert.NotContains(t, out, "Note: ", "the data of a resumed run have been checked")

	mask := filepath.Join(t.TempDir(), "mask.nii")
	image := func(order ...string) string {
		for i, channel := range order {
			order[i] = filepath.Join(data, "ValidImage", "phantom_003_"+channel+".nii.gz")
		}
		return strings.Join(order, ",")
	}
	code, _, errs = runPredict("-weights", file, "-image", image("t2w", "hbv", "adc"), "-out", mask)
	assert.Equal(t, exitOK, code, errs)
	code, _, errs = runPredict("-weights", file, "-image", image("t2w", "adc", "hbv"), "-out", mask)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-image: by their names the files are t2w, adc, hbv, but the network takes t2w, hbv, adc")

	// The list serves prediction too, with the labels that it has.
	masks := t.TempDir()
	code, out, errs = runPredict("-weights", file, "-cases", list, "-out", masks)
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Means over 3 cases")
	for i := 1; i <= 3; i++ {
		assert.FileExists(t, filepath.Join(masks, fmt.Sprintf("p%d_mask.nii.gz", i)))
	}
}

// TestDataAreCheckedBeforeTraining damages two cases beyond the first ones.
func TestDataAreCheckedBeforeTraining(t *testing.T) {
	data, _ := prostates(t, 4, 2)
	for _, name := range []string{"TrainImage/phantom_003_adc", "ValidImage/phantom_006_t2w"} {
		path := filepath.Join(data, name+".nii.gz")
		v, err := volume.Read(path)
		require.NoError(t, err)
		v.Data[7] = math.NaN()
		require.NoError(t, volume.Write(path, v, volume.WriteOptions{}))
	}
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"-data_dir", data, "-model_dir", dir, "-size", "32,32,16", "-epochs", "1", "-steps", "1", "-loss", "dice"}
	code, _, errs := runProgram(tinyPICAI(), args...)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "2 of 6 cases are wrong: case phantom_003: ")
	assert.Contains(t, errs, "phantom_003_adc.nii.gz: voxel [0 0 7] is NaN; image values must be finite; case phantom_006: ")
	assert.True(t, strings.HasSuffix(errs, "; -fill_nan replaces the others\n"), errs)
	assert.NoFileExists(t, filepath.Join(dir, recordName), "no run was started")

	filled := append(args, "-fill_nan", "0")
	code, _, errs = runProgram(tinyPICAI(), filled...)
	assert.Equal(t, exitOK, code, errs)

	// Only the cases that are used are checked; -check headers checks none.
	dir = filepath.Join(t.TempDir(), "run")
	args[3] = dir
	code, _, errs = runProgram(tinyPICAI(), append(args, "-max_cases", "1")...)
	assert.Equal(t, exitOK, code, errs)
	args[3] = filepath.Join(t.TempDir(), "run")
	code, _, errs = runProgram(tinyPICAI(), append(args, "-check", "headers")...)
	assert.Equal(t, exitError, code)
	assert.NotContains(t, errs, "of 6 cases")
	assert.Contains(t, errs, "is NaN; image values must be finite")
}

// TestLabelsOnOtherGrids flips one label, which is reoriented, and gives another one more
// slices, which is resampled on request, in training and in prediction.
func TestLabelsOnOtherGrids(t *testing.T) {
	data, _ := prostates(t, 2, 1)
	label := filepath.Join(data, "ValidLabel", "phantom_003_gt.nii.gz")
	v, err := volume.Read(label)
	require.NoError(t, err)
	fine := &volume.Volume{Dims: v.Dims, Channels: 1, Affine: v.Affine}
	fine.Dims[2] *= 2
	for row := range len(v.Data) / v.Dims[2] {
		for k := range v.Dims[2] {
			x := v.Data[row*v.Dims[2]+k]
			fine.Data = append(fine.Data, x, x)
		}
	}
	for i := range 3 {
		fine.Affine[i][2] /= 2
		fine.Affine[i][3] -= fine.Affine[i][2] / 2
	}
	require.NoError(t, volume.Write(label, fine, volume.WriteOptions{}))
	flipped, err := volume.Read(filepath.Join(data, "TrainLabel", "phantom_001_gt.nii.gz"))
	require.NoError(t, err)
	require.NoError(t, volume.Write(filepath.Join(data, "TrainLabel", "phantom_001_gt.nii.gz"), mirrored(flipped), volume.WriteOptions{}))

	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"-data_dir", data, "-model_dir", dir, "-size", "32,32,16", "-epochs", "1", "-steps", "1", "-loss", "dice"}
	code, _, errs := runProgram(tinyPICAI(), args...)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "1 of 3 cases is wrong: label ValidLabel/phantom_003_gt.nii.gz is on another grid than its image ValidImage/phantom_003_t2w.nii.gz: the label has 32×32×32 voxels")
	code, _, errs = runProgram(tinyPICAI(), append(args, "-resample_labels")...)
	require.Equal(t, exitOK, code, errs)

	predict := []string{"-weights", filepath.Join(dir, "unet", "dice", "best.safetensors"), "-case", filepath.Join(data, "ValidImage", "phantom_003"), "-label", label, "-out", filepath.Join(t.TempDir(), "m.nii")}
	code, _, errs = runPredict(predict...)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "is on another grid than its image")
	code, _, errs = runPredict(append(predict, "-resample_labels")...)
	assert.Equal(t, exitOK, code, errs)
}

// mirrored reverses the first axis of a volume in place of its direction.
func mirrored(v *volume.Volume) *volume.Volume {
	out := &volume.Volume{Dims: v.Dims, Channels: 1, Affine: v.Affine, Data: make([]float64, len(v.Data))}
	plane := v.Dims[1] * v.Dims[2]
	for i := range v.Dims[0] {
		copy(out.Data[i*plane:(i+1)*plane], v.Data[(v.Dims[0]-1-i)*plane:])
	}
	for r := range 3 {
		out.Affine[r][0] = -v.Affine[r][0]
		out.Affine[r][3] += float64(v.Dims[0]-1) * v.Affine[r][0]
	}
	return out
}

func TestDataFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-cases", "a", "-data_dir", "b"}, "-data_dir and -cases both name the data"},
		{[]string{"-cases", "a", "-phantom_train", "3"}, "-phantom_train has no effect with -cases"},
		{[]string{"-check", "some"}, `invalid value "some" for flag -check: want full or headers`},
		{[]string{"-fill_nan", "NaN"}, `invalid value "NaN" for flag -fill_nan: want a finite number`},
		{[]string{"-fill_nan", "1e39"}, "want a finite number"},
	} {
		code, _, errs := runProgram(tinyPICAI(), append(c.args, "-model_dir", filepath.Join(t.TempDir(), "run"))...)
		assert.Equal(t, exitUsage, code, "%v", c.args)
		assert.Contains(t, errs, c.want)
	}
	code, _, errs := runProgram(tinyPICAI(), "-cases", filepath.Join(t.TempDir(), "absent"), "-model_dir", filepath.Join(t.TempDir(), "run"))
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "no such file")
	var v fillValue
	for text, want := range map[string]fillValue{"0": {0, true}, "-1000": {-1000, true}, "": {}} {
		require.NoError(t, v.Set(text))
		assert.Equal(t, want, v)
		assert.Equal(t, text, v.String())
	}
}
