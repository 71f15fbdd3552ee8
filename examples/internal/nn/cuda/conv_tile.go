//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/conv_tile_arguments.h"
import "C"

import (
	"fmt"
	"math/bits"
	"unsafe"
)

// tensorMajor is the compute capability that tensor cores of the precisions need, 8.0.
const tensorMajor = 8

func (b *backend) setPrecision(p Precision) error {
	if device := b.engine.Device(); p != Float32 && device.ComputeMajor < tensorMajor {
		return fmt.Errorf("nn/cuda: %v needs compute capability %d.0, which %v does not have", p, tensorMajor, device)
	}
	b.precision = p
	return nil
}

// precisions is what the kernels call the precisions.
var precisions = [...]C.int32_t{Float32: C.AFL_FLOAT32_SUMS, TF32: C.AFL_TF32_PRODUCTS, BFloat16: C.AFL_BFLOAT16_PRODUCTS}

// suffix is that of the names of the kernels of a precision.
func (p Precision) suffix() string {
	return [...]string{Float32: "f32", TF32: "tf32", BFloat16: "bf16"}[p]
}

// bytes is the size of a packed weight.
func (p Precision) bytes() int {
	if p == BFloat16 {
		return 2
	}
	return 4
}

// pad rounds a number of channels up to 16 bytes of packed weights.
func (p Precision) pad(channels int) int { return roundUp(channels, 16/p.bytes()) }

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// taps is the number of taps of a convolution's kernel.
func (c *convolution) taps() int { return c.kernel[0] * c.kernel[1] * c.kernel[2] }

// tiled reports whether the kernels that compute tiles can compute a convolution and its
// gradients: they keep the taps in tables of limited size and index a sample in 31 bits.
func (c *convolution) tiled(coarse, fine *array) bool {
	for _, k := range c.kernel {
		if k > C.AFL_TILE_AXIS {
			return false
		}
	}
	if c.taps() > C.AFL_TILE_TAPS {
		return false
	}
	// Indices of voxels of the padding are computed, too.
	extent := 1.0
	for axis := range 3 {
		reach := float64(c.spec.Padding[axis]) + float64(c.spec.Dilation[axis])*float64(c.kernel[axis])
		extent *= float64(max(coarse.shape[2+axis], fine.shape[2+axis])) + reach
	}
	// Packed weights are addressed in bytes, and an index of the sum, less than a tile beyond
	// the last, is divided by the number of channels.
	padded := float64(max(c.rows, c.cols) + 8)
	return extent*padded < 1<<31 && 4*padded*padded*float64(c.taps()+C.AFL_TILE_GRADIENT_COLUMNS) < 1<<31
}

// tile returns the arguments of the kernels for a pair of volumes.
func (c *convolution) tile(from, to *array, padded int) C.AflConvTile {
	p := C.AflConvTile{samples: C.int32_t(to.shape[0]), taps: C.int32_t(c.taps()), splits: 1}
	for axis := range 3 {
		p.from_size[axis], p.to_size[axis] = C.int32_t(from.shape[2+axis]), C.int32_t(to.shape[2+axis])
		p.kernel[axis], p.stride[axis] = C.int32_t(c.kernel[axis]), C.int32_t(c.spec.Stride[axis])
		p.padding[axis], p.dilation[axis] = C.int32_t(c.spec.Padding[axis]), C.int32_t(c.spec.Dilation[axis])
	}
	p.from_channels, p.to_channels, p.padded = C.int32_t(from.channels()), C.int32_t(to.channels()), C.int32_t(padded)
	p.by_padded = C.uint32_t((1<<32 + uint64(padded) - 1) / uint64(padded))
	p.by_z, p.by_y = divisor(to.shape[4]), divisor(to.shape[3])
	point(&p.from, from)
	return p
}

// divisor returns the constants that divide numbers below 2³¹ by n ≥ 1. With 2^l the first
// power of 2 that is not below n, ⌈2^(31+l)/n⌉ exceeds 2^(31+l)/n by less than 1, which adds
// less than 2³¹/2^(31+l) ≤ 1/n to a quotient: too little to change its integer part.
func divisor(n int) C.AflDivisor {
	l := bits.Len(uint(n - 1))
	return C.AflDivisor{factor: C.uint32_t((uint64(1)<<(31+l) + uint64(n) - 1) / uint64(n)), shift: C.uint32_t(31 + l)}
}

// The number of blocks that the work is split into where a shape has fewer tiles: enough for
// GPUs of up to 160 multiprocessors. It is a constant, and not the GPU's number, so that the
// order of sums is the same on every GPU.
const enoughBlocks = 320

