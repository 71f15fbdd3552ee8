package portable

// chunkElements bounds the elements of both volumes that a piece of the weight
// gradient's sum reads, so that they stay in the cache while all pairs of
// channels are worked through.
const chunkElements = 1 << 17

// weightGradient stores in gw, for every row r of coarse, column c of fine and
// tap a, the sum over batch and positions of coarse[r, o] · fine[c, a + o].
func (c *convolution[T]) weightGradient(gw, coarse, fine *array[T]) {
	g, taps := c.fineGrid()
	n := c.cols * c.taps
	offsets := make([]int, 0, n+dotCols)
	for col := range c.cols {
		for _, t := range taps {
			offsets = append(offsets, col*g.perChannel()+t.offset)
		}
	}
	for len(offsets)%dotCols != 0 {
		offsets = append(offsets, offsets[n-1]) // computed and left out
	}
	base, length := runs(g, c.coarse)
	padded := (length + lanes - 1) / lanes * lanes
	pitch := padded * len(base)
	rowBlocks, colBlocks := (c.rows+dotRows-1)/dotRows, len(offsets)/dotCols
	// Chunks depend on the shapes only, for the same sums on any machine.
	runsPerChunk := max(1, chunkElements/(c.rows+c.cols)/padded)

	gridData := c.pool.get(g.len())
	coarseData := c.pool.get(rowBlocks * dotRows * pitch)
	units := min(colBlocks, 4*workers(1<<30))
	split := min(rowBlocks, (4*workers(1<<30)+units-1)/units)
	sums := c.pool.get(workers(units*split) * dotRows * dotCols * lanes)
	clear(gw.data)
	sampleCoarse, sampleFine := len(coarse.data)/c.batch, len(fine.data)/c.batch
	for s := range c.batch {
		fillGrid(gridData, g, fine.data[s*sampleFine:][:sampleFine])
		c.fillRuns(coarseData, coarse.data[s*sampleCoarse:][:sampleCoarse], g, len(base), padded)
		parallel(units*split, func(i, worker int) {
			u, part := i/split, i%split
			acc := sums[worker*dotRows*dotCols*lanes:][:dotRows*dotCols*lanes]
			for first := 0; first < len(base); first += runsPerChunk {
				last := min(len(base), first+runsPerChunk)
				for cb := u * colBlocks / units; cb < (u+1)*colBlocks/units; cb++ {
					off := offsets[cb*dotCols:][:dotCols]
					for rb := part * rowBlocks / split; rb < (part+1)*rowBlocks/split; rb++ {
						clear(acc)
						for run := first; run < last; run++ {
							c.kernels.dot(acc, coarseData[rb*dotRows*pitch+run*padded:], pitch, gridData, base[run], off, padded)
						}
						c.addSums(gw.data, acc, rb*dotRows, cb*dotCols)
					}
				}
			}
		})
	}
	c.pool.put(sums)
	c.pool.put(coarseData)
	c.pool.put(gridData)
}

// addSums adds a block of dot products to the weights' gradient.
func (c *convolution[T]) addSums(gw, acc []T, row0, col0 int) {
	n := c.cols * c.taps
	for r := 0; r < dotRows && row0+r < c.rows; r++ {
		for k := 0; k < dotCols && col0+k < n; k++ {
			gw[(row0+r)*n+col0+k] += sumLanes(acc[(r*dotCols+k)*lanes:])
		}
	}
}

// fillRuns copies a coarse sample so that each of its voxels lies where the
// grid has its position, with zeros in between, in runs of the padded length.
// Missing rows of the last block are zero.
func (c *convolution[T]) fillRuns(dst, sample []T, g *grid, runs, padded int) {
	n := c.coarse
	volume := n[0] * n[1] * n[2]
	pitch := runs * padded
	parallel((c.rows+dotRows-1)/dotRows*dotRows, func(r, _ int) {
		to := dst[r*pitch:][:pitch]
		clear(to)
		if r >= c.rows {
			return
		}
		from := sample[r*volume:][:volume]
		plane := padded // from one x to the next
		if runs == 1 {
			plane = g.size[1] * g.size[2]
		}
		for x := range n[0] {
			for y := range n[1] {
				copy(to[x*plane+y*g.size[2]:], from[(x*n[1]+y)*n[2]:][:n[2]])
			}
		}
	})
}
