package train

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/dataset"
)

// onScan holds a sample's logits and label without the padding around the scan, which
// losses and metrics ignore. Its buffers are reused from sample to sample.
type onScan struct {
	box           dataset.Box
	logits, label *tensor.Dense

	ownLogits, ownLabel, grad *tensor.Dense
}

// take copies the part inside the sample's scan from the network's logits, float32
// 1×C×X×Y×Z, and from the label. Without padding it uses both tensors themselves.
func (o *onScan) take(logits *tensor.Dense, s *dataset.Sample) {
	o.takeLabel(s)
	shape := logits.Shape()
	if whole(o.box, shape) {
		o.logits = logits
		return
	}
	size := o.box.Size
	o.ownLogits = reuse(o.ownLogits, tensor.Float32, 1, shape[1], size[0], size[1], size[2])
	o.logits = o.ownLogits
	each(o.box, shape, func(inside, full, n int) {
		copy(o.logits.Data().([]float32)[inside:inside+n], logits.Data().([]float32)[full:])
	})
}

// takeLabel is take for the label alone.
func (o *onScan) takeLabel(s *dataset.Sample) {
	o.box = s.Scan
	label := s.Label.Shape()
	maps := label
	if len(label) == 4 { // no map for each region
		maps = tensor.Shape{1, 1, label[1], label[2], label[3]}
	}
	if whole(o.box, maps) {
		o.label = s.Label
		return
	}
	size := o.box.Size
	o.ownLabel = reuse(o.ownLabel, tensor.Uint8, append(append(tensor.Shape(nil), label[:len(label)-3]...), size[:]...)...)
	o.label = o.ownLabel
	each(o.box, maps, func(inside, full, n int) {
		copy(o.label.Data().([]uint8)[inside:inside+n], s.Label.Data().([]uint8)[full:])
	})
}

// gradient returns the tensor for the gradient of the loss.
func (o *onScan) gradient() *tensor.Dense {
	o.grad = reuse(o.grad, tensor.Float32, o.logits.Shape()...)
	return o.grad
}

// pad copies the gradient into full, the gradient with respect to the network's logits,
// which is 0 in the padding.
func (o *onScan) pad(full *tensor.Dense) {
	dst, src := full.Data().([]float32), o.grad.Data().([]float32)
	clear(dst)
	each(o.box, full.Shape(), func(inside, full, n int) {
		copy(dst[full:full+n], src[inside:])
	})
}

func whole(b dataset.Box, shape tensor.Shape) bool {
	return b.Size == [3]int(shape[2:])
}

// reuse returns t if it has the given shape, and a new tensor otherwise.
func reuse(t *tensor.Dense, dt tensor.Dtype, shape ...int) *tensor.Dense {
	if t != nil && t.Shape().Eq(tensor.Shape(shape)) {
		return t
	}
	return tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
}

// each calls do for every row of the box in every channel of a 1×C×X×Y×Z array. The
// arguments are the row's offset in an array of the box alone, its offset in the whole
// array, and its length.
func each(b dataset.Box, shape tensor.Shape, do func(inside, full, n int)) {
	inside := 0
	for c := range shape[1] {
		for x := range b.Size[0] {
			for y := range b.Size[1] {
				full := ((c*shape[2]+b.Start[0]+x)*shape[3]+b.Start[1]+y)*shape[4] + b.Start[2]
				do(inside, full, b.Size[2])
				inside += b.Size[2]
			}
		}
	}
}
