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
	pad      [3]int   // zeros before the sample
	phases   [3][]int // the phases that are kept
	size     [3]int   // spatial size of one phase
}

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
		for phase, u := range used {
			if u {
				g.phases[axis] = append(g.phases[axis], phase)
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
		for g.phases[axis][k] != at[axis]%g.stride[axis] {
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
	volume := g.volume()
	per := g.perChannel() / volume
	in := g.source[0] * g.source[1] * g.source[2]
	parallel(g.channels*per, func(i, _ int) {
		channel, phase := i/per, i%per
		nz := len(g.phases[2])
		ny := len(g.phases[1])
		fillPhase(dst[i*volume:][:volume], g, sample[channel*in:][:in],
			[3]int{g.phases[0][phase/nz/ny], g.phases[1][phase/nz%ny], g.phases[2][phase%nz]})
	})
}

// fillPhase copies one phase of one channel.
func fillPhase[T float](dst []T, g *grid, src []T, phase [3]int) {
	// On each axis the grid positions from lo to hi hold voxels.
	var lo, hi [3]int
	for axis := range 3 {
		s := g.stride[axis]
		first := g.pad[axis] - phase[axis] // q·s ≥ first
		lo[axis] = min(g.size[axis], max(0, (first+s-1)/s))
		hi[axis] = lo[axis]
		if last := g.source[axis] - 1 + first; last >= 0 { // q·s ≤ last
			hi[axis] = max(lo[axis], min(g.size[axis], last/s+1))
		}
	}
	s := g.stride[2]
	row, plane := g.size[2], g.size[1]*g.size[2]
	clear(dst[:lo[0]*plane])
	clear(dst[hi[0]*plane:])
	for x := lo[0]; x < hi[0]; x++ {
		ix := x*g.stride[0] + phase[0] - g.pad[0]
		rows := dst[x*plane:][:plane]
		clear(rows[:lo[1]*row])
		clear(rows[hi[1]*row:])
		for y := lo[1]; y < hi[1]; y++ {
			iy := y*g.stride[1] + phase[1] - g.pad[1]
			to := rows[y*row:][:row]
			clear(to[:lo[2]])
			clear(to[hi[2]:])
			if to = to[lo[2]:hi[2]]; len(to) == 0 {
				continue
			}
			from := src[(ix*g.source[1]+iy)*g.source[2]+lo[2]*s+phase[2]-g.pad[2]:]
			if s == 1 {
				copy(to, from)
				continue
			}
			for i := range to {
				to[i] = from[i*s]
			}
		}
	}
}
