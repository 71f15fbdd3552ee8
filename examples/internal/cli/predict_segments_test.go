package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/examples/internal/weights"
)

// segmentMeasures reads the measures next to a mask, by grid and class or region.
func segmentMeasures(t *testing.T, path string) map[string]map[string]map[string]outcome.Number {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var got struct {
		Measures map[string]map[string]map[string]outcome.Number
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	return got.Measures
}

// TestPredictReproducesMeasuresOfSegments trains classes and regions and predicts a
// validation case without flags: on the network's grid the measures are those of training,
// and the label map has the labels of the classes on the scan's grid.
func TestPredictReproducesMeasuresOfSegments(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	for _, c := range []struct {
		args     []string
		names    []string
		labels   []float64
		segments string
	}{
		{[]string{"-classes", "1,2,4", "-loss", "dice-ce"}, []string{"necrotic core", "edema", "enhancing tumor", "mean"}, []float64{0, 1, 2, 4},
			"_prob_necrotic-core _prob_edema _prob_enhancing-tumor"},
		{[]string{"-regions", "WT=1,2,4;TC=1,4;ET=4", "-loss", "dice-ce"}, []string{"WT", "TC", "ET", "mean"}, []float64{0, 1, 2, 4},
			"_prob_WT _prob_TC _prob_ET"},
	} {
		dir := trained(t, tinyBraTS(), append(c.args, "-epochs", "2")...)
		want := map[string]map[string]string{}
		rows := readRows(t, filepath.Join(dir, "cases.csv"))
		for _, row := range rows {
			if row["case"] == "phantom_004" {
				want[row["segment"]] = row
			}
		}
		file, valid := filepath.Join(dir, "unet", "dice-ce", "best.safetensors"), filepath.Join(dir, "phantom", "ValidImage", "phantom_004")
		out := filepath.Join(t.TempDir(), "mask.nii.gz")
		code, text, errs := runPredict("-weights", file, "-case", valid, "-label", filepath.Join(dir, "phantom", "ValidLabel", "phantom_004_gt.nii.gz"), "-out", out, "-probabilities")
		require.Equal(t, exitOK, code, errs)
		assert.Contains(t, text, "Segmented: ")
		stem := strings.TrimSuffix(out, ".nii.gz")
		measures := segmentMeasures(t, stem+".json")
		require.Len(t, measures["network"], len(c.names))
		for _, name := range c.names {
			requireSame(t, want[name], measures["network"][name])
		}

		scan, err := volume.ReadHeader(valid + "_image.nii.gz")
		require.NoError(t, err)
		mask, err := volume.Read(out)
		require.NoError(t, err)
		assert.Equal(t, scan.Dims, mask.Dims)
		assert.Equal(t, scan.Affine, mask.Affine)
		for _, v := range mask.Data {
			require.Contains(t, c.labels, v)
		}
		// Same voxels as on the network's grid, so the same overlaps.
		for _, name := range c.names {
			for _, m := range []outcome.Measure{outcome.Dice, outcome.IoU, outcome.Sensitivity, outcome.Specificity} {
				if strings.HasPrefix(c.args[1], "WT") && name != "ET" {
					continue // composed regions may differ from the regions by themselves
				}
				assert.Equal(t, measures["network"][name][m.String()].Defined(), measures["scan"][name][m.String()].Defined())
				if measures["network"][name][m.String()].Defined() {
					assert.InDelta(t, float64(measures["network"][name][m.String()]), float64(measures["scan"][name][m.String()]), 1e-12, "%s %v", name, m)
				}
			}
		}
		for i, name := range strings.Fields(c.segments) {
			header, err := volume.ReadHeader(stem + name + ".nii.gz")
			require.NoError(t, err)
			assert.Equal(t, volume.Float32, header.Type)
			assert.Equal(t, 1, header.Channels)
			p, err := volume.Read(stem + name + ".nii.gz")
			require.NoError(t, err)
			assert.Equal(t, scan.Dims, p.Dims)
			assert.Equal(t, scan.Affine, p.Affine)
			for k, v := range p.Data {
				require.True(t, v >= 0 && v <= 1)
				if c.args[0] == "-classes" && v > 0.5+1e-6 {
					require.Equal(t, c.labels[i+1], mask.Data[k])
				}
			}
		}
		code, _, errs = runPredict("-weights", file, "-case", valid, "-out", out, "-prediction_rule", "argmax")
		assert.Equal(t, exitUsage, code)
		assert.Contains(t, errs, "-prediction_rule: ")

		// Weights without settings need the flags.
		state, _, err := weights.Load(file)
		require.NoError(t, err)
		bare := filepath.Join(t.TempDir(), "bare")
		require.NoError(t, weights.Save(bare, state, nil))
		again := filepath.Join(t.TempDir(), "again.nii.gz")
		code, _, errs = runPredict("-weights", bare, "-case", valid, "-out", again, "-protocol", "brats", "-options", narrowOptions, c.args[0], c.args[1])
		require.Equal(t, exitOK, code, errs)
		repeated, err := volume.Read(again)
		require.NoError(t, err)
		assert.Equal(t, mask.Data, repeated.Data)
	}
}

// readRows reads a CSV file as one map per row.
func readRows(t *testing.T, path string) (rows []map[string]string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	cells, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	for _, row := range cells[1:] {
		m := map[string]string{}
		for i, v := range row {
			m[cells[0][i]] = v
		}
		rows = append(rows, m)
	}
	return rows
}

// TestEnsemblesAverageProbabilities compares an ensemble, and a mirrored prediction, with the
// probabilities of single predictions.
func TestEnsemblesAverageProbabilities(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	dir := trained(t, tinyPICAI(), "-epochs", "1", "-steps", "1", "-loss", "dice,dice-ce", "-size", "32,32,16")
	first, second := filepath.Join(dir, "unet", "dice", "best.safetensors"), filepath.Join(dir, "unet", "dice-ce", "best.safetensors")
	scan := filepath.Join(dir, "phantom", "ValidImage", "phantom_004")
	label := filepath.Join(dir, "phantom", "ValidLabel", "phantom_004_gt.nii.gz")
	work := t.TempDir()
	probability := func(name string, args ...string) []float64 {
		out := filepath.Join(work, name+".nii")
		code, _, errs := runPredict(append(args, "-case", scan, "-out", out, "-probabilities", "-label", label)...)
		require.Equal(t, exitOK, code, errs)
		p, err := volume.Read(filepath.Join(work, name+"_prob.nii"))
		require.NoError(t, err)
		mask, err := volume.Read(out)
		require.NoError(t, err)
		for i, v := range p.Data {
			if math.Abs(v-0.5) > 1e-6 {
				require.Equal(t, v > 0.5, mask.Data[i] == 1)
			}
		}
		return p.Data
	}
	a, b := probability("a", "-weights", first), probability("b", "-weights", second)
	both := probability("both", "-weights", first+","+second)
	require.NotEqual(t, a, b)
	for i := range both {
		require.InDelta(t, (a[i]+b[i])/2, both[i], 1e-6)
	}
	measures := predictedJSON(t, filepath.Join(work, "both.json"))
	assert.Contains(t, measures, "scan")
	assert.NotContains(t, measures, "network", "an ensemble has no logits on one network's grid")
	code, out, errs := runPredict("-weights", first+","+second, "-case", scan, "-out", filepath.Join(work, "both.nii"), "-mirror", "zx")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Ensemble: the mean of the probabilities of 2 networks.")
	assert.Contains(t, out, "Mirrored along xz: the mean of the probabilities of 4 passes.")
	mirrored := probability("mirrored", "-weights", first, "-mirror", "x")
	assert.NotEqual(t, a, mirrored)

	other := trained(t, tinyPICAI(), "-epochs", "1", "-steps", "1", "-regions", "any=2,3,4,5;3=3", "-loss", "dice", "-size", "32,32,16")
	code, _, errs = runPredict("-weights", first+","+filepath.Join(other, "unet", "dice", "best.safetensors"), "-case", scan, "-out", filepath.Join(work, "x.nii"))
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "segments foreground (every nonzero label), but ")
	assert.NoFileExists(t, filepath.Join(work, "x.nii"))
}

