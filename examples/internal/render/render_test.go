package render

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/surface"
)

var (
	white = color.RGBA{0xFF, 0xFF, 0xFF, 0xFF}
	blue  = color.RGBA{0x00, 0x72, 0xB2, 0xFF}
	front = View{Center: [3]float64{20, 20, 20}, Side: 40, Right: [3]float64{-1, 0, 0}, Up: [3]float64{0, 0, 1}}
)

func mesh(t *testing.T, inside func(x, y, z float64) bool) *surface.Mesh {
	t.Helper()
	m := surface.Mask{Dims: [3]int{41, 41, 41}, Spacing: [3]float64{1, 1, 1}}
	for i := range 41 {
		for j := range 41 {
			for k := range 41 {
				m.Voxels = append(m.Voxels, inside(float64(i), float64(j), float64(k)))
			}
		}
	}
	s, err := surface.Of(m)
	require.NoError(t, err)
	return s
}

func ball(x0, y0, z0, r float64) func(x, y, z float64) bool {
	return func(x, y, z float64) bool {
		return math.Hypot(math.Hypot(x-x0, y-y0), z-z0) <= r
	}
}

func brightness(c color.RGBA) int { return int(c.R) + int(c.G) + int(c.B) }

func TestSilhouetteOfABall(t *testing.T) {
	const radius, pixels = 12.0, 200
	for _, v := range []View{front, {Center: front.Center, Side: 40, Right: [3]float64{-1, 0.4, 0}, Up: [3]float64{0.2, 0.5, 1}}} {
		img, err := Mesh(mesh(t, ball(20, 20, 20, radius)), v, pixels, blue, white)
		require.NoError(t, err)
		covered, sumX, sumY := 0.0, 0.0, 0.0
		for y := range pixels {
			for x := range pixels {
				if img.RGBAAt(x, y) != white {
					covered++
					sumX += float64(x) + 0.5
					sumY += float64(y) + 0.5
				}
			}
		}
		scale := pixels / v.Side
		assert.InEpsilon(t, math.Pi*radius*radius*scale*scale, covered, 0.03)
		assert.InDelta(t, pixels/2, sumX/covered, 1)
		assert.InDelta(t, pixels/2, sumY/covered, 1)
	}
}

func TestBrightnessFallsFromTheLight(t *testing.T) {
	const pixels = 200
	img, err := Mesh(mesh(t, ball(20, 20, 20, 15)), front, pixels, blue, white)
	require.NoError(t, err)
	// From the upper left to the lower right across the ball.
	var last int
	for i, at := range []int{75, 95, 115, 135} {
		b := brightness(img.RGBAAt(at, at))
		if i > 0 {
			assert.Less(t, b, last, "at %d", at)
		}
		last = b
	}
}

// TestNearerSurfaceHidesFarther looks at two balls, one behind the other, from both sides.
func TestNearerSurfaceHidesFarther(t *testing.T) {
	both := mesh(t, func(x, y, z float64) bool { return ball(20, 8, 20, 5)(x, y, z) || ball(20, 30, 20, 9)(x, y, z) })
	large := mesh(t, ball(20, 30, 20, 9))
	from := func(m *surface.Mesh, right float64) *image.RGBA {
		img, err := Mesh(m, View{Center: front.Center, Side: 40, Right: [3]float64{right, 0, 0}, Up: front.Up}, 80, blue, white)
		require.NoError(t, err)
		return img
	}
	difference := func(a, b *image.RGBA) int {
		largest := 0
		for i := range a.Pix {
			largest = max(largest, int(a.Pix[i])-int(b.Pix[i]), int(b.Pix[i])-int(a.Pix[i]))
		}
		return largest
	}
	// The volume is restored as a whole, so the balls alone differ a little in radius.
	assert.LessOrEqual(t, difference(from(large, -1), from(both, -1)), 4, "seen along −y, the larger ball hides the smaller one")
	assert.Greater(t, difference(from(large, 1), from(both, 1)), 40, "seen along +y, the smaller ball is in front")
}

func TestDirectionsOfThePicture(t *testing.T) {
	// Right is −x and up is +z.
	img, err := Mesh(mesh(t, ball(8, 20, 32, 4)), front, 80, blue, white)
	require.NoError(t, err)
	assert.NotEqual(t, white, img.RGBAAt(64, 16))
	assert.Equal(t, white, img.RGBAAt(16, 16))
	assert.Equal(t, white, img.RGBAAt(64, 64))
}

func TestEdgesAreAntialiased(t *testing.T) {
	img, err := Mesh(mesh(t, ball(20, 20, 20, 12)), front, 100, color.Black, white)
	require.NoError(t, err)
	between := 0
	for x := range 100 {
		if b := brightness(img.RGBAAt(x, 23)); b > 300 && b < 765 {
			between++
		}
	}
	assert.Positive(t, between)
}

func TestSameBitsForAnyNumberOfThreads(t *testing.T) {
	m := mesh(t, ball(20, 20, 20, 14))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, err := Mesh(m, front, 150, blue, white)
	require.NoError(t, err)
	runtime.GOMAXPROCS(2)
	two, err := Mesh(m, front, 150, blue, white)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(one.Pix, two.Pix))
}

func TestEmptyMeshIsBackground(t *testing.T) {
	background := color.RGBA{0x12, 0x80, 0xF0, 0xFF}
	img, err := Mesh(&surface.Mesh{}, front, 17, blue, background)
	require.NoError(t, err)
	for y := range 17 {
		for x := range 17 {
			require.Equal(t, background, img.RGBAAt(x, y))
		}
	}
}

func TestMeshBeyondThePicture(t *testing.T) {
	near := front
	near.Side = 2
	img, err := Mesh(mesh(t, ball(20, 20, 20, 12)), near, 20, blue, white)
	require.NoError(t, err)
	assert.NotEqual(t, white, img.RGBAAt(0, 0))
	away := front
	away.Center = [3]float64{1e6, -1e6, 1e6}
	img, err = Mesh(mesh(t, ball(20, 20, 20, 12)), away, 20, blue, white)
	require.NoError(t, err)
	assert.Equal(t, white, img.RGBAAt(10, 10))
}

func TestRefusals(t *testing.T) {
	empty := &surface.Mesh{}
	_, err := Mesh(empty, front, 0, blue, white)
	assert.ErrorContains(t, err, "pixels is 0")
	_, err = Mesh(empty, front, 1<<20, blue, white)
	assert.ErrorContains(t, err, "pixels is 1048576")
	for _, side := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		v := front
		v.Side = side
		_, err = Mesh(empty, v, 10, blue, white)
		assert.ErrorContains(t, err, "View.Side")
	}
	v := front
	v.Up = v.Right
	_, err = Mesh(empty, v, 10, blue, white)
	assert.ErrorContains(t, err, "View.Right")
	_, err = Mesh(empty, View{Side: 1}, 10, blue, white)
	assert.ErrorContains(t, err, "View.Right")
}