// product stores a volume, to, from the other one by tiles, plus a bias or nil.
func (o *op) product(c *convolution, to, from, bias *array, toFine bool) {
	padded := c.precision.pad(from.channels())
	packed := o.pack(c, from.channels(), to.channels(), padded, toFine)
	if o.err != nil {
		return
	}
	p := c.tile(from, to, padded)
	pointAt(&p.packed, packed)
	point(&p.to, to)
	point(&p.bias, bias)
	p.count = C.int64_t(to.elements())
	if toFine {
		p.to_fine = 1
	}
	phases, voxels, taps := 1, 1, c.taps() // of the first phase, the largest
	for axis := range 3 {
		n := to.shape[2+axis]
		if toFine {
			stride := c.spec.Stride[axis]
			phases *= stride
			n = (n + stride - 1) / stride
		}
		voxels *= n
	}
	name, columns := c.productKernel(from.channels(), to.channels())
	rows := (voxels + C.AFL_TILE_VOXELS - 1) / C.AFL_TILE_VOXELS
	p.tiles_m, p.tiles_n = C.int32_t(rows), C.int32_t((to.channels()+columns-1)/columns)
	blocks := rows * int(p.tiles_n) * phases * to.shape[0]
	// A split sums over at least 8 stages of 64 bytes of a row.
	stages := taps * padded * c.precision.bytes() / 64 / phases
	splits := max(1, min(enoughBlocks/blocks, stages/8))
	if splits == 1 {
		o.launch(name, blocks, unsafe.Pointer(&p))
		return
	}
	p.splits = C.int32_t(splits)
	pointAt(&p.partials, o.scratch(to.bytes()*int64(splits)))
	o.launch(name, blocks*splits, unsafe.Pointer(&p))
	s := C.AflSplits{partials: p.partials, bias: p.bias, to: p.to, count: p.count, splits: p.splits, channels: p.to_channels}
	o.each("afl_nn_conv_sum", to.elements(), unsafe.Pointer(&s))
}

// productKernel returns the kernel for numbers of channels, and the columns of its tile.
func (c *convolution) productKernel(from, to int) (name string, columns int) {
	aligned := from%4 == 0
	columns = 64
	switch {
	case to <= 32:
		columns = 32
	case to%128 == 0 && aligned && c.precision != Float32:
		columns = 128
	}
	return kernelName("afl_nn_conv", c.precision, columns, aligned), columns
}

func kernelName(base string, p Precision, size int, aligned bool) string {
	name := fmt.Sprintf("%s_%s_%d", base, p.suffix(), size)
	if aligned {
		name += "_aligned"
	}
	return name
}

// pack returns the packed weights.
func (o *op) pack(c *convolution, from, to, padded int, toFine bool) uintptr {
	count := to * c.taps() * padded
	packed := o.scratch(int64(count * c.precision.bytes()))
	if o.err != nil {
		return 0
	}
	p := C.AflPack{count: C.int64_t(count), from_channels: C.int32_t(from), to_channels: C.int32_t(to), taps: C.int32_t(c.taps()),
		padded: C.int32_t(padded), precision: precisions[c.precision]}
	if toFine {
		p.to_fine = 1
	}
	point(&p.weight, c.weight)
	pointAt(&p.packed, packed)
	o.each("afl_nn_conv_pack", count, unsafe.Pointer(&p))
	return packed
}

// gradientProduct stores the gradient of the weight in gw by tiles.
func (o *op) gradientProduct(c *convolution, gw, coarse, fine *array) {
	padded := c.precision.pad(c.cols)
	p := c.tile(fine, coarse, padded)
	point(&p.coarse, coarse)
	name, rows := c.gradientKernel()
	columns := c.taps() * padded
	p.tiles_m, p.tiles_n = C.int32_t((c.rows+rows-1)/rows), C.int32_t((columns+C.AFL_TILE_GRADIENT_COLUMNS-1)/C.AFL_TILE_GRADIENT_COLUMNS)
	tiles := int(p.tiles_m) * int(p.tiles_n)
	// At least 512 voxels, so that the partial sums do not outweigh the volumes, and at most
	// 16384, as the tensor cores truncate each sum.
	split := (coarse.rows()*tiles + enoughBlocks - 1) / enoughBlocks
	split = max(512, min(roundUp(split, C.AFL_TILE_GRADIENT_VOXELS), 16384))
	splits := coarse.shape[0] * ((coarse.voxels() + split - 1) / split)
	count := c.rows * columns
	p.span, p.splits, p.count = C.int32_t(split), C.int32_t(splits), C.int64_t(count)
	pointAt(&p.partials, o.scratch(4*int64(count)*int64(splits)))
	o.launch(name, tiles*splits, unsafe.Pointer(&p))
	s := C.AflSplits{partials: p.partials, count: p.count, splits: p.splits, channels: p.from_channels, taps: p.taps, padded: p.padded}
	point(&s.to, gw)
	o.each("afl_nn_conv_gradient_sum", count, unsafe.Pointer(&s))
}

// gradientKernel returns the kernel for a convolution, and the rows of its tile.
func (c *convolution) gradientKernel() (name string, rows int) {
	rows = 64
	if c.rows <= 32 {
		rows = 32
	}
	return kernelName("afl_nn_conv_gradient", c.precision, rows, c.rows%4 == 0 && c.cols%4 == 0), rows
}
