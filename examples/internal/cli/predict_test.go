package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/examples/internal/weights"
)

func runPredict(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Predict(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

// trained trains a program on its phantom and returns the folder of the run.
func trained(t *testing.T, p Program, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	code, _, errs := runProgram(p, append([]string{"-model_dir", dir, "-max_cases", "2"}, args...)...)
	require.Equal(t, exitOK, code, errs)
	return dir
}

// casesCSV returns the measures that training wrote, by loss and case.
func casesCSV(t *testing.T, dir string) map[string]map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "cases.csv"))
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	cases := map[string]map[string]string{}
	for _, row := range rows[1:] {
		values := map[string]string{}
		for i, v := range row {
			values[rows[0][i]] = v
		}
		cases[values["loss"]+" "+values["case"]] = values
	}
	return cases
}

// predictedJSON reads the measures written next to a mask.
func predictedJSON(t *testing.T, path string) map[string]map[string]outcome.Number {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var got struct {
		Measures map[string]map[string]outcome.Number
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	return got.Measures
}

// requireSame compares every measure with what training wrote for the case.
func requireSame(t *testing.T, want map[string]string, got map[string]outcome.Number) {
	t.Helper()
	require.Len(t, got, int(outcome.MeasureCount))
	for name, v := range got {
		if want[name] == "" {
			assert.False(t, v.Defined(), name)
			continue
		}
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		assert.Equal(t, strings.Replace(want[name], "+Inf", `"inf"`, 1), string(raw), name)
	}
}

// TestPredictReproducesTrainingMeasures trains on the phantom and predicts its
// validation cases. On the network's grid the measures must equal those of training
// digit for digit; the mask must be on the scan's grid.
func TestPredictReproducesTrainingMeasures(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a minute under the race detector, and other tests cover the same concurrency")
	}
	for _, c := range []struct {
		program Program
		args    []string
		// sameVoxels: the network's grid has the same voxels as the scan's.
		sameVoxels bool
	}{
		{tinyBraTS(), []string{"-epochs", "3", "-loss", "dice,dice-ce"}, true},
		{tinyPICAI(), []string{"-epochs", "2", "-loss", "dice,dice-ce", "-size", "32,16,24"}, false},
	} {
		dir := trained(t, c.program, c.args...)
		want := casesCSV(t, dir)
		valid := filepath.Join(dir, "phantom", "ValidImage")
		voxels := map[float64]int{}
		for _, loss := range []string{"dice", "dice-ce"} {
			for _, id := range []string{"phantom_004", "phantom_005"} {
				out := filepath.Join(t.TempDir(), "mask.nii.gz")
				code, text, errs := runPredict("-weights", filepath.Join(dir, "unet", loss, "best.safetensors"), "-case", filepath.Join(valid, id),
					"-label", filepath.Join(dir, "phantom", "ValidLabel", id+"_gt.nii.gz"), "-out", out)
				require.Equal(t, exitOK, code, errs)
				assert.Contains(t, text, "windows: 1 of ")
				assert.Contains(t, text, "| foreground_dice ")

				measures := predictedJSON(t, strings.TrimSuffix(out, ".nii.gz")+".json")
				requireSame(t, want[loss+" "+id], measures["network"])
				if c.sameVoxels {
					for m := outcome.Dice; m < outcome.MeasureCount; m++ {
						if m == outcome.SurfaceDistance {
							// The two grids differ in axis order and so in the order of the sum.
							assert.InDelta(t, float64(measures["network"][m.String()]), float64(measures["scan"][m.String()]), 1e-12)
							continue
						}
						assert.Equal(t, measures["network"][m.String()].Defined(), measures["scan"][m.String()].Defined(), m)
						if measures["network"][m.String()].Defined() {
							assert.Equal(t, measures["network"][m.String()], measures["scan"][m.String()], m)
						}
					}
				}
				assert.False(t, measures["scan"]["soft_dice"].Defined())

				found, err := dataset.FindCase(filepath.Join(valid, id))
				require.NoError(t, err)
				scan, err := volume.ReadHeader(found.Images[0])
				require.NoError(t, err)
				mask, err := volume.Read(out)
				require.NoError(t, err)
				header, err := volume.ReadHeader(out)
				require.NoError(t, err)
				assert.Equal(t, volume.Uint8, header.Type)
				assert.Equal(t, scan.Dims, mask.Dims)
				assert.Equal(t, scan.Affine, mask.Affine)
				assert.Equal(t, 1, mask.Channels)
				for _, v := range mask.Data {
					require.True(t, v == 0 || v == 1)
					voxels[v]++
				}
			}
		}
		assert.Greater(t, voxels[1], 100, "%s: the masks have foreground to measure", c.program.Name)
		assert.Greater(t, voxels[0], 100, c.program.Name)
	}
}

