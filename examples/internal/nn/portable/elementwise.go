package portable

import (
	"errors"
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// Add implements nn.Backend.
func (b *backend[T]) Add(x0, x1 nn.Array) (nn.Array, nn.Pullback, error) {
	a0, err := b.arg("a", x0)
	if err != nil {
		return nil, nil, fmt.Errorf("Add: %w", err)
	}
	a1, err := b.like("b", x1, a0.shape)
	if err != nil {
		return nil, nil, fmt.Errorf("Add: %w", err)
	}
	y := b.newArray(a0.shape...)
	parallelRange(len(y.data), func(from, to int) {
		d, s0, s1 := y.data[from:to], a0.data[from:to], a1.data[from:to]
		for i := range d {
			d[i] = s0[i] + s1[i]
		}
	})
	// Gradients are never modified in place, so both inputs can share one.
	return y, b.pullback("Add", y, 2, nil, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(int) nn.Array { return g })
	}), nil
}

// Mean implements nn.Backend.
func (b *backend[T]) Mean(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	if len(xs) == 0 {
		return nil, nil, errors.New("Mean: no arrays given")
	}
	parts := make([]*array[T], len(xs))
	for i, x := range xs {
		name := fmt.Sprintf("array %d", i)
		var err error
		if i == 0 {
			parts[i], err = b.arg(name, x)
		} else {
			parts[i], err = b.like(name, x, parts[0].shape)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("Mean: %w", err)
		}
	}
	k := T(len(xs))
	y := b.newArray(parts[0].shape...)
	parallelRange(len(y.data), func(from, to int) {
		d := y.data[from:to]
		copy(d, parts[0].data[from:to])
		for _, p := range parts[1:] {
			s := p.data[from:to]
			for i := range d {
				d[i] += s[i]
			}
		}
		for i := range d {
			d[i] /= k
		}
	})
	return y, b.pullback("Mean", y, len(xs), nil, func(g *array[T], need []bool) []nn.Array {
		share := b.newArray(g.shape...)
		parallelRange(len(g.data), func(from, to int) {
			d, s := share.data[from:to], g.data[from:to]
			for i, v := range s {
				d[i] = v / k
			}
		})
		return wanted(need, func(int) nn.Array { return share })
	}), nil
}

// Gate implements nn.Backend.
func (b *backend[T]) Gate(x, gate nn.Array) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err != nil {
		return nil, nil, fmt.Errorf("Gate: %w", err)
	}
	one := append([]int(nil), a.shape...)
	one[1] = 1
	w, err := b.like("gate", gate, one)
	if err != nil {
		return nil, nil, fmt.Errorf("Gate: %w", err)
	}
	channels := a.shape[1]
	planes := a.shape[0] * channels
	size := len(a.data) / planes
	product := func(src *array[T]) *array[T] {
		dst := b.newArray(a.shape...)
		parallelPlanes(planes, size, func(p, from, to int) {
			d, s := dst.data[from:to], src.data[from:to]
			of := w.data[p/channels*size+from-p*size:][:len(d)]
			for i, v := range of {
				d[i] = s[i] * v
			}
		})
		return dst
	}
	y := product(a)
	return y, b.pullback("Gate", y, 2, []*array[T]{a, w}, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(input int) nn.Array {
			if input == 0 {
				return product(g)
			}
			gw := b.newArray(one...)
			parallelPlanes(a.shape[0], size, func(n, from, to int) {
				d := gw.data[from:to]
				clear(d)
				for c := range channels {
					at := n*(channels-1)*size + c*size + from
					s, gs := a.data[at:][:len(d)], g.data[at:][:len(d)]
					for i := range d {
						d[i] += T(s[i] * gs[i])
					}
				}
			})
			return gw
		})
	}), nil
}

// RepeatChannels implements nn.Backend.
func (b *backend[T]) RepeatChannels(x nn.Array, channels int) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err == nil && channels < a.shape[1] {
		err = fmt.Errorf("channels is %d, want at least the %d of x", channels, a.shape[1])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("RepeatChannels: %w", err)
	}
	own := a.shape[1]
	shape := append([]int(nil), a.shape...)
	shape[1] = channels
	y := b.newArray(shape...)
	planes := shape[0] * channels
	size := len(y.data) / planes
	parallel(planes, func(p, _ int) {
		copy(y.data[p*size:][:size], a.data[(p/channels*own+p%channels%own)*size:][:size])
	})
	return y, b.pullback("RepeatChannels", y, 1, nil, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(int) nn.Array {
			gx := b.newArray(a.shape...)
			parallel(shape[0]*own, func(p, _ int) {
				n, c := p/own, p%own
				d := gx.data[p*size:][:size]
				clear(d)
				for ; c < channels; c += own {
					for i, v := range g.data[(n*channels+c)*size:][:size] {
						d[i] += v
					}
				}
			})
			return gx
		})
	}), nil
}

