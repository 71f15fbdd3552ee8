package portable

import "github.com/x/afl/examples/internal/nn"

// chunkElements limits the number of elements of both volumes that are read by a chunk of the
// weight gradient's sum, so that they stay in the cache while all pairs of channels are
// processed.
const chunkElements = 1 << 17

// weightGradient stores in gw, for every row r of coarse, column c of fine and tap a, the sum
// over the batch and all positions o of coarse[r, o] · fine[c, a + o].
func (c *convolution[T]) weightGradient(gw, coarse, fine *array[T]) {
	g, taps := c.fineGrid()
	columns := offsets{at: make([]int, 0, c.cols*c.taps+dotCols)}
	for col := range c.cols {
		for _, t := range taps {
			columns.add(col*g.perChannel() + t.offset)
		}
	}
	sample := c.weightByDots
	// With few positions, most of the time of a dot product is spent on adding its lanes.
	// Gathering the columns of the fine volume is then cheaper, especially if many rows use
	// them.
	if nn.Elements(c.coarse[:]) <= 16*c.rows {
		sample = c.weightByTiles
	}
	gridData := c.pool.get(g.len())
	sampleCoarse, sampleFine := len(coarse.data)/c.batch, len(fine.data)/c.batch
	clear(gw.data)
	for s := range c.batch {
		fillGrid(gridData, g, fine.data[s*sampleFine:][:sampleFine])
		sample(gw.data, coarse.data[s*sampleCoarse:][:sampleCoarse], g, gridData, columns)
	}
	c.pool.put(gridData)
}

// weightByDots adds a sample to gw by dot products along the grid.
func (c *convolution[T]) weightByDots(gw, coarse []T, g *grid, gridData []T, columns offsets) {
	for len(columns.at)%dotCols != 0 {
		columns.add(columns.largest) // the result is discarded
	}
	base, length := runs(g, c.coarse)
	padded := (length + lanes - 1) / lanes * lanes
	pitch := padded * len(base)
	rowBlocks, colBlocks := (c.rows+dotRows-1)/dotRows, len(columns.at)/dotCols
	coarseData := c.pool.get(rowBlocks * dotRows * pitch)
	c.fillRuns(coarseData, coarse, g, len(base), padded)
	// Chunks depend only on the shapes, so that sums are the same on any machine.
	runsPerChunk := max(1, chunkElements/(c.rows+c.cols)/padded)

	units := min(colBlocks, 4*workers(1<<30))
	split := min(rowBlocks, (4*workers(1<<30)+units-1)/units)
	const size = dotRows * dotCols * lanes
	sums := c.pool.get(workers(units*split) * size)
	parallel(units*split, func(i, worker int) {
		u, part := i/split, i%split
		acc := sums[worker*size:][:size]
		for first := 0; first < len(base); first += runsPerChunk {
			last := min(len(base), first+runsPerChunk)
			for cb := u * colBlocks / units; cb < (u+1)*colBlocks/units; cb++ {
				off := columns.slice(cb*dotCols, (cb+1)*dotCols)
				for rb := part * rowBlocks / split; rb < (part+1)*rowBlocks/split; rb++ {
					clear(acc)
					for run := first; run < last; run++ {
						c.kernels.dot(acc, coarseData[rb*dotRows*pitch+run*padded:], pitch, gridData, base[run], off, padded)
					}
					c.addSums(gw, acc, rb*dotRows, cb*dotCols)
				}
			}
		}
	})
	c.pool.put(sums)
	c.pool.put(coarseData)
}

// weightByTiles adds a sample to gw by outer products, position by position, of the rows of
// coarse with columns gathered from the grid.
func (c *convolution[T]) weightByTiles(gw, coarse []T, g *grid, gridData []T, columns offsets) {
	n := nn.Elements(c.coarse[:])
	at := make([]int, 0, n) // offset of each position in the grid
	var in offsets          // offset of each position in a panel of gathered columns
	for x := range c.coarse[0] {
		for y := range c.coarse[1] {
			for z := range c.coarse[2] {
				in.add(len(at) * tileCols)
				at = append(at, (x*g.size[1]+y)*g.size[2]+z)
			}
		}
	}
	rowBlocks := (c.rows + tileRows - 1) / tileRows
	rows := c.pool.get(rowBlocks * tileRows * n)
	parallel(rowBlocks, func(block, _ int) {
		dst := rows[block*tileRows*n:][:tileRows*n]
		clear(dst)
		for r := 0; r < tileRows && block*tileRows+r < c.rows; r++ {
			for i, v := range coarse[(block*tileRows+r)*n:][:n] {
				dst[i*tileRows+r] = v
			}
		}
	})
	units := (len(columns.at) + tileCols - 1) / tileCols
	const size = tileRows * tileCols
	w := workers(units)
	tiles, panels := c.pool.get(w*size), c.pool.get(w*n*tileCols)
	parallel(units, func(u, worker int) {
		tile, panel := tiles[worker*size:][:size], panels[worker*n*tileCols:][:n*tileCols]
		cols := min(tileCols, len(columns.at)-u*tileCols)
		if cols < tileCols {
			clear(panel)
		}
		for k, offset := range columns.at[u*tileCols:][:cols] {
			from, to := gridData[offset:], panel[k:]
			for i, p := range at {
				to[i*tileCols] = from[p]
			}
		}
		for block := range rowBlocks {
			clear(tile)
			c.kernels.tile(tile, rows[block*tileRows*n:], panel, 0, in, tileRows, tileCols)
			for r := 0; r < tileRows && block*tileRows+r < c.rows; r++ {
				to := gw[(block*tileRows+r)*len(columns.at)+u*tileCols:][:cols]
				for i, v := range tile[r*tileCols:][:cols] {
					to[i] += v
				}
			}
		}
	})
	c.pool.put(panels)
	c.pool.put(tiles)
	c.pool.put(rows)
}

// addSums adds dotRows×dotCols dot products to the weight gradient.
func (c *convolution[T]) addSums(gw, acc []T, row0, col0 int) {
	n := c.cols * c.taps
	for r := 0; r < dotRows && row0+r < c.rows; r++ {
		for k := 0; k < dotCols && col0+k < n; k++ {
			gw[(row0+r)*n+col0+k] += sumLanes(acc[(r*dotCols+k)*lanes:])
		}
	}
}

// fillRuns copies a coarse sample so that its voxels have the same distances as their grid
// positions, with zeros in between, in runs of the padded length. Missing rows of the last
// block are zero.
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
