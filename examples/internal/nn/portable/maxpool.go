package portable

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// maxPool is the geometry of a pooling.
type maxPool struct {
	spec    nn.PoolSpec
	in, out [3]int
}

// MaxPool3D implements nn.Backend. The pullback searches for the largest values again, which
// is cheaper than storing their positions.
func (b *backend[T]) MaxPool3D(x nn.Array, spec nn.PoolSpec) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err != nil {
		return nil, nil, fmt.Errorf("MaxPool3D: %w", err)
	}
	m := maxPool{in: [3]int(a.shape[2:])}
	if m.spec, err = spec.Normalized(); err == nil {
		m.out, err = m.spec.OutputSize(m.in)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("MaxPool3D: %w", err)
	}
	y := b.newArray(a.shape[0], a.shape[1], m.out[0], m.out[1], m.out[2])
	planes := a.shape[0] * a.shape[1]
	from, to := nn.Elements(m.in[:]), nn.Elements(m.out[:])
	slab := m.out[1] * m.out[2]
	parallel(planes*m.out[0], func(i, _ int) {
		p, ox := i/m.out[0], i%m.out[0]
		src, dst := a.data[p*from:][:from], y.data[p*to+ox*slab:][:slab]
		eachLargest(m, src, ox, func(o, at int) { dst[o] = src[at] })
	})
	return y, b.pullback("MaxPool3D", y, 1, []*array[T]{a}, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(int) nn.Array {
			gx := b.newArray(a.shape...)
			// Process whole planes, because windows may overlap.
			parallel(planes, func(p, _ int) {
				src, dst := a.data[p*from:][:from], gx.data[p*from:][:from]
				clear(dst)
				for ox := range m.out[0] {
					gs := g.data[p*to+ox*slab:][:slab]
					eachLargest(m, src, ox, func(o, at int) { dst[at] += gs[o] })
				}
			})
			return gx
		})
	}), nil
}

// eachLargest calls f for every window of the slab ox of the result, with the index of the
// window in the slab and the index in the plane of the window's first largest value, or of
// its first NaN.
func eachLargest[T float](m maxPool, plane []T, ox int, f func(o, at int)) {
	x0, x1 := m.window(0, ox)
	o := 0
	for oy := range m.out[1] {
		y0, y1 := m.window(1, oy)
		for oz := range m.out[2] {
			z0, z1 := m.window(2, oz)
			at := (x0*m.in[1]+y0)*m.in[2] + z0
			best := plane[at]
			for x := x0; x < x1; x++ {
				for y := y0; y < y1; y++ {
					row := (x*m.in[1] + y) * m.in[2]
					for i, v := range plane[row+z0 : row+z1] {
						if v > best || v != v && best == best {
							best, at = v, row+z0+i
						}
					}
				}
			}
			f(o, at)
			o++
		}
	}
}

// window returns the range of voxels of window o along an axis.
func (m maxPool) window(axis, o int) (from, to int) {
	from = o*m.spec.Stride[axis] - m.spec.Padding[axis]
	return max(from, 0), min(from+m.spec.Kernel[axis], m.in[axis])
}
