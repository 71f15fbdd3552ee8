package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/surface"
)

// dataOf returns the data that the scripts of a page draw.
func dataOf(t *testing.T, html []byte) (content struct {
	Charts []Chart
	Cases  *struct {
		IDs       []string
		Parts     []string
		Measures  []struct{ Label string }
		Trainings []struct {
			Name   string
			Values [][][]outcome.Number
		}
	}
	Viewer *storedViewer
}) {
	t.Helper()
	_, rest, found := strings.Cut(string(html), `<script type="application/json" id="data">`)
	require.True(t, found)
	raw, _, _ := strings.Cut(rest, "</script>")
	require.NoError(t, json.Unmarshal([]byte(raw), &content))
	return content
}

func TestPageIsStable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, sample(t).Write(path))
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	again, err := sample(t).html()
	require.NoError(t, err)
	assert.True(t, bytes.Equal(first, again), "the same results give the same bytes")
	assert.NotContains(t, string(first), hostile)
	assert.NotContains(t, string(first), `<b id="bad">`)
	content := dataOf(t, first)
	assert.Equal(t, hostile, content.Charts[0].Curves[2].Name)
	assert.Equal(t, hostile, content.Cases.Trainings[2].Name)
	assert.Error(t, sample(t).Write(filepath.Join(path, "no folder")))
}

// TestHolds checks what a page states about its images.
func TestHolds(t *testing.T) {
	p := sample(t)
	assert.Contains(t, p.holds(), "images of the phantom: 2 cases, and slices in the figure")
	p.Synthetic = false
	assert.Contains(t, p.holds(), "images of patients: 2 cases, and slices")
	p.Figure, p.Viewer.Cases = nil, p.Viewer.Cases[:1]
	assert.Contains(t, p.holds(), "images of patients: one case.")
	p.Viewer = nil
	assert.Contains(t, p.holds(), "contains no images of patients; -page_images")
	html, err := p.html()
	require.NoError(t, err)
	for _, absent := range []string{"<img", "Synthetic data.", `id="viewer"`} {
		assert.NotContains(t, string(html), absent)
	}
	assert.Nil(t, dataOf(t, html).Viewer)
}

// TestBundledLibrary compares the chart library with the hashes beside it.
func TestBundledLibrary(t *testing.T) {
	readme := asset("uplot/README.md")
	assert.Contains(t, readme, "# uPlot "+chartVersion)
	assert.Contains(t, asset("uplot/uPlot.iife.min.js"), "(v"+chartVersion+")")
	for _, name := range []string{"uPlot.iife.min.js", "uPlot.min.css", "LICENSE"} {
		assert.Contains(t, readme, fmt.Sprintf("| %s | %x |", name, sha256.Sum256([]byte(asset("uplot/"+name)))))
	}
}

// TestComparison pools seeds and folds, and has values for classes and their mean.
func TestComparison(t *testing.T) {
	one := func(id string, dice, a, b float64) outcome.Case {
		values := func(dice float64) outcome.Values {
			v := outcome.NoValues()
			v[outcome.Dice] = outcome.Number(dice)
			return v
		}
		return outcome.Case{ID: id, Values: values(dice), Segments: []outcome.SegmentValues{{Name: "a", Values: values(a)}, {Name: "b", Values: values(b)}}}
	}
	results := outcome.Store{
		{Network: "unet", NetworkTitle: "UNet", Loss: "fl", Title: "FL", Seed: 1, Cases: []outcome.Case{one("p", 0.5, 0.25, 0.75)}},
		{Network: "unet", NetworkTitle: "UNet", Loss: "fl", Title: "FL", Seed: 2, Cases: []outcome.Case{one("p", 1, 1, math.NaN())}},
		{Network: "vnet", NetworkTitle: "VNet", Loss: "fl", Title: "FL", Seed: 1, Cases: []outcome.Case{one("q", math.Inf(1), 0.125, 0.5)}},
	}
	c := Compare(results)
	assert.Equal(t, []string{"p", "q"}, c.IDs)
	assert.Equal(t, []string{"a", "b", "mean"}, c.Parts)
	require.Len(t, c.Measures, 1, "measures without a value are left out")
	require.Len(t, c.Trainings, 2)
	assert.Equal(t, "UNet, FL", c.Trainings[0].Name)
	raw, err := json.Marshal(c.Trainings[0].Values)
	require.NoError(t, err)
	assert.JSONEq(t, `[[[0.625, null]], [[0.75, null]], [[0.75, null]]]`, string(raw))
	raw, err = json.Marshal(c.Trainings[1].Values)
	require.NoError(t, err)
	assert.JSONEq(t, `[[[null, 0.125]], [[null, 0.5]], [[null, "inf"]]]`, string(raw))
	assert.Nil(t, Compare(outcome.Store{{Loss: "fl"}}))
}

