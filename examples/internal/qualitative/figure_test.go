package qualitative

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/surface"
)

// ball returns the mask of a ball, in millimeters.
func ball(dims [3]int, spacing, center [3]float64, radius float64) surface.Mask {
	m := surface.Mask{Dims: dims, Spacing: spacing}
	for i := range dims[0] {
		for j := range dims[1] {
			for k := range dims[2] {
				d := math.Hypot(math.Hypot(float64(i)*spacing[0]-center[0], float64(j)*spacing[1]-center[1]), float64(k)*spacing[2]-center[2])
				m.Voxels = append(m.Voxels, d <= radius)
			}
		}
	}
	return m
}

// columnOf returns a column with a ramp as its image and masks that differ in radius.
func columnOf(label surface.Mask, masks ...[]bool) Column {
	c := Column{ID: "case", Label: label, Masks: masks, Image: make([]float32, len(label.Voxels))}
	for i := range c.Image {
		c.Image[i] = float32(i % 97)
	}
	return c
}

func rows(names ...string) []Row {
	var all []Row
	for i, name := range names {
		all = append(all, Row{name, report.Color(i)})
	}
	return all
}

func drawn(t *testing.T, f *Figure) *image.RGBA {
	t.Helper()
	img, err := f.Draw()
	require.NoError(t, err)
	return img.(*image.RGBA)
}

// panelOf returns a picture of a figure without a title.
func panelOf(img *image.RGBA, column, row int, slice bool) *image.RGBA {
	s := &sheet{top: margin + headingSize}
	x := s.left(column)
	if slice {
		x += panel + gap
	}
	return img.SubImage(image.Rect(x, s.rowTop(row), x+panel, s.rowTop(row)+panel)).(*image.RGBA)
}

// count returns the number of pixels that fulfill a condition.
func count(img *image.RGBA, is func(c color.RGBA) bool) int {
	n := 0
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			if is(img.RGBAAt(x, y)) {
				n++
			}
		}
	}
	return n
}

func is(want color.Color) func(color.RGBA) bool {
	w := color.RGBAModel.Convert(want).(color.RGBA)
	return func(c color.RGBA) bool { return c == w }
}

func TestRowsAndColumns(t *testing.T) {
	large := ball([3]int{40, 40, 12}, [3]float64{1, 1, 3}, [3]float64{20, 20, 16}, 11)
	small := ball([3]int{40, 40, 12}, [3]float64{1, 1, 3}, [3]float64{20, 20, 16}, 5)
	img := drawn(t, &Figure{Rows: rows("A-FL", "FL"), Columns: []Column{
		columnOf(large, large.Voxels, small.Voxels), columnOf(small, large.Voxels, small.Voxels)}})
	surfacePixels := func(column, row int) int {
		return panel*panel - count(panelOf(img, column, row, false), is(backdrop))
	}
	// The scale bar and its text are drawn in the first row, so compare the others.
	assert.Greater(t, surfacePixels(0, 1), 3*surfacePixels(0, 2), "the same scale in all rows of a column")
	assert.Greater(t, surfacePixels(1, 1), surfacePixels(1, 2))
	for row, c := range []color.Color{truthColor, report.Color(0), report.Color(1)} {
		assert.Greater(t, count(panelOf(img, 0, row, true), is(c)), 300, "row %d has an outline in its color", row)
	}
	assert.Zero(t, count(panelOf(img, 0, 0, true), is(report.Color(0))))
	assert.Greater(t, count(panelOf(img, 0, 2, true), is(truthColor)), 100, "the ground truth is below the prediction")
}

// TestOutlineIsWhereTheMaskIs checks the place of an outline in the picture: the patient's
// right on the left and anterior at the top, in millimeters.
func TestOutlineIsWhereTheMaskIs(t *testing.T) {
	grid := [3]int{80, 80, 7}
	spacing := [3]float64{0.5, 0.5, 3}
	v := newView(ball(grid, spacing, [3]float64{20, 20, 9}, 6))
	assert.Equal(t, 3, v.slice)
	// 4 mm to the right and 2 mm to anterior of the view's center.
	m := ball(grid, spacing, [3]float64{24, 22, 9}, 3)
	img := image.NewRGBA(image.Rect(0, 0, panel, panel))
	drawOutline(img, m, v, 2, truthColor)
	scale := panel / v.side
	n, sumX, sumY := 0.0, 0.0, 0.0
	for y := range panel {
		for x := range panel {
			if img.RGBAAt(x, y) == truthColor {
				n++
				sumX += float64(x) + 0.5
				sumY += float64(y) + 0.5
				r := math.Hypot(float64(x)+0.5-panel/2+4*scale, float64(y)+0.5-panel/2+2*scale) / scale
				assert.InDelta(t, 3, r, 0.5)
			}
		}
	}
	assert.InDelta(t, panel/2-4*scale, sumX/n, 1)
	assert.InDelta(t, panel/2-2*scale, sumY/n, 1)
}

