//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
)

// rows is a launch of kernels that add up the rows of a volume by channel.
type rows struct {
	args          C.AflRows
	blocks, parts int // parts is the number of partial sums of a channel
}

// rowsOf returns the arguments of kernels that compute the given number of sums of every
// channel of a volume of a shape.
func (o *op) rowsOf(shape []int, sums int) *rows {
	if o.err != nil {
		return new(rows)
	}
	const (
		fewRows   = 8    // of a thread
		maxBlocks = 4096 // enough to fill the largest GPU, and few enough to add up
	)
	samples, channels, voxels := shape[0], shape[1], nn.Elements(shape[2:])
	tiles := (channels + threads - 1) / threads
	chunk := max(fewRows*max(1, threads/channels), (voxels*samples*tiles+maxBlocks-1)/maxBlocks)
	chunks := (voxels + chunk - 1) / chunk
	r := &rows{blocks: samples * chunks * tiles, parts: samples * chunks}
	r.args.samples, r.args.voxels, r.args.channels = C.int64_t(samples), C.int64_t(voxels), C.int64_t(channels)
	r.args.chunk, r.args.chunks, r.args.tiles = C.int64_t(chunk), C.int64_t(chunks), C.int64_t(tiles)
	if sums > 0 {
		pointAt(&r.args.partials, o.scratch(8*int64(r.parts)*int64(channels)*int64(sums)))
	}
	return r
}

// channelSums returns the sum of every channel over batch and space.
func (o *op) channelSums(g *array) *array {
	o.toChannels(g)
	r := o.rowsOf(g.shape, 1)
	y := o.rowMajor(g.channels())
	if o.err != nil {
		return nil
	}
	point(&r.args.g, g)
	point(&r.args.y, y)
	o.launch("afl_nn_row_sums", r.blocks, unsafe.Pointer(&r.args))
	o.launch("afl_nn_sum_partials", g.channels(), unsafe.Pointer(&r.args))
	return y
}
