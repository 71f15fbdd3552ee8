package train

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn"
)

// onScan holds a sample's logits and label without the padding around the scan, which
// losses and metrics ignore. Its buffers are reused from sample to sample.
type onScan struct {
	box           nn.Box
	logits, label *tensor.Dense

	ownLogits, ownLabel *tensor.Dense
}

// take copies the part inside the sample's scan from the network's logits, float32
// 1×C×X×Y×Z, and from the label. Without padding it uses both tensors themselves.
func (o *onScan) take(logits *tensor.Dense, s *dataset.Sample) {
	o.takeLabel(s)
	shape := logits.Shape()
	if o.box.Whole(shape) {
		o.logits = logits
		return
	}
	size := o.box.Size
	o.ownLogits = reuse(o.ownLogits, tensor.Float32, 1, shape[1], size[0], size[1], size[2])
	o.logits = o.ownLogits
	nn.Crop(o.logits.Data().([]float32), logits.Data().([]float32), shape, o.box)
}

// takeLabel is take for the label alone.
func (o *onScan) takeLabel(s *dataset.Sample) {
	o.box = nn.Box(s.Scan)
	label := s.Label.Shape()
	maps := label
	if len(label) == 4 { // no map for each region
		maps = tensor.Shape{1, 1, label[1], label[2], label[3]}
	}
	if o.box.Whole(maps) {
		o.label = s.Label
		return
	}
	size := o.box.Size
	o.ownLabel = reuse(o.ownLabel, tensor.Uint8, append(append(tensor.Shape(nil), label[:len(label)-3]...), size[:]...)...)
	o.label = o.ownLabel
	nn.Crop(o.label.Data().([]uint8), s.Label.Data().([]uint8), maps, o.box)
}

// reuse returns t if it has the given shape, and a new tensor otherwise.
func reuse(t *tensor.Dense, dt tensor.Dtype, shape ...int) *tensor.Dense {
	if t != nil && t.Shape().Eq(tensor.Shape(shape)) {
		return t
	}
	return tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
}