func TestPredictFolderOfCases(t *testing.T) {
	dir := trained(t, tinyBraTS(), "-epochs", "1", "-steps", "1", "-loss", "dice", "-detection", "dynamic-fast")
	file := filepath.Join(dir, "unet", "dice", "best.safetensors")
	images, labels := filepath.Join(dir, "phantom", "ValidImage"), filepath.Join(dir, "phantom", "ValidLabel")
	out := filepath.Join(t.TempDir(), "masks", "all")
	code, text, errs := runPredict("-weights", file, "-cases", images, "-label", labels, "-out", out, "-detection", "dynamic-fast")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, text, "Case 2 of 2")
	assert.Contains(t, text, "Means over 2 cases:")
	assert.Equal(t, []string{
		"detection.csv", "measures.csv", "measures.json",
		"phantom_004_mask.csv", "phantom_004_mask.json", "phantom_004_mask.nii.gz", "phantom_004_mask_detection.csv", "phantom_004_mask_detection.nii.gz",
		"phantom_005_mask.csv", "phantom_005_mask.json", "phantom_005_mask.nii.gz", "phantom_005_mask_detection.csv", "phantom_005_mask_detection.nii.gz",
	}, names(t, out))
	checkDetection(t, dir, out, text)
	rows := readRows(t, filepath.Join(out, "measures.csv"))
	require.Len(t, rows, 4)
	assert.Equal(t, []string{"phantom_004", "scan"}, []string{rows[0]["case"], rows[0]["grid"]})
	for _, id := range []string{"phantom_004", "phantom_005"} {
		single := filepath.Join(t.TempDir(), "m.nii.gz")
		code, _, errs := runPredict("-weights", file, "-case", filepath.Join(images, id), "-label", filepath.Join(labels, id+"_gt.nii.gz"), "-out", single)
		require.Equal(t, exitOK, code, errs)
		want, err := os.ReadFile(single)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(out, id+"_mask.nii.gz"))
		require.NoError(t, err)
		assert.Equal(t, want, got)
		for k, row := range readRows(t, strings.TrimSuffix(single, ".nii.gz")+".csv") {
			row["case"] = id
			assert.Equal(t, row, rows[map[string]int{"phantom_004": 0, "phantom_005": 2}[id]+k])
		}
	}
	code, _, errs = runPredict("-weights", file, "-cases", images, "-label", t.TempDir(), "-out", out)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-label: dataset: ")
	code, _, errs = runPredict("-weights", file, "-cases", filepath.Join(dir, "absent"), "-out", out)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-cases: dataset: ")
}

