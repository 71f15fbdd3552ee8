package portable

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// resize is a resampling of every plane, in which each voxel of the result is computed from
// at most two voxels per axis.
type resize struct {
	in, out [3]int
	taps    [3][]nn.ResizeTap
}

// Resize implements nn.Backend.
func (b *backend[T]) Resize(x nn.Array, size [3]int, mode nn.ResizeMode) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err != nil {
		return nil, nil, fmt.Errorf("Resize: %w", err)
	}
	r := resize{in: [3]int(a.shape[2:]), out: size}
	for axis := range 3 {
		if r.taps[axis], err = mode.Taps(r.in[axis], size[axis]); err != nil {
			return nil, nil, fmt.Errorf("Resize: %w", err)
		}
	}
	y := b.newArray(a.shape[0], a.shape[1], size[0], size[1], size[2])
	planes := a.shape[0] * a.shape[1]
	from, to := nn.Elements(r.in[:]), nn.Elements(r.out[:])
	slab := r.out[1] * r.out[2]
	n := planes * r.out[0]
	rows := make([]T, workers(n)*r.in[2])
	parallel(n, func(i, worker int) {
		p, ox := i/r.out[0], i%r.out[0]
		row := rows[worker*r.in[2]:][:r.in[2]]
		sampleSlab(r, y.data[p*to+ox*slab:][:slab], a.data[p*from:][:from], row, ox)
	})
	return y, b.pullback("Resize", y, 1, nil, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(int) nn.Array {
			gx := b.newArray(a.shape...)
			rows := make([]T, workers(planes)*r.in[2])
			parallel(planes, func(p, worker int) {
				row := rows[worker*r.in[2]:][:r.in[2]]
				scatterPlane(r, gx.data[p*from:][:from], g.data[p*to:][:to], row)
			})
			return gx
		})
	}), nil
}

// eachRow calls f for the one to four rows of the source from which row (ox, oy) of the result
// is computed, with their weights.
func (r *resize) eachRow(ox, oy int, f func(at int, weight float64)) {
	tx, ty := r.taps[0][ox], r.taps[1][oy]
	pair := func(x int, wx float64) {
		f((x*r.in[1]+ty.At)*r.in[2], wx*(1-ty.Weight))
		if ty.Weight > 0 {
			f((x*r.in[1]+ty.Next)*r.in[2], wx*ty.Weight)
		}
	}
	pair(tx.At, 1-tx.Weight)
	if tx.Weight > 0 {
		pair(tx.Next, tx.Weight)
	}
}

// sampleSlab computes the slab ox of the result: for each of its rows it sums weighted rows of
// the source in row, and samples that along z.
func sampleSlab[T float](r resize, slab, plane, row []T, ox int) {
	for oy := range r.out[1] {
		first := true
		r.eachRow(ox, oy, func(at int, weight float64) {
			src, w := plane[at:][:len(row)], T(weight)
			switch {
			case first && w == 1:
				copy(row, src)
			case first:
				for i, v := range src {
					row[i] = w * v
				}
			default:
				for i, v := range src {
					row[i] += T(w * v)
				}
			}
			first = false
		})
		dst := slab[oy*r.out[2]:][:r.out[2]]
		for oz, t := range r.taps[2] {
			dst[oz] = row[t.At]
			if t.Weight > 0 {
				w := T(t.Weight)
				dst[oz] = T((1-w)*row[t.At]) + T(w*row[t.Next])
			}
		}
	}
}

// scatterPlane is the adjoint of sampleSlab for all slabs of a plane.
func scatterPlane[T float](r resize, gx, g, row []T) {
	clear(gx)
	for ox := range r.out[0] {
		for oy := range r.out[1] {
			clear(row)
			src := g[(ox*r.out[1]+oy)*r.out[2]:][:r.out[2]]
			for oz, t := range r.taps[2] {
				if t.Weight == 0 {
					row[t.At] += src[oz]
					continue
				}
				w := T(t.Weight)
				row[t.At] += T((1 - w) * src[oz])
				row[t.Next] += T(w * src[oz])
			}
			r.eachRow(ox, oy, func(at int, weight float64) {
				dst, w := gx[at:][:len(row)], T(weight)
				for i, v := range row {
					dst[i] += T(w * v)
				}
			})
		}
	}
}
