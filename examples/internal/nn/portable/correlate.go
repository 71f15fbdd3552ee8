package portable

// tap is a kernel tap: its index in the kernel, and the offset in a channel of the grid at
// which it reads.
type tap struct{ index, offset int }

// job is the computation of the voxels start + i·step, i < n, of a result, which all use the
// same taps.
type job struct {
	taps           []tap
	n, start, step [3]int
}

// toCoarse computes the coarse volume dst from the fine volume src. bias may be nil.
func (c *convolution[T]) toCoarse(dst, src, bias *array[T]) {
	g, taps := c.fineGrid()
	whole := job{taps: taps, n: c.coarse, step: [3]int{1, 1, 1}}
	r := c.cols * c.taps
	c.correlate(dst, src, bias, g, []job{whole}, c.rows, r, c.cols, c.taps)
}

// fineGrid returns the grid of the fine volume for the coarse positions, and the taps.
func (c *convolution[T]) fineGrid() (*grid, []tap) {
	s := c.spec
	g := newGrid(c.cols, c.fine, c.coarse, c.kernel, s.Stride, s.Dilation, s.Padding)
	taps := make([]tap, c.taps)
	for i := range taps {
		a := c.tapPosition(i)
		taps[i] = tap{i, g.offset([3]int{a[0] * s.Dilation[0], a[1] * s.Dilation[1], a[2] * s.Dilation[2]})}
	}
	return g, taps
}

func (c *convolution[T]) tapPosition(i int) [3]int {
	return [3]int{i / (c.kernel[1] * c.kernel[2]), i / c.kernel[2] % c.kernel[1], i % c.kernel[2]}
}

// toFine computes the fine volume dst from the coarse volume src. bias may be nil.
//
// Coarse voxel o contributes to fine voxel i through tap a if
// i + padding = o·stride + a·dilation. Therefore the fine voxels of one phase, which have the
// same (i + padding) mod stride on each axis, use the same taps and read the coarse volume at
// the same distances.
func (c *convolution[T]) toFine(dst, src, bias *array[T]) {
	var axes [3][]axisPhase
	var before, size [3]int
	for axis := range 3 {
		axes[axis] = c.axisPhases(axis)
		last := c.coarse[axis] - 1
		for _, p := range axes[axis] {
			last = max(last, p.n-1)
			for _, t := range p.taps {
				before[axis] = max(before[axis], -t.first)
				last = max(last, t.first+p.n-1)
			}
		}
		size[axis] = before[axis] + last + 1
	}
	one := [3]int{1, 1, 1}
	g := newGrid(c.rows, c.coarse, size, one, one, one, before)
	var jobs []job
	for _, px := range axes[0] {
		for _, py := range axes[1] {
			for _, pz := range axes[2] {
				j := job{n: [3]int{px.n, py.n, pz.n}, start: [3]int{px.start, py.start, pz.start}, step: c.spec.Stride}
				for _, tx := range px.taps {
					for _, ty := range py.taps {
						for _, tz := range pz.taps {
							j.taps = append(j.taps, tap{
								(tx.index*c.kernel[1]+ty.index)*c.kernel[2] + tz.index,
								g.offset([3]int{tx.first + before[0], ty.first + before[1], tz.first + before[2]}),
							})
						}
					}
				}
				jobs = append(jobs, j)
			}
		}
	}
	r := c.cols * c.taps
	c.correlate(dst, src, bias, g, jobs, c.cols, c.taps, c.rows, r)
}

// axisPhase is a phase of toFine along one axis: the fine voxels start + m·stride, m < n.
type axisPhase struct {
	start, n int
	taps     []axisTap
}

// axisTap is a kernel tap of a phase. For m = 0 it reads coarse voxel first.
type axisTap struct{ index, first int }

func (c *convolution[T]) axisPhases(axis int) []axisPhase {
	s, d, pad, n := c.spec.Stride[axis], c.spec.Dilation[axis], c.spec.Padding[axis], c.fine[axis]
	var phases []axisPhase
	for start := range min(s, n) {
		p := axisPhase{start: start, n: (n - start + s - 1) / s}
		for a := range c.kernel[axis] {
			if o := start + pad - a*d; o%s == 0 {
				p.taps = append(p.taps, axisTap{a, o / s})
			}
		}
		phases = append(phases, p)
	}
	return phases
}