// TestPredictKeepsForeignFiles predicts over files of its own, over changed ones and over
// those of others.
func TestPredictKeepsForeignFiles(t *testing.T) {
	dir := trained(t, tinyBraTS(), "-epochs", "1", "-steps", "1", "-loss", "dice")
	args := []string{"-weights", filepath.Join(dir, "unet", "dice", "best.safetensors"), "-case", filepath.Join(dir, "phantom", "ValidImage", "phantom_004")}
	label := []string{"-label", filepath.Join(dir, "phantom", "ValidLabel", "phantom_004_gt.nii.gz")}
	work := t.TempDir()
	mask := filepath.Join(work, "m.nii")
	args = append(args, "-out", mask)
	run := func(more ...string) (int, string) {
		code, _, errs := runPredict(append(append([]string(nil), args...), more...)...)
		return code, errs
	}
	code, errs := run(append(label, "-probabilities")...)
	require.Equal(t, exitOK, code, errs)
	assert.Equal(t, []string{"m.csv", "m.json", "m.nii", "m_prob.nii"}, names(t, work))
	code, errs = run()
	require.Equal(t, exitOK, code, errs)
	assert.Equal(t, []string{"m.json", "m.nii"}, names(t, work), "measures and probabilities of the earlier mask are removed")

	// A corrected mask, and files of others.
	original, err := os.ReadFile(mask)
	require.NoError(t, err)
	for _, name := range []string{"m.nii", "m.csv", "m_prob.nii"} {
		path := filepath.Join(work, name)
		require.NoError(t, os.WriteFile(path, []byte("corrected"), 0o644))
		code, errs = run(append(label, "-probabilities")...)
		assert.Equal(t, exitUsage, code, name)
		assert.Contains(t, errs, "-out: "+path+" exists, and predict did not write it or it has changed since; use -force")
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, "corrected", string(kept))
		if name == "m.nii" {
			require.NoError(t, os.WriteFile(path, original, 0o644))
		} else {
			require.NoError(t, os.Remove(path))
		}
	}
	for _, record := range []string{`{}`, `not json`, `{"facts": {"program": "other", "files": {}}}`} {
		require.NoError(t, os.WriteFile(filepath.Join(work, "m.json"), []byte(record), 0o644))
		code, errs = run()
		assert.Equal(t, exitUsage, code, record)
		assert.Contains(t, errs, "exists, and predict did not write it")
	}
	code, errs = run("-force")
	require.Equal(t, exitOK, code, errs)
	code, errs = run()
	require.Equal(t, exitOK, code, errs)
	got, err := os.ReadFile(mask)
	require.NoError(t, err)
	assert.Equal(t, original, got)

	// Also with -force, never an input.
	image := filepath.Join(dir, "phantom", "ValidImage", "phantom_004_image.nii.gz")
	code, _, errs = runPredict("-weights", filepath.Join(dir, "unet", "dice", "best.safetensors"), "-image", image, "-out", image, "-force")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "is an input file")
}