// Concat implements nn.Backend.
func (b *backend[T]) Concat(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	if len(xs) == 0 {
		return nil, nil, errors.New("Concat: no arrays given")
	}
	parts := make([]*array[T], len(xs))
	channels := 0
	for i, x := range xs {
		a, err := b.volume(fmt.Sprintf("array %d", i), x)
		if err != nil {
			return nil, nil, fmt.Errorf("Concat: %w", err)
		}
		if first := xs[0].Shape(); a.shape[0] != first[0] || !slices.Equal(a.shape[2:], first[2:]) {
			return nil, nil, fmt.Errorf("Concat: array %d has shape %v, want the batch and spatial size of array 0, %v", i, a.shape, first)
		}
		parts[i] = a
		channels += a.shape[1]
	}
	shape := append([]int(nil), parts[0].shape...)
	shape[1] = channels
	y := b.newArray(shape...)
	from := make([]int, len(parts)) // first channel of each part
	for i := 1; i < len(parts); i++ {
		from[i] = from[i-1] + parts[i-1].shape[1]
	}
	eachPart(y, parts, from, func(whole, part []T) { copy(whole, part) })
	return y, b.pullback("Concat", y, len(xs), nil, func(g *array[T], need []bool) []nn.Array {
		grads := make([]*array[T], len(parts))
		out := wanted(need, func(i int) nn.Array {
			grads[i] = b.newArray(parts[i].shape...)
			return grads[i]
		})
		eachPart(g, grads, from, func(whole, part []T) { copy(part, whole) })
		return out
	}), nil
}

// eachPart calls f for every sample of every non-nil part with the corresponding channels of
// whole and the part itself. from lists the first channel of each part.
func eachPart[T float](whole *array[T], parts []*array[T], from []int, f func(whole, part []T)) {
	n, channels := whole.shape[0], whole.shape[1]
	size := len(whole.data) / (n * channels)
	parallel(n*len(parts), func(i, _ int) {
		sample, k := i/len(parts), i%len(parts)
		if parts[k] == nil {
			return
		}
		own := len(parts[k].data) / n
		f(whole.data[(sample*channels+from[k])*size:][:own], parts[k].data[sample*own:][:own])
	})
}

// PReLU implements nn.Backend.
func (b *backend[T]) PReLU(x, slope nn.Array) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err != nil {
		return nil, nil, fmt.Errorf("PReLU: %w", err)
	}
	w, err := b.arg("slope", slope)
	channels := a.shape[1]
	if err == nil && (len(w.shape) != 1 || w.shape[0] != 1 && w.shape[0] != channels) {
		err = fmt.Errorf("slope has shape %v, want [1] or [%d]", w.shape, channels)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("PReLU: %w", err)
	}
	planes := a.shape[0] * channels
	size := len(a.data) / planes
	of := func(plane int) int { return plane % channels % len(w.data) }
	y := b.newArray(a.shape...)
	parallelPlanes(planes, size, func(p, from, to int) {
		s := w.data[of(p)]
		d, src := y.data[from:to], a.data[from:to]
		for i, v := range src {
			d[i] = choose(v, v, s*v)
		}
	})
	return y, b.pullback("PReLU", y, 2, []*array[T]{a, w}, func(g *array[T], need []bool) []nn.Array {
		gx, gw := b.newArray(a.shape...), b.newArray(w.shape...)
		sums := sumPlanes(planes, size, func(p, from, to int) (float64, float64) {
			s := w.data[of(p)]
			d, src, gs := gx.data[from:to], a.data[from:to], g.data[from:to]
			var sum float64
			for i, v := range src {
				k := gs[i]
				d[i] = choose(v, k, s*k)
				sum += float64(float64(k) * float64(choose(v, 0, v)))
			}
			return sum, 0
		})
		total := make([]float64, len(w.data))
		for p, s := range sums {
			total[of(p)] += s[0]
		}
		for i, s := range total {
			gw.data[i] = T(s)
		}
		return wanted(need, func(i int) nn.Array { return [...]nn.Array{gx, gw}[i] })
	}), nil
}

// Dropout3D implements nn.Backend.
func (b *backend[T]) Dropout3D(x nn.Array, probability float64, seed uint64) (nn.Array, nn.Pullback, error) {
	a, err := b.volume("x", x)
	if err == nil && !(probability >= 0 && probability < 1) {
		err = fmt.Errorf("probability is %v, want a number in [0, 1)", probability)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("Dropout3D: %w", err)
	}
	planes := a.shape[0] * a.shape[1]
	mask := nn.DropoutMask(planes, probability, seed)
	scale := func(src *array[T]) *array[T] {
		dst := b.newArray(a.shape...)
		size := len(a.data) / planes
		parallel(planes, func(p, _ int) {
			d, s, m := dst.data[p*size:][:size], src.data[p*size:][:size], T(mask[p])
			if m == 0 {
				clear(d) // also correct if the input is not finite
				return
			}
			for i, v := range s {
				d[i] = m * v
			}
		})
		return dst
	}
	y := scale(a)
	return y, b.pullback("Dropout3D", y, 1, nil, func(g *array[T], need []bool) []nn.Array {
		return wanted(need, func(int) nn.Array { return scale(g) })
	}), nil
}

// wanted collects the gradients of the inputs that need one.
func wanted(need []bool, grad func(i int) nn.Array) []nn.Array {
	out := make([]nn.Array, len(need))
	for i, n := range need {
		if n {
			out[i] = grad(i)
		}
	}
	return out
}

// choose returns a if v > 0 and b otherwise. The signs of activations are practically random,
// so that a branch would be mispredicted half of the time; this compiles to code without
// branches.
func choose[T float](v, a, b T) T {
	k := 0
	if v > 0 {
		k = 1
	}
	return [2]T{b, a}[k]
}
