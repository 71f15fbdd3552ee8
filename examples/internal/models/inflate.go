package models

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/weights"
)

// encoderPrefix precedes the names of a 2-D ResNet-50 in the encoder of a ResNetUNet.
const encoderPrefix = "encoder."

// firstKernel is the name of the kernel in it that sees the input channels.
const firstKernel = "conv1.weight"

// ImageEntries returns the tensors of a 2-D ResNet-50 from which [LoadImageNet] initializes
// the encoder of a ResNetUNet, or nil for any other network. The first kernel may have any
// shape, as its input channels may differ.
func ImageEntries(net nn.Network) []weights.Entry {
	var entries []weights.Entry
	for _, p := range net.Parameters() {
		if name, ok := strings.CutPrefix(p.Name, encoderPrefix); ok {
			e := weights.Entry{Name: name, Shape: p.Value.Shape()}
			if len(e.Shape) == 5 {
				e.Shape = e.Shape[:4]
			}
			if name == firstKernel {
				e.Shape = nil
			}
			entries = append(entries, e)
		}
	}
	if entries == nil {
		return nil
	}
	for _, f := range net.Buffers() {
		if name, ok := strings.CutPrefix(f.Name, encoderPrefix); ok {
			e := weights.Entry{Name: name, Counter: f.Value == nil}
			if f.Value != nil {
				e.Shape = f.Value.Shape()
			}
			entries = append(entries, e)
		}
	}
	return entries
}

// LoadImageNet initializes the encoder of a ResNetUNet from a 2-D ResNet-50, as the paper's
// released code does with ImageNet weights. images is the state of that network under
// torchvision's names ("conv1.weight", "layer1.0.bn1.running_mean", …); its classifier
// ("fc.…") is ignored. The decoder is not changed.
//
// A kernel w of kx×ky becomes w/kz, repeated kz times along Z, so that a volume that is
// constant along Z gives the same result as its slices. If the network does not have three
// input channels, channel j takes the kernel of channel j mod 3, scaled by 3 divided by the
// number of channels. Norms and their running statistics are copied. If LoadImageNet fails,
// it changes nothing.
//
// Of a network of [NewUninitialized], it sets only the encoder.
func LoadImageNet(b nn.Backend, net nn.Network, images map[string]*tensor.Dense) error {
	state := map[string]*tensor.Dense{}
	take := func(name string, to nn.Array) error {
		from, ok := strings.CutPrefix(name, encoderPrefix)
		if !ok {
			return nil
		}
		image, ok := images[from]
		if !ok {
			return fmt.Errorf("models: LoadImageNet: the state has no %q", from)
		}
		var err error
		if shape := to.Shape(); len(shape) == 5 {
			image, err = inflate(image, shape, from == firstKernel)
		} else if image == nil || !slices.Equal(image.Shape(), shape) {
			err = fmt.Errorf("have %v, want shape %v", shapeOf(image), shape)
		}
		if err != nil {
			return fmt.Errorf("models: LoadImageNet: %s: %w", from, err)
		}
		state[name] = image
		return nil
	}
	for _, p := range net.Parameters() {
		if err := take(p.Name, p.Value); err != nil {
			return err
		}
	}
	if len(state) == 0 {
		return fmt.Errorf("models: LoadImageNet: the network has no encoder, want %s", ResNetUNet{}.Name())
	}
	for _, f := range net.Buffers() {
		if f.Value != nil {
			if err := take(f.Name, f.Value); err != nil {
				return err
			}
			continue
		}
		// Older files do not contain the counters.
		if from, ok := strings.CutPrefix(f.Name, encoderPrefix); ok {
			if image, ok := images[from]; ok {
				state[f.Name] = image
			}
		}
	}
	for name := range images {
		if _, ok := state[encoderPrefix+name]; !ok && !strings.HasPrefix(name, "fc.") {
			return fmt.Errorf("models: LoadImageNet: the state contains %q, which is not part of the encoder", name)
		}
	}
	return nn.LoadPartialStateDict(b, net, state)
}

// inflate returns a 3-D kernel of the given shape from a 2-D one. That of the first layer
// may have three input channels instead of those of the shape.
func inflate(image *tensor.Dense, shape []int, first bool) (*tensor.Dense, error) {
	out, in, kx, ky, kz := shape[0], shape[1], shape[2], shape[3], shape[4]
	if image == nil || len(image.Shape()) != 4 {
		return nil, fmt.Errorf("have %v, want 4 axes", shapeOf(image))
	}
	from := image.Shape()[1]
	if !image.Shape().Eq(tensor.Shape{out, from, kx, ky}) || from != in && !(first && from == 3) {
		return nil, fmt.Errorf("have %v, want shape %v", shapeOf(image), []int{out, in, kx, ky})
	}
	values, err := hostValues(image)
	if err != nil {
		return nil, err
	}
	factor := float64(from) / float64(in) / float64(kz)
	inflated := make([]float64, out*in*kx*ky*kz)
	for o := range out {
		for i := range in {
			plane := values[(o*from+i%from)*kx*ky:][:kx*ky]
			for xy, v := range plane {
				at := ((o*in+i)*kx*ky + xy) * kz
				for z := range kz {
					inflated[at+z] = v * factor
				}
			}
		}
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(inflated)), nil
}

func hostValues(t *tensor.Dense) ([]float64, error) {
	switch v := t.Data().(type) {
	case []float64:
		return v, nil
	case []float32:
		values := make([]float64, len(v))
		for i, x := range v {
			values[i] = float64(x)
		}
		return values, nil
	}
	return nil, fmt.Errorf("have element type %v, want float32 or float64", t.Dtype())
}

func shapeOf(t *tensor.Dense) string {
	if t == nil {
		return "nil"
	}
	return fmt.Sprintf("shape %v", []int(t.Shape()))
}