// TestChannelsInAnotherOrder gives the files of a network of t2w, adc and hbv in other orders
// and under other names.
func TestChannelsInAnotherOrder(t *testing.T) {
	dir := trained(t, tinyPICAI(), "-epochs", "1", "-steps", "1", "-loss", "dice", "-size", "32,32,16")
	file := filepath.Join(dir, "unet", "dice", "best.safetensors")
	stem := filepath.Join(dir, "phantom", "ValidImage", "phantom_004_")
	t2w, adc, hbv := stem+"t2w.nii.gz", stem+"adc.nii.gz", stem+"hbv.nii.gz"
	work := t.TempDir()
	images := func(paths ...string) (int, string, string) {
		return runPredict("-weights", file, "-image", strings.Join(paths, ","), "-out", filepath.Join(work, "m.nii"))
	}
	code, _, errs := images(adc, t2w, hbv)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-image: by their names the files are adc, t2w, hbv, but the network takes t2w, adc, hbv; give them in this order")
	assert.Empty(t, names(t, work))
	code, out, errs := images(t2w, adc, hbv)
	require.Equal(t, exitOK, code, errs)
	assert.NotContains(t, out, "Warning")

	copied := func(name, from string) string {
		raw, err := os.ReadFile(from)
		require.NoError(t, err)
		path := filepath.Join(work, name)
		require.NoError(t, os.WriteFile(path, raw, 0o644))
		return path
	}
	zero, one, two := copied("a_0000.nii.gz", t2w), copied("a_0001.nii.gz", adc), copied("a_0002.nii.gz", hbv)
	code, _, errs = images(one, zero, two)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "the files are 0001, 0000, 0002, but the usual order is 0000, 0001, 0002")
	code, out, errs = images(zero, one, two)
	require.Equal(t, exitOK, code, errs)
	assert.NotContains(t, out, "Warning")
	code, out, errs = images(copied("b_flair.nii.gz", t2w), copied("b_t1.nii.gz", adc), copied("b_t2.nii.gz", hbv))
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Warning: by their names the channels of case b are flair, t1, t2, but the network takes t2w, adc, hbv.")
	code, _, errs = images(copied("x.nii.gz", adc), copied("y.nii.gz", t2w), copied("z.nii.gz", hbv))
	assert.Equal(t, exitOK, code, errs)

	// A network that records another order gets the files of a case in its own.
	state, metadata, err := weights.Load(file)
	require.NoError(t, err)
	metadata["settings"] = strings.Replace(metadata["settings"], `["t2w","adc","hbv"]`, `["ADC","HBV","T2W"]`, 1)
	other := filepath.Join(work, "other.safetensors")
	require.NoError(t, weights.Save(other, state, metadata))
	code, _, errs = runPredict("-weights", other, "-case", strings.TrimSuffix(stem, "_"), "-out", filepath.Join(work, "reordered.nii"))
	require.Equal(t, exitOK, code, errs)
	raw, err := os.ReadFile(filepath.Join(work, "reordered.json"))
	require.NoError(t, err)
	var record struct {
		Facts struct{ Images []string }
	}
	require.NoError(t, json.Unmarshal(raw, &record))
	assert.Equal(t, []string{adc, hbv, t2w}, record.Facts.Images)
	// A list that names the channels of files whose names do not.
	list := filepath.Join(work, "list.csv")
	require.NoError(t, os.WriteFile(list, []byte("case,image.ADC,image.T2W,image.HBV\nlisted,x.nii.gz,y.nii.gz,z.nii.gz\n"), 0o644))
	code, _, errs = runPredict("-weights", file, "-cases", list, "-out", work)
	require.Equal(t, exitOK, code, errs)
	inOrder, err := os.ReadFile(filepath.Join(work, "listed_mask.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(inOrder, &record))
	assert.Equal(t, []string{"y.nii.gz", "x.nii.gz", "z.nii.gz"}, []string{filepath.Base(record.Facts.Images[0]), filepath.Base(record.Facts.Images[1]), filepath.Base(record.Facts.Images[2])})

	code, _, errs = runPredict("-weights", file+","+other, "-case", strings.TrimSuffix(stem, "_"), "-out", filepath.Join(work, "y.nii"))
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "takes the channels ADC, HBV, T2W, but a network before it t2w, adc, hbv")
}

