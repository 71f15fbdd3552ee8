package measure

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/internal/golden"
)

// volumeOf returns a golden tensor, Z×Y×X, as a volume.
func volumeOf(t *testing.T, f *golden.File, name string) *volume.Volume {
	g, ok := f.Tensors[name]
	require.True(t, ok, name)
	dims := [3]int{g.Shape[2], g.Shape[1], g.Shape[0]}
	v := &volume.Volume{Dims: dims, Channels: 1, Data: make([]float64, len(g.Data))}
	for k, value := range g.Data {
		x, y, z := k%dims[0], k/dims[0]%dims[1], k/dims[0]/dims[1]
		v.Data[(x*dims[1]+y)*dims[2]+z] = value
	}
	return v
}

// TestDetectionMapsEqualTheChallenges compares with the reference numbers of the challenge's
// programs, on volumes in the order of the axes of package volume.
func TestDetectionMapsEqualTheChallenges(t *testing.T) {
	dir, _, err := golden.Dir("picai")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index struct {
		Candidates []struct {
			Volume      string         `json:"volume"`
			HardBlobs   string         `json:"hard_blobs"`
			Threshold   any            `json:"threshold"`
			Options     map[string]any `json:"options"`
			Confidences []float64      `json:"confidences"`
		} `json:"candidates"`
		Cases []struct {
			Map            string      `json:"detection_map"`
			Label          string      `json:"label"`
			MinOverlap     float64     `json:"min_overlap"`
			Overlap        string      `json:"overlap"`
			CaseConfidence string      `json:"case_confidence"`
			AllowUnmatched bool        `json:"allow_unmatched"`
			Entries        [][]float64 `json:"entries"`
			Confidence     float64     `json:"confidence"`
		} `json:"cases"`
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	f, err := golden.Read(filepath.Join(dir, "volumes.safetensors"))
	require.NoError(t, err)

	methods := map[any]detection.Method{"dynamic-fast": detection.DynamicFast, "dynamic": detection.Dynamic, "dynamic-v2": detection.DynamicV2}
	compared := 0
	for _, g := range index.Candidates {
		method, ok := methods[g.Threshold]
		if !ok || len(g.Options) > 0 {
			continue
		}
		d, err := NewDetectionMap(detection.Extraction{Method: method}, volumeOf(t, f, g.Volume))
		require.NoError(t, err, g.Volume)
		assert.Equal(t, g.Confidences, append([]float64{}, d.Confidences...), g.Volume)
		assert.Equal(t, volumeOf(t, f, g.HardBlobs).Data, d.Volume.Data, g.Volume)
		compared++
	}
	assert.GreaterOrEqual(t, compared, 5)

	compared = 0
	for _, g := range index.Cases {
		if g.MinOverlap != 0.1 || g.Overlap != "IoU" || g.CaseConfidence != "max" || !g.AllowUnmatched {
			continue
		}
		v := volumeOf(t, f, g.Map)
		d := &DetectionMap{Volume: v, slicesFirst: slicesFirst(v.Dims, func(i int) float32 { return float32(v.Data[i]) })}
		got, err := d.Match("case", volumeOf(t, f, g.Label))
		require.NoError(t, err, g.Map)
		assert.InDelta(t, g.Confidence, got.Confidence, 1e-15, g.Map)
		var entries [][]float64
		for _, e := range got.Entries {
			entries = append(entries, []float64{map[bool]float64{true: 1}[e.Lesion], e.Confidence, e.Overlap})
		}
		slices.SortFunc(entries, slices.Compare)
		slices.SortFunc(g.Entries, slices.Compare) // SciPy numbers components in another order
		require.Len(t, entries, len(g.Entries), g.Map)
		for i := range entries {
			assert.InDeltaSlice(t, g.Entries[i], entries[i], 1e-15, g.Map)
		}
		compared++
	}
	assert.GreaterOrEqual(t, compared, 5)
}

// TestDetect matches two candidates that overlap one lesion equally: the one of the lower
// slice is matched, although the other one comes first along X.
func TestDetect(t *testing.T) {
	const x, y, z = 12, 3, 9
	n := x * y * z
	at := func(i, j, k int) int { return (i*y+j)*z + k }
	logits, label := make([]float32, 2*n), make([]uint8, n)
	for i := range n {
		logits[n+i] = -8
	}
	for j := range y {
		for i := range 4 {
			logits[n+at(i, j, 8)] = 2   // the first along X
			logits[n+at(i+8, j, 0)] = 1 // the first along Z
			label[at(i, j, 8)], label[at(i+8, j, 0)] = 3, 3
		}
		for i := range x { // joins the lesion's ends
			label[at(i, j, 4)] = 3
		}
		for k := range z {
			label[at(3, j, k)] |= 3 * map[bool]uint8{true: 1}[k >= 4]
			label[at(8, j, k)] |= 3 * map[bool]uint8{true: 1}[k <= 4]
		}
	}
	lesion := 0
	for _, v := range label {
		lesion += map[bool]int{true: 1}[v != 0]
	}
	overlap := (12 + 1e-8) / (float64(lesion) + 1e-8)
	require.Greater(t, overlap, 0.1)
	dense := tensor.New(tensor.WithShape(1, 2, x, y, z), tensor.WithBacking(logits))
	labels := tensor.New(tensor.WithShape(1, x, y, z), tensor.WithBacking(label))
	got, err := Detect(detection.Extraction{}, "case", dense, labels, afl.SigmoidChannel1)
	require.NoError(t, err)
	assert.Equal(t, &outcome.Detection{
		Confidence: float64(float32(sigmoid(2))),
		Entries:    []outcome.DetectionEntry{{Lesion: true, Confidence: float64(float32(sigmoid(1))), Overlap: overlap}},
	}, got)

	// With the softmax of both channels, channel 0 counts.
	for j := range y {
		for i := range 4 {
			logits[at(i, j, 8)] = 12
		}
	}
	got, err = Detect(detection.Extraction{}, "case", dense, labels, afl.Argmax)
	require.NoError(t, err)
	assert.Equal(t, float64(float32(sigmoid(1))), got.Confidence)

	// Without a lesion every candidate is false.
	clear(label)
	got, err = Detect(detection.Extraction{Method: detection.Static, Threshold: 0.5}, "case", dense, labels, afl.SigmoidChannel1)
	require.NoError(t, err)
	assert.Equal(t, []outcome.DetectionEntry{{Confidence: float64(float32(sigmoid(1)))}, {Confidence: float64(float32(sigmoid(2)))}}, got.Entries)

	_, err = Detect(detection.Extraction{}, "case", dense, labels, afl.SigmoidPerChannel)
	assert.ErrorContains(t, err, "SigmoidPerChannel")
	_, err = Detect(detection.Extraction{}, "case", labels, labels, afl.Argmax)
	assert.ErrorContains(t, err, "1×2×X×Y×Z")
	_, err = Detect(detection.Extraction{}, "case", dense, dense, afl.Argmax)
	assert.ErrorContains(t, err, "uint8 of 1×12×3×9")
}

// BenchmarkDetect takes a volume of PI-CAI's size: a network that has learned, and noise.
func BenchmarkDetect(b *testing.B) {
	const x, y, z = 160, 128, 24
	n := x * y * z
	label := make([]uint8, n)
	for _, c := range []struct {
		name  string
		logit func(i int) float32
	}{
		{"lesion", func(i int) float32 {
			d := max(abs(i/(y*z)-70), abs(i/z%y-50), 2*abs(i%z-12))
			return 3 - float32(d)
		}},
		{"noise", func(i int) float32 { return float32(uint32(i)*2654435761>>8) / (1 << 23) }},
	} {
		logits := make([]float32, 2*n)
		for i := range n {
			logits[n+i] = c.logit(i)
		}
		dense := tensor.New(tensor.WithShape(1, 2, x, y, z), tensor.WithBacking(logits))
		labels := tensor.New(tensor.WithShape(1, x, y, z), tensor.WithBacking(label))
		for _, m := range []detection.Method{detection.DynamicFast, detection.Dynamic} {
			b.Run(c.name+"/"+m.String(), func(b *testing.B) {
				for b.Loop() {
					_, err := Detect(detection.Extraction{Method: m}, "case", dense, labels, afl.SigmoidChannel1)
					require.NoError(b, err)
				}
			})
		}
	}
}

func abs(i int) int { return max(i, -i) }