// TestSliceIsAlignedWithTheOutline draws an image that equals the mask.
func TestSliceIsAlignedWithTheOutline(t *testing.T) {
	m := ball([3]int{31, 41, 5}, [3]float64{1, 0.7, 2}, [3]float64{12, 14, 4}, 7)
	c := columnOf(m)
	for i, in := range m.Voxels {
		c.Image[i] = 0
		if in {
			c.Image[i] = 1
		}
	}
	v := newView(m)
	v.center[0] += 3
	img := drawSlice(c.Image, m, v, panel)
	bright := count(img, func(c color.RGBA) bool { return c.R >= 0x80 && c.R == c.B })
	scale := panel / v.side
	assert.InEpsilon(t, math.Pi*7*7*scale*scale, bright, 0.06)
	drawOutline(img, m, v, 2, truthColor)
	// Along a row and a column through the outline, the gray changes only within it.
	for y := range panel {
		for x := 1; x < panel; x++ {
			a, b := img.RGBAAt(x-1, y), img.RGBAAt(x, y)
			if a.R == a.B && b.R == b.B && a.R != noImage.R && b.R != noImage.R {
				assert.False(t, a.R < 0x40 && b.R > 0xC0 || a.R > 0xC0 && b.R < 0x40, "at %d, %d", x, y)
			}
		}
	}
}

func TestEmptyPrediction(t *testing.T) {
	m := ball([3]int{20, 20, 20}, [3]float64{1, 1, 1}, [3]float64{10, 10, 10}, 5)
	img := drawn(t, &Figure{Rows: rows("A-FL"), Columns: []Column{columnOf(m, make([]bool, len(m.Voxels)))}})
	pixels := panel*panel - count(panelOf(img, 0, 1, false), is(backdrop))
	assert.Positive(t, pixels, "the picture says that the mask is empty")
	assert.Less(t, pixels, panel*panel/30)
	assert.Zero(t, count(panelOf(img, 0, 1, true), is(report.Color(0))))
}

func TestPredictionBeyondTheView(t *testing.T) {
	grid, one := [3]int{60, 60, 60}, [3]float64{1, 1, 1}
	label, far := ball(grid, one, [3]float64{10, 10, 10}, 4), ball(grid, one, [3]float64{50, 50, 50}, 4)
	part, _ := newView(label).crop(far)
	assert.Zero(t, part.Count())
	assert.Contains(t, caption(label, far, part), "Dice 0.000, 0.257 ml (0.257 ml beyond the view)")
	whole, _ := newView(label).crop(label)
	assert.Equal(t, "Dice 1.000, 0.257 ml", caption(label, label, whole))
	img := drawn(t, &Figure{Rows: rows("FL"), Columns: []Column{columnOf(label, far.Voxels)}})
	assert.Less(t, panel*panel-count(panelOf(img, 0, 1, false), is(backdrop)), panel*panel/20)
}

func TestHostileCases(t *testing.T) {
	empty := surface.Mask{Dims: [3]int{6, 5, 4}, Spacing: [3]float64{1, 1, 1}, Voxels: make([]bool, 120)}
	full := ball([3]int{9, 8, 7}, [3]float64{1, 1, 1}, [3]float64{}, 100)
	voxel := ball([3]int{30, 30, 9}, [3]float64{0.5, 0.5, 3}, [3]float64{0, 14.5, 24}, 0.1)
	single := ball([3]int{1, 1, 1}, [3]float64{0.5, 0.5, 3}, [3]float64{}, 1)
	flat := ball([3]int{33, 31, 1}, [3]float64{1, 1, 1}, [3]float64{16, 15, 0}, 8)
	for name, m := range map[string]surface.Mask{"empty": empty, "full": full, "voxel": voxel, "single": single, "flat": flat} {
		column := columnOf(m, m.Voxels, make([]bool, len(m.Voxels)), m.Voxels, m.Voxels, m.Voxels, m.Voxels)
		for i := range column.Image {
			column.Image[i] = float32([]float64{math.NaN(), math.Inf(1), 3}[i%3])
		}
		img := drawn(t, &Figure{Title: "A title that is much longer than the only column of this figure is wide, so it has to shrink",
			Rows: rows("A-FL", "FL", "Dice", "A loss with a long name that has to fit its row", "", "CE"), Columns: []Column{column}})
		assert.Equal(t, leftMargin+pair+margin, img.Rect.Dx(), name)
	}
	allNaN := columnOf(full)
	for i := range allNaN.Image {
		allNaN.Image[i] = float32(math.NaN())
	}
	img := drawn(t, &Figure{Columns: []Column{allNaN}})
	assert.Greater(t, count(panelOf(img, 0, 0, true), is(noImage)), panel*panel/2)
}