func TestPredictByWindowsAndFlags(t *testing.T) {
	dir := trained(t, tinyBraTS(), "-epochs", "1", "-loss", "dice-ce")
	file := filepath.Join(dir, "unet", "dice-ce", "best.safetensors")
	image := filepath.Join(dir, "phantom", "ValidImage", "phantom_004_image.nii.gz")
	work := t.TempDir()
	t.Chdir(work)

	// The default name, without a label.
	code, out, errs := runPredict("-weights", file, "-image", image, "-window", "16,16,16", "-overlap", "0.5", "-blend", "gaussian")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "image channels: 4, 30×32×20 voxels of 1×1×1 mm.")
	assert.Contains(t, out, "windows: 18 of 16×16×16, overlap 0.5, gaussian weights.")
	assert.Contains(t, out, "Mask: the larger of the two channels.")
	assert.Contains(t, out, "Written to phantom_004_mask.nii.gz (tumor: ")
	assert.Equal(t, []string{"phantom_004_mask.json", "phantom_004_mask.nii.gz"}, names(t, work))

	code, out, errs = runPredict("-weights", file, "-image", image, "-window", "whole", "-prediction_rule", "sigmoid", "-out", "m.nii")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "windows: 1 of 32×32×32")
	assert.Contains(t, out, "sigmoid of channel 1")
	assert.Equal(t, []string{"m.json", "m.nii", "phantom_004_mask.json", "phantom_004_mask.nii.gz"}, names(t, work))

	// Weights without settings, such as PyTorch's, need the flags.
	state, _, err := weights.Load(file)
	require.NoError(t, err)
	bare := filepath.Join(work, "bare")
	require.NoError(t, weights.Save(bare, state, nil))
	code, _, errs = runPredict("-weights", bare, "-image", image)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-protocol is missing: "+bare+" does not record how scans were preprocessed for its network; use picai or brats")
	code, _, errs = runPredict("-weights", bare, "-image", image, "-protocol", "brats", "-options", narrowOptions, "-prediction_rule", "argmax", "-out", "again.nii")
	require.Equal(t, exitOK, code, errs)
	code, _, errs = runPredict("-weights", file, "-image", image, "-out", "first.nii")
	require.Equal(t, exitOK, code, errs)
	first, err := os.ReadFile("first.nii")
	require.NoError(t, err)
	again, err := os.ReadFile("again.nii")
	require.NoError(t, err)
	assert.Equal(t, first, again)

	code, _, errs = runPredict("-weights", file+","+dir, "-image", image)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-weights: "+file+" is given twice")

	// Images and options that do not fit the weights.
	for want, args := range map[string][]string{
		"has 1 image channels, but the network in ": {"-image", "m.nii"},
		"-case: dataset: " + work + ": found the images again.nii, first.nii, m.nii and 1 others; want images (.nii.gz, ": {"-case", work},
		"its tensors do not fit the network: 46 of 182 missing: ":                                                         {"-image", image, "-options", `{"Channels":[16,32,64,128,256,512],"Strides":[[2,2,2],[2,2,2],[2,2,2],[2,2,2],[2,2,2]]}`},
	} {
		code, _, errs = runPredict(append([]string{"-weights", file}, args...)...)
		assert.Equal(t, exitError, code, want)
		assert.Contains(t, errs, want)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found
}

