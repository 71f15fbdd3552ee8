package portable

// grid is a padded copy of one sample in which every kernel tap reads a volume
// shifted by a constant: with it a convolution of any stride and dilation is a
// sum of shifted, scaled volumes.
//
// The copy has zeros where the padding is. For a stride s the voxels are sorted
// by their index modulo s on each axis (their phase), so that the voxels
// o·s + a, for consecutive o, lie next to each other. Phases that no tap reads
// are left out.
type grid struct {
	channels int
	source   [3]int // spatial size of the sample
	stride   [3]int
	pad      [3]int     // zeros before the sample
	size     [3]int     // spatial size of one phase
	phases   [3][]phase // those that are kept
}

// phase is one phase on one axis: the voxels that have this index modulo the
// stride, padding included, and the range of grid positions that hold voxels.
type phase struct{ index, from, to int }

// newGrid lays out a grid for n positions per axis, whose tap number a reads at
// position·stride + a·dilation − pad.
func newGrid(channels int, source, n, kernel, stride, dilation, pad [3]int) *grid {
	g := &grid{channels: channels, source: source, stride: stride, pad: pad}
	for axis := range 3 {
		s, d := stride[axis], dilation[axis]
		g.size[axis] = n[axis] + (kernel[axis]-1)*d/s
		used := make([]bool, s)
		for a := range kernel[axis] {
			used[a*d%s] = true
		}
		for i, u := range used {
			if u {
				from, to := g.inside(axis, i)
				g.phases[axis] = append(g.phases[axis], phase{i, from, to})
			}
		}
	}
	return g
}

// volume is the number of elements of one phase of one channel.
func (g *grid) volume() int { return g.size[0] * g.size[1] * g.size[2] }

// perChannel is the number of elements of all phases of one channel.
func (g *grid) perChannel() int {
	return len(g.phases[0]) * len(g.phases[1]) * len(g.phases[2]) * g.volume()
}

// len is the number of elements of the grid and of the zeros behind it that
// kernels may read.
func (g *grid) len() int { return g.channels*g.perChannel() + slack }

// offset returns where, in a channel, position 0 of the tap that reads at
// distance at lies.
func (g *grid) offset(at [3]int) int {
	phase, shift := 0, 0
	for axis := range 3 {
		k := 0
		for g.phases[axis][k].index != at[axis]%g.stride[axis] {
			k++
		}
		phase = phase*len(g.phases[axis]) + k
		shift = shift*g.size[axis] + at[axis]/g.stride[axis]
	}
	return phase*g.volume() + shift
}

// fillGrid copies a sample into dst, which has g.len() elements.
func fillGrid[T float](dst []T, g *grid, sample []T) {
	clear(dst[len(dst)-slack:])
	nx, ny, nz := len(g.phases[0]), len(g.phases[1]), len(g.phases[2])
	per := nz * g.volume()
	in := g.source[0] * g.source[1] * g.source[2]
	parallel(g.channels*nx*ny, func(i, _ int) {
		channel, px, py := i/(nx*ny), i/ny%nx, i%ny
		fillPhases(dst[i*per:][:per], g, sample[channel*in:][:in], g.phases[0][px], g.phases[1][py])
	})
}

// fillPhases copies one phase of X and Y of one channel, with all phases of Z.
func fillPhases[T float](dst []T, g *grid, src []T, px, py phase) {
	row, plane, volume := g.size[2], g.size[1]*g.size[2], g.volume()
	for k := range g.phases[2] {
		to := dst[k*volume:][:volume]
		clear(to[:px.from*plane])
		clear(to[px.to*plane:])
		for x := px.from; x < px.to; x++ {
			clear(to[x*plane:][:py.from*row])
			clear(to[x*plane+py.to*row : (x+1)*plane])
		}
	}
	for x := px.from; x < px.to; x++ {
		ix := x*g.stride[0] + px.index - g.pad[0]
		for y := py.from; y < py.to; y++ {
			iy := y*g.stride[1] + py.index - g.pad[1]
			from := src[(ix*g.source[1]+iy)*g.source[2]:][:g.source[2]]
			for k, pz := range g.phases[2] {
				to := dst[k*volume+x*plane+y*row:][:row]
				clear(to[:pz.from])
				clear(to[pz.to:])
				if pz.from < pz.to {
					every(to[pz.from:pz.to], from[pz.from*g.stride[2]+pz.index-g.pad[2]:], g.stride[2])
				}
			}
		}
	}
}

// inside returns the range of grid positions of a phase that hold voxels.
func (g *grid) inside(axis, index int) (lo, hi int) {
	s := g.stride[axis]
	first := g.pad[axis] - index // q·s ≥ first
	lo = min(g.size[axis], max(0, (first+s-1)/s))
	if last := g.source[axis] - 1 + first; last >= 0 { // q·s ≤ last
		return lo, max(lo, min(g.size[axis], last/s+1))
	}
	return lo, lo
}

// every copies every step-th element of src until dst is full.
func every[T float](dst, src []T, step int) {
	switch step {
	case 1:
		copy(dst, src)
	case 2:
		for len(dst) >= 4 && len(src) >= 8 {
			dst[0], dst[1], dst[2], dst[3] = src[0], src[2], src[4], src[6]
			dst, src = dst[4:], src[8:]
		}
		fallthrough
	default:
		for i := range dst {
			dst[i] = src[i*step]
		}
	}
}
