package portable

// grid describes a padded copy of a sample in which every kernel tap reads a volume shifted
// by a constant, so that a convolution with any stride and dilation is a sum of shifted,
// scaled volumes.
//
// The padding is zero. For stride s, the voxels are sorted by their index modulo s on each
// axis (their phase), so that the voxels o·s + a for consecutive o are adjacent. Phases that
// no tap reads are omitted.
type grid struct {
	channels int
	source   [3]int // spatial size of the sample
	stride   [3]int
	pad      [3]int     // zeros before the sample
	size     [3]int     // spatial size of one phase
	phases   [3][]phase // the phases that some tap reads
}

// phase is a phase along one axis: the index of its voxels modulo the stride, including the
// padding, and the range of grid positions that contain voxels of the sample.
type phase struct{ index, from, to int }

// newGrid returns a grid for n positions per axis, at which tap a reads voxel
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

// volume returns the number of elements of one phase of a channel.
func (g *grid) volume() int { return g.size[0] * g.size[1] * g.size[2] }

// perChannel returns the number of elements of all phases of a channel.
func (g *grid) perChannel() int {
	return len(g.phases[0]) * len(g.phases[1]) * len(g.phases[2]) * g.volume()
}

// len returns the number of elements of the grid, including the zeros at its end that kernels
// may read.
func (g *grid) len() int { return g.channels*g.perChannel() + slack }

// offset returns the offset in a channel of position 0 for a tap that reads at distance at.
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

// fillPhases copies one phase of X and Y, with all phases of Z, of a channel.
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

// inside returns the range of grid positions of a phase that contain voxels of the sample.
func (g *grid) inside(axis, index int) (lo, hi int) {
	s := g.stride[axis]
	first := g.pad[axis] - index // q·s ≥ first
	lo = min(g.size[axis], max(0, (first+s-1)/s))
	if last := g.source[axis] - 1 + first; last >= 0 { // q·s ≤ last
		return lo, max(lo, min(g.size[axis], last/s+1))
	}
	return lo, lo
}

// every copies every step-th element of src to dst until dst is full.
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