const (
	// tilesPerUnit is the number of tiles in a unit of work for a goroutine.
	tilesPerUnit = 8
	// blocksPerPass is the number of row blocks computed in one pass.
	blocksPerPass = 8
	// stepsPerPass is the number of (channel, tap) pairs in one pass. It is small enough
	// that the data read from the grid stay in the L1 cache from row block to row block.
	stepsPerPass = 128
)

// correlate computes, for every sample and every row of dst,
//
//	dst[row, start + i·step] = bias[row] + Σ_red Σ_tap w[row·rowStride + red·redStride + tap] · grid(src)[red, tap + i].
func (c *convolution[T]) correlate(dst, src, bias *array[T], g *grid, jobs []job, rows, rowStride, reds, redStride int) {
	blocks := (rows + tileRows - 1) / tileRows
	panels := make([][]T, len(jobs))
	reads := make([]offsets, len(jobs))
	for i, j := range jobs {
		panels[i] = c.pool.get(blocks * tileRows * reds * len(j.taps))
		c.packWeights(panels[i], j.taps, rows, rowStride, reds, redStride)
		reads[i].at = make([]int, 0, reds*len(j.taps))
		for red := range reds {
			for _, t := range j.taps {
				reads[i].add(red*g.perChannel() + t.offset)
			}
		}
	}
	units := tileUnits(g, jobs)
	// With few positions, distribute the rows as well.
	split := min(blocks, (4*workers(1<<30)+len(units)-1)/len(units))
	const size = blocksPerPass * tileRows * tileCols
	tiles := c.pool.get(workers(len(units)*split) * size)
	gridData := c.pool.get(g.len())
	sampleIn, sampleOut := len(src.data)/c.batch, len(dst.data)/c.batch
	for n := range c.batch {
		fillGrid(gridData, g, src.data[n*sampleIn:][:sampleIn])
		out := output[T]{dst.data[n*sampleOut:][:sampleOut], [3]int(dst.shape[2:]), rows}
		parallel(len(units)*split, func(i, worker int) {
			u, part := units[i/split], i%split
			tile := tiles[worker*size:][:size]
			last := (part + 1) * blocks / split
			for block := part * blocks / split; block < last; block += blocksPerPass {
				end := min(last, block+blocksPerPass)
				for from := u.from; from < u.to; from += tileCols {
					cols := min(tileCols, u.to-from)
					setBias(tile, bias, block, end)
					c.computeTiles(tile, panels[u.job], gridData, u.base+from, reads[u.job], rows, cols, block, end)
					for b := block; b < end; b++ {
						out.store(tile[(b-block)*tileRows*tileCols:], &jobs[u.job], g, u.base+from, cols, b*tileRows)
					}
				}
			}
		})
	}
	c.pool.put(gridData)
	c.pool.put(tiles)
	for _, p := range panels {
		c.pool.put(p)
	}
}

// setBias initializes the tiles of the given row blocks with the bias of their rows.
func setBias[T float](tile []T, bias *array[T], from, to int) {
	if bias == nil {
		clear(tile[:(to-from)*tileRows*tileCols])
		return
	}
	for r, v := range bias.data[from*tileRows : min(len(bias.data), to*tileRows)] {
		row := tile[r*tileCols:][:tileCols]
		for i := range row {
			row[i] = v
		}
	}
}

// computeTiles adds the sums for cols columns at grid position base to the tiles of the given
// row blocks of a result with outRows rows.
func (c *convolution[T]) computeTiles(tiles, panels, grid []T, base int, off offsets, outRows, cols, from, to int) {
	k := len(off.at)
	// Round up to whole vectors; the kernel for two rows always computes all columns.
	rows, cols := tileRows, (cols+lanes-1)/lanes*lanes
	if outRows <= 2 {
		rows, cols = 2, tileCols
	}
	for first := 0; first < k; first += stepsPerPass {
		last := min(k, first+stepsPerPass)
		part := off.slice(first, last)
		for block := from; block < to; block++ {
			tile := tiles[(block-from)*tileRows*tileCols:][:tileRows*tileCols]
			panel := panels[(block*k+first)*tileRows : (block*k+last)*tileRows]
			c.kernels.tile(tile, panel, grid, base, part, rows, cols)
		}
	}
}