// checkDetection compares the lesion candidates in the folder out, predicted for the
// validation cases of a run on the same voxels, with those of the run.
func checkDetection(t *testing.T, run, out, text string) {
	want := readRows(t, filepath.Join(run, "detection.csv"))[0]
	all := readRows(t, filepath.Join(out, "detection.csv"))
	lesions, candidates := 0, 0
	for _, row := range all {
		lesions += map[string]int{"1": 1}[row["lesion"]]
		candidates += map[bool]int{true: 1}[row["confidence"] != "0"]
	}
	assert.Equal(t, want["lesions"], fmt.Sprint(lesions))
	assert.Equal(t, want["candidates"], fmt.Sprint(candidates))
	assert.NotZero(t, candidates)
	assert.Contains(t, text, "Lesion detection on the scans' grids:")
	ap, err := strconv.ParseFloat(want["average_precision"], 64)
	require.NoError(t, err)
	assert.Regexp(t, fmt.Sprintf(`\| average_precision +\| +%.3f \|`, ap), text)

	var own []map[string]string
	for _, id := range []string{"phantom_004", "phantom_005"} {
		stem := filepath.Join(out, id+"_mask")
		own = append(own, readRows(t, stem+"_detection.csv")...)
		raw, err := os.ReadFile(stem + ".json")
		require.NoError(t, err)
		var got struct {
			Facts     struct{ Files map[string]string }
			Detection struct {
				Method      string
				Confidences []float64
				Matched     struct {
					Confidence float64
					Entries    []struct{ Confidence float64 }
				}
			}
		}
		require.NoError(t, json.Unmarshal(raw, &got))
		assert.Equal(t, "dynamic-fast", got.Detection.Method)
		assert.Contains(t, got.Facts.Files, id+"_mask_detection.nii.gz")
		require.NotEmpty(t, got.Detection.Confidences)
		assert.Equal(t, slices.Max(got.Detection.Confidences), got.Detection.Matched.Confidence)
		assert.NotEmpty(t, got.Detection.Matched.Entries)

		// The map has the candidates' confidences and 0, on the scan's grid.
		header, err := volume.ReadHeader(stem + "_detection.nii.gz")
		require.NoError(t, err)
		assert.Equal(t, volume.Float32, header.Type)
		detectionMap, err := volume.Read(stem + "_detection.nii.gz")
		require.NoError(t, err)
		mask, err := volume.Read(stem + ".nii.gz")
		require.NoError(t, err)
		assert.Equal(t, mask.Dims, detectionMap.Dims)
		assert.Equal(t, mask.Affine, detectionMap.Affine)
		values := slices.Compact(slices.Sorted(slices.Values(append(detectionMap.Data, 0))))
		confidences := slices.Compact(slices.Sorted(slices.Values(got.Detection.Confidences)))
		assert.Equal(t, append([]float64{0}, confidences...), values)
	}
	assert.Equal(t, all, own)
}