func TestOneVoxelIsVisible(t *testing.T) {
	m := ball([3]int{30, 30, 9}, [3]float64{0.5, 0.5, 3}, [3]float64{7, 7, 12}, 0.1)
	require.Equal(t, 1, m.Count())
	img := drawn(t, &Figure{Rows: rows("FL"), Columns: []Column{columnOf(m, m.Voxels)}})
	assert.Greater(t, panel*panel-count(panelOf(img, 0, 1, false), is(backdrop)), panel*panel/100)
	assert.Greater(t, count(panelOf(img, 0, 1, true), is(report.Color(0))), 30)
}

func TestSameBitsForAnyNumberOfThreads(t *testing.T) {
	m := ball([3]int{30, 30, 9}, [3]float64{1, 1, 3}, [3]float64{15, 15, 12}, 9)
	f := &Figure{Title: "Title", Rows: rows("FL"), Columns: []Column{columnOf(m, m.Voxels)}}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := drawn(t, f)
	runtime.GOMAXPROCS(2)
	assert.True(t, bytes.Equal(one.Pix, drawn(t, f).Pix))
}

func TestWritePNG(t *testing.T) {
	m := ball([3]int{20, 20, 9}, [3]float64{1, 1, 2}, [3]float64{10, 10, 8}, 6)
	f := &Figure{Rows: rows("FL"), Columns: []Column{columnOf(m, m.Voxels)}}
	path := filepath.Join(t.TempDir(), "qualitative.png")
	require.NoError(t, f.WritePNG(path))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	read, err := png.Decode(file)
	require.NoError(t, err)
	assert.Equal(t, drawn(t, f).Rect, read.Bounds())

	f.Columns[0].Masks = nil
	other := filepath.Join(t.TempDir(), "other.png")
	require.Error(t, f.WritePNG(other))
	assert.NoFileExists(t, other)
}

func TestRefusedFigures(t *testing.T) {
	m := ball([3]int{5, 5, 5}, [3]float64{1, 1, 1}, [3]float64{2, 2, 2}, 1)
	for want, change := range map[string]func(f *Figure){
		"Columns is empty":                 func(f *Figure) { f.Columns = nil },
		"has 1 masks, want 2":              func(f *Figure) { f.Rows = rows("FL", "CE") },
		"image has 3 voxels, want 125":     func(f *Figure) { f.Columns[0].Image = make([]float32, 3) },
		"mask of FL has 0 voxels, want 12": func(f *Figure) { f.Columns[0].Masks[0] = nil },
		"row FL has no color":              func(f *Figure) { f.Rows[0].Color = nil },
		"Spacing":                          func(f *Figure) { f.Columns[0].Label.Spacing[2] = 0 },
	} {
		f := &Figure{Rows: rows("FL"), Columns: []Column{columnOf(m, m.Voxels)}}
		change(f)
		_, err := f.Draw()
		assert.ErrorContains(t, err, want)
	}
}

func TestReasons(t *testing.T) {
	assert.Equal(t, "Large and low γ_mSa", kindsInWords([]Kind{Large, LowGamma}))
	assert.Equal(t, "largest volume, lowest γ_mSa", reasons([]Kind{Large, LowGamma}, 2))
	assert.Equal(t, "highest γ_mSa of the others", reasons([]Kind{HighGamma}, 4))
	assert.Equal(t, "the only one", reasons(nil, 1))
	assert.Equal(t, "0.00400", milliliters(0.004))
	assert.Equal(t, "12.3", milliliters(12.34))
	assert.Equal(t, "1234", milliliters(1234.4))
	assert.Equal(t, "0", milliliters(0))
}