// packWeights arranges the weights of a job in the order in which the kernel reads them: by
// block of tileRows rows, then by (red, tap), then by row. Missing rows are 0.
func (c *convolution[T]) packWeights(panel []T, taps []tap, rows, rowStride, reds, redStride int) {
	k := reds * len(taps)
	parallel((rows+tileRows-1)/tileRows, func(block, _ int) {
		dst := panel[block*tileRows*k:][:tileRows*k]
		have := min(tileRows, rows-block*tileRows)
		for red := range reds {
			w := c.weight.data[block*tileRows*rowStride+red*redStride:]
			for _, t := range taps {
				step := dst[:tileRows]
				dst = dst[tileRows:]
				if have == tileRows {
					from := w[t.index:]
					step[0], step[1], step[2], step[3] = from[0], from[rowStride], from[2*rowStride], from[3*rowStride]
					step[4], step[5], step[6], step[7] = from[4*rowStride], from[5*rowStride], from[6*rowStride], from[7*rowStride]
					continue
				}
				clear(step[have:])
				for r := range have {
					step[r] = w[r*rowStride+t.index]
				}
			}
		}
	})
}

// unit is a range of consecutive grid positions of a job.
type unit struct{ job, base, from, to int }

// tileUnits divides the positions of all jobs into units. Positions are counted along the
// grid, so a run over several rows also computes the padding of the grid between them, which
// store skips. The planes of a job are processed separately or in a single run, whichever
// computes less.
func tileUnits(g *grid, jobs []job) []unit {
	var units []unit
	for i, j := range jobs {
		base, length := runs(g, j.n)
		for _, b := range base {
			for from := 0; from < length; from += tilesPerUnit * tileCols {
				units = append(units, unit{i, b, from, min(length, from+tilesPerUnit*tileCols)})
			}
		}
	}
	return units
}

// runs returns the grid positions at which the runs over n voxels start, and their length.
func runs(g *grid, n [3]int) (base []int, length int) {
	plane := (n[1]-1)*g.size[2] + n[2]
	whole := (n[0]-1)*g.size[1]*g.size[2] + plane
	if (whole+lanes-1)/lanes <= n[0]*((plane+lanes-1)/lanes) {
		return []int{0}, whole
	}
	base = make([]int, n[0])
	for x := range base {
		base[x] = x * g.size[1] * g.size[2]
	}
	return base, plane
}

// output is a sample of a result.
type output[T float] struct {
	data []T
	size [3]int
	rows int
}

// store copies the columns of a tile that are voxels of the job to the result. position is
// the grid position of the first column, and row0 the first row.
func (o output[T]) store(tile []T, j *job, g *grid, position, cols, row0 int) {
	volume := o.size[0] * o.size[1] * o.size[2]
	pitch, planePitch := g.size[2], g.size[1]*g.size[2]
	for col := 0; col < cols; {
		p := position + col
		x, y, z := p/planePitch, p%planePitch/pitch, p%pitch
		end := min(cols, col+pitch-z) // end of this row of the grid
		if y < j.n[1] && z < j.n[2] {
			n := min(end-col, j.n[2]-z)
			at := ((j.start[0]+x*j.step[0])*o.size[1]+j.start[1]+y*j.step[1])*o.size[2] + j.start[2] + z*j.step[2]
			for r := 0; r < tileRows && row0+r < o.rows; r++ {
				from := tile[r*tileCols+col:][:n]
				to := o.data[(row0+r)*volume+at:]
				if j.step[2] == 1 {
					copy(to, from)
					continue
				}
				for i, v := range from {
					to[i*j.step[2]] = v
				}
			}
		}
		col = end
	}
}