func TestStoppedPredictionWritesNothing(t *testing.T) {
	dir := trained(t, tinyBraTS(), "-epochs", "1", "-steps", "1", "-loss", "dice")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	work := t.TempDir()
	var errs bytes.Buffer
	code := Predict(ctx, []string{
		"-weights", dir, "-case", filepath.Join(dir, "phantom", "ValidImage", "phantom_004"),
		"-label", filepath.Join(dir, "phantom", "ValidLabel", "phantom_004_gt.nii.gz"), "-out", filepath.Join(work, "m.nii"), "-window", "16,16,16",
	}, &cancelAt{text: "Mask: ", cancel: cancel}, &errs)
	assert.Equal(t, exitInterrupted, code)
	assert.Equal(t, "predict: stopped; nothing was written\n", errs.String())
	assert.Empty(t, names(t, work))
}

func TestPredictFlagErrors(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "a_image.nii")
	require.NoError(t, volume.Write(image, &volume.Volume{Dims: [3]int{2, 2, 2}, Channels: 1, Data: make([]float64, 8),
		Affine: [4][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}}, volume.WriteOptions{}))
	for want, args := range map[string][]string{
		"-weights is missing":                                               {"-image", image},
		"-case, -cases or -image is missing":                                {"-weights", "w"},
		"-cases names several scans":                                        {"-weights", "w", "-cases", dir, "-image", image},
		"-classes and -regions both say what is segmented":                  {"-weights", "w", "-image", image, "-classes", "1", "-regions", "a=1"},
		"want one or more of the letters x, y and z":                        {"-mirror", "xx"},
		"w is given twice":                                                  {"-weights", "w,w"},
		"a file name is empty":                                              {"-weights", "w,"},
		"-case and -image both name the scan":                               {"-weights", "w", "-image", image, "-case", dir},
		"-overlap is 1; it must be at least 0":                              {"-weights", "w", "-image", image, "-overlap", "1"},
		`-out is "m.mha"; it must end in .nii.gz or .nii`:                   {"-weights", "w", "-image", image, "-out", "m.mha"},
		`-out is ".nii"`:                                                    {"-weights", "w", "-image", image, "-out", ".nii"},
		"is an input file":                                                  {"-weights", "w", "-image", image, "-out", image},
		"folder " + filepath.Join(dir, "gone") + " does not exist":          {"-weights", "w", "-image", image, "-out", filepath.Join(dir, "gone", "m.nii")},
		"want constant or gaussian":                                         {"-blend", "flat"},
		"want dynamic-fast, dynamic, dynamic-v2":                            {"-detection", "slow"},
		"want three numbers of voxels, X,Y,Z, such as 160,128,24, or whole": {"-window", "all"},
		`unexpected argument "more"`:                                        {"more"},
	} {
		code, _, errs := runPredict(args...)
		assert.Equal(t, exitUsage, code, want)
		assert.Contains(t, errs, want)
		assert.Contains(t, errs, "(predict -h lists the flags)")
	}
	if runtime.GOOS == "linux" { // /proc is never writable
		code, _, errs := runPredict("-weights", "w", "-image", image, "-out", "/proc/m.nii")
		assert.Equal(t, exitError, code)
		assert.Contains(t, errs, "-out: open /proc/")
	}
	code, _, errs := runPredict("-weights", filepath.Join(dir, "absent"), "-case", dir, "-out", filepath.Join(dir, "m.nii"))
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-weights: weights: ")
	code, _, errs = runPredict("-weights", "w", "-case", filepath.Join(dir, "b"))
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-case: dataset: ")

	code, out, errs := runPredict("-h")
	assert.Equal(t, exitOK, code)
	assert.Empty(t, errs)
	assert.Contains(t, out, "Usage: predict [flags]")
	assert.Contains(t, out, "-blend weights\n        weights of overlapping windows: constant, or gaussian, which favors the middle of a window (default constant)")
}

