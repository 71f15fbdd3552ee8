package render

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"runtime"
	"sync"

	"github.com/x/afl/examples/internal/surface"
)

const (
	// samples is the number of samples of a pixel along each side, whose mean it is.
	samples = 3
	// maxPixels is the largest side of a picture.
	maxPixels = 8192
)

// Mesh draws a mesh of one opaque color into a square picture of the given number of pixels
// per side. The light comes from the upper left. A picture has the same bits whatever the
// number of threads.
func Mesh(m *surface.Mesh, v View, pixels int, surfaceColor, background color.Color) (*image.RGBA, error) {
	if pixels < 1 || pixels > maxPixels {
		return nil, fmt.Errorf("render: pixels is %d, want 1 to %d", pixels, maxPixels)
	}
	p, err := project(m, v, pixels*samples)
	if err != nil {
		return nil, err
	}
	base, empty := channels(surfaceColor), channels(background)
	img := image.NewRGBA(image.Rect(0, 0, pixels, pixels))
	// Each row of pixels depends only on the mesh, so rows may be drawn in any order.
	const band = 16
	var next sync.Mutex
	row := 0
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			b := newBand(pixels, band)
			for {
				next.Lock()
				first := row
				row += band
				next.Unlock()
				if first >= pixels {
					return
				}
				b.draw(p, first*samples)
				b.resolve(img, first, base, empty)
			}
		})
	}
	wait.Wait()
	return img, nil
}

// projected is a mesh in the coordinates of samples: x to the right, y down, z toward the
// camera, with sample (i,j) at (i+½, j+½).
type projected struct {
	mesh    *surface.Mesh
	at      [][3]float64
	normals [][3]float64 // in the axes right, up, toward
}

func project(m *surface.Mesh, v View, side int) (*projected, error) {
	right, up, toward, err := v.axes()
	if err != nil {
		return nil, err
	}
	p := &projected{mesh: m, at: make([][3]float64, len(m.Vertices)), normals: make([][3]float64, len(m.Vertices))}
	scale, half := float64(side)/v.Side, float64(side)/2
	for i, q := range m.Vertices {
		d := [3]float64{q[0] - v.Center[0], q[1] - v.Center[1], q[2] - v.Center[2]}
		p.at[i] = [3]float64{half + scale*dot(d, right), half - scale*dot(d, up), scale * dot(d, toward)}
		n := m.Normals[i]
		p.normals[i] = [3]float64{dot(n, right), dot(n, up), dot(n, toward)}
	}
	return p, nil
}

// band is a strip of a picture in samples, with a z-buffer.
type band struct {
	width, height int
	depth         []float64
	normal        [][3]float64 // where depth is finite
}

func newBand(pixels, rows int) *band {
	b := &band{width: pixels * samples, height: rows * samples}
	b.depth, b.normal = make([]float64, b.width*b.height), make([][3]float64, b.width*b.height)
	return b
}

// draw draws the part of the mesh in the rows of samples from top on.
func (b *band) draw(p *projected, top int) {
	for i := range b.depth {
		b.depth[i] = math.Inf(-1)
	}
	for _, t := range p.mesh.Triangles {
		b.triangle(p, t, float64(top))
	}
}

func (b *band) triangle(p *projected, t [3]int32, top float64) {
	a, c, d := p.at[t[0]], p.at[t[1]], p.at[t[2]]
	// Triangles that face away are hidden, because meshes are closed. The y axis points
	// down, so the others have a negative area.
	area := (c[0]-a[0])*(d[1]-a[1]) - (c[1]-a[1])*(d[0]-a[0])
	if !(area < 0) {
		return
	}
	x0, x1 := span(min(a[0], c[0], d[0]), max(a[0], c[0], d[0]), b.width)
	y0, y1 := span(min(a[1], c[1], d[1])-top, max(a[1], c[1], d[1])-top, b.height)
	for y := y0; y < y1; y++ {
		sy := top + float64(y) + 0.5
		for x := x0; x < x1; x++ {
			sx := float64(x) + 0.5
			wa := ((c[0]-sx)*(d[1]-sy) - (c[1]-sy)*(d[0]-sx)) / area
			wc := ((d[0]-sx)*(a[1]-sy) - (d[1]-sy)*(a[0]-sx)) / area
			wd := 1 - wa - wc
			if wa < 0 || wc < 0 || wd < 0 {
				continue
			}
			at := y*b.width + x
			if z := wa*a[2] + wc*c[2] + wd*d[2]; z > b.depth[at] {
				b.depth[at] = z
				na, nc, nd := p.normals[t[0]], p.normals[t[1]], p.normals[t[2]]
				for i := range 3 {
					b.normal[at][i] = wa*na[i] + wc*nc[i] + wd*nd[i]
				}
			}
		}
	}
}

// span returns the half-open range of the samples from lo to hi that are in [0, n).
func span(lo, hi float64, n int) (first, end int) {
	first = int(math.Ceil(min(max(lo-0.5, 0), float64(n))))
	end = int(math.Floor(min(max(hi-0.5, -1), float64(n-1)))) + 1
	return first, end
}

// resolve writes the band's pixels to the picture's rows from first on.
func (b *band) resolve(img *image.RGBA, first int, base, background [3]float64) {
	pixels := img.Rect.Dx()
	empty := stored(background)
	for y := range min(b.height/samples, pixels-first) {
		for x := range pixels {
			var sum [3]float64
			covered := 0
			for row := y * samples; row < (y+1)*samples; row++ {
				at := row*b.width + x*samples
				for s, depth := range b.depth[at : at+samples] {
					if depth == math.Inf(-1) {
						continue
					}
					covered++
					c := shade(base, unit(b.normal[at+s]))
					for i := range sum {
						sum[i] += c[i]
					}
				}
			}
			if covered == 0 { // as in most pixels
				img.SetRGBA(x, first+y, empty)
				continue
			}
			for i := range sum {
				sum[i] = (sum[i] + float64(samples*samples-covered)*background[i]) / (samples * samples)
			}
			img.SetRGBA(x, first+y, stored(sum))
		}
	}
}
