//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/conv_arguments.h"
import "C"

import (
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/cudnn"
)

// convolution is a linear map between a fine volume (input of a convolution, result of a
// transposed one) and a coarse one. Both operations and all their gradients use its three
// methods:
//
//	toCoarse         coarse[r,o] = Σ_c Σ_a w[r,c,a] · fine[c, o·stride + a·dilation − padding]
//	toFine           the adjoint
//	weightGradient   w'[r,c,a] = Σ_o coarse[r,o] · fine[c, o·stride + a·dilation − padding]
type convolution struct {
	spec       nn.ConvSpec // normalized
	kernel     [3]int
	rows, cols int    // channels of the coarse and of the fine volume
	weight     *array // row-major, rows × cols × taps
	precision  Precision
}

// arguments returns the arguments of a kernel for a pair of volumes.
func (c *convolution) arguments(coarse, fine *array) *C.AflConv {
	p := &C.AflConv{samples: C.int32_t(coarse.shape[0]), rows: C.int32_t(c.rows), columns: C.int32_t(c.cols)}
	for axis := range 3 {
		p.coarse[axis], p.fine[axis] = C.int32_t(coarse.shape[2+axis]), C.int32_t(fine.shape[2+axis])
		p.kernel[axis], p.stride[axis] = C.int32_t(c.kernel[axis]), C.int32_t(c.spec.Stride[axis])
		p.padding[axis], p.dilation[axis] = C.int32_t(c.spec.Padding[axis]), C.int32_t(c.spec.Dilation[axis])
	}
	point(&p.coarse_values, coarse)
	point(&p.fine_values, fine)
	point(&p.weight, c.weight)
	return p
}

// toCoarse stores the coarse volume of a fine one, plus a bias or nil.
func (o *op) toCoarse(c *convolution, coarse, fine, bias *array) {
	if o.err != nil {
		return
	}
	if o.byCuDNN(cudnn.Forward, c, coarse, fine, coarse, bias) {
		return
	}
	if c.tiled(coarse, fine) {
		o.product(c, coarse, fine, bias, false)
		return
	}
	p := c.arguments(coarse, fine)
	point(&p.bias, bias)
	o.each("afl_nn_conv_to_coarse", coarse.elements(), unsafe.Pointer(p))
}

// toFine stores the fine volume of a coarse one, plus a bias or nil.
func (o *op) toFine(c *convolution, fine, coarse, bias *array) {
	if o.err != nil {
		return
	}
	if o.byCuDNN(cudnn.BackwardData, c, coarse, fine, fine, bias) {
		return
	}
	if c.tiled(coarse, fine) {
		o.product(c, fine, coarse, bias, true)
		return
	}
	p := c.arguments(coarse, fine)
	point(&p.bias, bias)
	o.each("afl_nn_conv_to_fine", fine.elements(), unsafe.Pointer(p))
}

// weightGradient stores the gradient of the weight in gw, which is row-major.
func (o *op) weightGradient(c *convolution, gw, coarse, fine *array) {
	if o.err != nil {
		return
	}
	if o.byCuDNN(cudnn.BackwardFilter, c, coarse, fine, gw, nil) {
		return
	}
	if c.tiled(coarse, fine) {
		o.gradientProduct(c, gw, coarse, fine)
		return
	}
	p := c.arguments(coarse, fine)
	point(&p.weight, gw)
	const chunk = 256
	chunks := (coarse.rows() + chunk - 1) / chunk
	p.chunk, p.chunks = chunk, C.int64_t(chunks)
	pointAt(&p.partials, o.scratch(8*int64(gw.elements())*int64(chunks)))
	o.each("afl_nn_conv_weight_partials", gw.elements()*chunks, unsafe.Pointer(p))
	o.each("afl_nn_conv_weight_sum", gw.elements(), unsafe.Pointer(p))
}

// Conv3D implements nn.Backend.
func (b *backend) Conv3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return b.conv("Conv3D", x, weight, bias, spec, false)
}

// ConvTranspose3D implements nn.Backend.
func (b *backend) ConvTranspose3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return b.conv("ConvTranspose3D", x, weight, bias, spec, true)
}

func (b *backend) conv(name string, x, weight, bias nn.Array, spec nn.ConvSpec, transposed bool) (nn.Array, nn.Pullback, error) {
	o := b.begin(name)
	a, w := o.volume("x", x), o.arg("weight", weight)
	if o.err == nil && len(w.shape) != 5 {
		o.fail("weight has shape %v, want 5 axes", w.shape)
	}
	o.toRowMajor(w)
	spec, err := spec.Normalized()
	if err != nil {
		o.fail("%w", err)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	c := &convolution{spec: spec, kernel: [3]int(w.shape[2:]), rows: w.shape[0], cols: w.shape[1], weight: w, precision: b.precision}
	in, out, axis, outputSize := c.cols, c.rows, 1, nn.ConvSpec.OutputSize
	if transposed {
		in, out, axis, outputSize = c.rows, c.cols, 0, nn.ConvSpec.TransposedSize
	} else if spec.OutputPadding != [3]int{} {
		o.fail("output padding is %v, want 0 except in a transposed convolution", spec.OutputPadding)
	}
	if a.channels() != in {
		o.fail("x has %d channels, want %d as given by axis %d of the weight's shape %v", a.channels(), in, axis, w.shape)
	}
	var add *array
	if bias != nil {
		add = o.vector("bias", bias, out)
	}
	size, err := outputSize(spec, a.size(), c.kernel)
	if err != nil {
		o.fail("%w", err)
	}
	if o.err != nil {
		return nil, nil, o.end()
	}
	y := o.array(a.shape[0], out, size[0], size[1], size[2])
	if transposed {
		o.toFine(c, y, a, add)
	} else {
		o.toCoarse(c, y, a, add)
	}
	return o.finish(y, 3, []*array{a, w}, func(o *op, g *array, need []bool) []nn.Array {
		o.toChannels(a)
		o.toChannels(g)
		o.toRowMajor(w)
		return wanted(need, func(input int) *array {
			switch input {
			case 0:
				gx := o.array(a.shape...)
				if transposed {
					o.toCoarse(c, gx, g, nil)
				} else {
					o.toFine(c, gx, g, nil)
				}
				return gx
			case 1:
				gw := o.rowMajor(w.shape...)
				if transposed {
					o.weightGradient(c, gw, a, g)
				} else {
					o.weightGradient(c, gw, g, a)
				}
				return gw
			}
			return o.channelSums(g)
		})
	})
}