// TestFlagsOverrideTheWeights checks the source of every setting.
func TestFlagsOverrideTheWeights(t *testing.T) {
	stored := `{"network":{"network":"unet","in_channels":2,"options":{"Channels":[4,8],"Strides":[[2,2,1]]}},` +
		`"protocol":{"Size":[32,32,16],"Multiple":[2,2,1],"FlipProb":0.5}}`
	use := func(metadata map[string]string, args ...string) *use {
		flags, o := newPredictFlags()
		require.NoError(t, flags.Parse(args))
		u, err := o.use(flags, "w", metadata)
		require.NoError(t, err)
		return u
	}
	known := map[string]string{"settings": stored, "prediction_rule": "Argmax"}
	levels := func(channels []int, strides ...[3]int) models.UNet {
		a := models.NewUNet()
		a.Channels, a.Strides = channels, strides
		return a
	}

	u := use(known)
	assert.Equal(t, models.Config{Architecture: levels([]int{4, 8}, [3]int{2, 2, 1}), InChannels: 2}, u.Config)
	assert.Equal(t, dataset.Protocol{Size: [3]int{32, 32, 16}, FlipProb: 0.5}, u.Protocol, "the windows do the padding")
	assert.Equal(t, [3]int{32, 32, 16}, u.window)
	assert.Equal(t, afl.Argmax, u.rule)

	u = use(known, "-options", `{"Channels":[2,3],"Strides":[[1,2,3]]}`, "-size", "8,8,8", "-prediction_rule", "sigmoid")
	assert.Equal(t, models.Config{Architecture: levels([]int{2, 3}, [3]int{1, 2, 3}), InChannels: 2}, u.Config)
	assert.Equal(t, [3]int{8, 8, 8}, u.Protocol.Size)
	assert.Equal(t, [3]int{8, 8, 8}, u.window)
	assert.Equal(t, afl.SigmoidChannel1, u.rule)

	u = use(known, "-model", "segresnet", "-protocol", "brats", "-window", "96,96,96")
	assert.Equal(t, models.Config{Architecture: models.NewSegResNet(), InChannels: 2}, u.Config)
	assert.Equal(t, [3]int{}, u.Protocol.Size)
	assert.Equal(t, [3]float64{1, 1, 1}, u.Protocol.Spacing)
	assert.Equal(t, [3]int{96, 96, 96}, u.window)

	u = use(nil, "-protocol", "picai", "-window", "whole")
	fitted := levels([]int{16, 32, 64, 128, 256}, [3]int{2, 2, 2}, [3]int{2, 2, 2}, [3]int{2, 2, 2}, [3]int{2, 2, 1})
	assert.Equal(t, models.Config{Architecture: fitted}, u.Config, "24 slices are halved three times, as in training")
	assert.Equal(t, [3]int{160, 128, 24}, u.Protocol.Size)
	assert.Equal(t, [3]int{}, u.window)
	assert.Equal(t, afl.SigmoidChannel1, u.rule)

	for want, metadata := range map[string]map[string]string{
		"unknown field":             {"settings": `{"models":"unet"}`},
		`prediction_rule is "coin"`: {"settings": stored, "prediction_rule": "coin"},
	} {
		flags, o := newPredictFlags()
		_, err := o.use(flags, "w", metadata)
		assert.ErrorContains(t, err, want)
	}
	for options, want := range map[string]string{
		`{"Width":3}`:                 "-options: models: options of unet: json: unknown field",
		`{},"in_channels":3`:          "-options: invalid character ',' after top-level value",
		`{},"network":"vnet_authors"`: "-options: invalid character ',' after top-level value",
		`{}}`:                         "-options: invalid character '}' after top-level value",
		`{"Channels":`:                "-options: unexpected end of JSON input",
		`[4,8]`:                       "-options: models: options of unet: json: cannot unmarshal array",
	} {
		flags, o := newPredictFlags()
		require.NoError(t, flags.Parse([]string{"-options", options}))
		_, err := o.use(flags, "w", known)
		assert.ErrorContains(t, err, want, options)
	}
}