func TestNumbersHaveSixDigits(t *testing.T) {
	raw, err := json.Marshal([]Number{1.0 / 3, 1e-9, 123456789, 0, Number(math.NaN()), Number(math.Inf(-1))})
	require.NoError(t, err)
	assert.Equal(t, `[0.333333,1e-09,1.23457e+08,0,null,"-inf"]`, string(raw))
}

// inflate returns what zlib compressed.
func inflate(t *testing.T, raw []byte) []byte {
	t.Helper()
	r, err := zlib.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	all, err := io.ReadAll(r)
	require.NoError(t, err)
	return all
}

// voxels returns the image and the masks of a stored case, a mask as the bytes '0' and '1'.
func voxels(t *testing.T, c storedCase) (image []byte, masks []string) {
	t.Helper()
	image = inflate(t, c.Image)
	require.Len(t, image, c.Dims[0]*c.Dims[1]*c.Dims[2])
	for _, raw := range c.Masks {
		if raw == nil {
			masks = append(masks, "")
			continue
		}
		packed := inflate(t, raw)
		var b strings.Builder
		for i := range image {
			b.WriteByte('0' + packed[i/8]>>(i%8)&1)
		}
		masks = append(masks, b.String())
	}
	return image, masks
}

func TestScanIsStoredAsItIs(t *testing.T) {
	label := surface.Mask{Dims: [3]int{1, 2, 5}, Spacing: [3]float64{1, 2, 3}, Voxels: make([]bool, 10)}
	label.Voxels[1], label.Voxels[9] = true, true
	nan := float32(math.NaN())
	s, err := NewScan("a", []float32{-2, 0, 2, nan, 1, 0, 0, 0, 0, float32(math.Inf(1))}, label)
	require.NoError(t, err)
	require.NoError(t, s.AddMask(nil))
	c, err := s.stored()
	require.NoError(t, err)
	assert.Equal(t, [3]float64{1, 2, 3}, c.Spacing)
	image, masks := voxels(t, c)
	assert.Equal(t, []byte{0, 128, 255, 0, 191, 128, 128, 128, 128, 255}, image)
	assert.Equal(t, []string{"0100000001", ""}, masks)

	assert.ErrorContains(t, s.AddMask(make([]bool, 3)), "a mask has 3 voxels, want 10")
	_, err = NewScan("a", make([]float32, 3), label)
	assert.ErrorContains(t, err, "the image has 3 voxels, want 10")
	_, err = (&Viewer{Layers: []Layer{GroundTruth}, Cases: []*Scan{s}}).store(1 << 20)
	assert.ErrorContains(t, err, "case a has 2 masks, want 1")
	constant, err := NewScan("a", make([]float32, 10), label)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, 10), constant.image)
}

// TestScanFits gives an image that cannot be compressed less and less space.
func TestScanFits(t *testing.T) {
	dims := [3]int{60, 50, 21}
	label := surface.Mask{Dims: dims, Spacing: [3]float64{1, 1, 4}, Voxels: make([]bool, dims[0]*dims[1]*dims[2])}
	random := rand.New(rand.NewPCG(1, 2))
	scan := make([]float32, len(label.Voxels))
	for n := range scan {
		scan[n] = random.Float32()
	}
	predicted := make([]bool, len(scan))
	box := func(mask []bool, lo, hi [3]int) {
		for i := lo[0]; i < hi[0]; i++ {
			for j := lo[1]; j < hi[1]; j++ {
				for k := lo[2]; k < hi[2]; k++ {
					mask[(i*dims[1]+j)*dims[2]+k] = true
				}
			}
		}
	}
	box(label.Voxels, [3]int{20, 20, 9}, [3]int{28, 26, 11})
	box(predicted, [3]int{24, 20, 9}, [3]int{34, 30, 13})
	s, err := NewScan("a", scan, label)
	require.NoError(t, err)
	require.NoError(t, s.AddMask(predicted))
	count := func(c storedCase) (n [2]int) {
		_, masks := voxels(t, c)
		for i, m := range masks {
			n[i] = strings.Count(m, "1")
		}
		return n
	}
	whole := [2]int{8 * 6 * 2, 10 * 10 * 4}
	for _, step := range []struct {
		limit   int
		dims    [3]int
		spacing float64
		masks   [2]int
		note    string
	}{
		{70000, [3]int{54, 50, 14}, 1, whole, "The image is cropped to 20 mm around the masks: 54×50×14 of 60×50×21 voxels."},
		{9000, [3]int{24, 20, 8}, 1, whole, "The image is cropped to 5 mm around the masks: 24×20×8 of 60×50×21 voxels."},
		{3000, [3]int{12, 10, 8}, 2, [2]int{whole[0] / 4 * 5 / 4, 500 / 4}, " Voxels are merged to 2×2×4 mm, so that masks are coarser than predicted."},
	} {
		c, err := s.fit(step.limit)
		require.NoError(t, err)
		assert.LessOrEqual(t, c.size(), step.limit)
		assert.Equal(t, step.dims, c.Dims, step.limit)
		assert.Equal(t, [3]float64{step.spacing, step.spacing, 4}, c.Spacing)
		if step.spacing == 1 {
			assert.Equal(t, step.masks, count(c), "no part of a mask is cut off")
			assert.Equal(t, step.note, c.Note)
		} else {
			assert.Contains(t, c.Note, step.note)
			for i, n := range count(c) {
				assert.InDelta(t, whole[i], 4*n, float64(whole[i])/2, "about the volume")
			}
		}
	}
	empty, err := NewScan("b", scan, surface.Mask{Dims: dims, Spacing: label.Spacing, Voxels: make([]bool, len(scan))})
	require.NoError(t, err)
	c, err := empty.fit(9000)
	require.NoError(t, err)
	assert.LessOrEqual(t, c.size(), 9000)
	assert.NotContains(t, c.Note, "cropped")
	assert.Contains(t, c.Note, "merged")
}

// TestCasesShareTheSpace gives four cases, of which one is small, too little space.
func TestCasesShareTheSpace(t *testing.T) {
	v := &Viewer{Layers: []Layer{GroundTruth}}
	random := rand.New(rand.NewPCG(1, 2))
	for n, side := range []int{20, 20, 6, 20} {
		label := surface.Mask{Dims: [3]int{side, side, side}, Spacing: [3]float64{1, 1, 1}, Voxels: make([]bool, side*side*side)}
		scan := make([]float32, len(label.Voxels))
		for i := range scan {
			scan[i], label.Voxels[i] = random.Float32(), i%97 == 0
		}
		s, err := NewScan(fmt.Sprint(n), scan, label)
		require.NoError(t, err)
		v.Cases = append(v.Cases, s)
	}
	for _, limit := range []int{50000, 20000} {
		stored, err := v.store(limit)
		require.NoError(t, err)
		total := 0
		for n, c := range stored.Cases {
			total += c.size()
			assert.Equal(t, limit < 40000 && n != 2, c.Note != "", "case %d in %d bytes: %s", n, limit, c.Note)
		}
		assert.LessOrEqual(t, total, limit)
	}
}
