package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
)

// shape is a convolution on fixed sizes. Shapes are equal if their convolutions are the same
// computation.
type shape struct {
	transposed bool
	x          [5]int // samples, channels, X, Y, Z
	weight     [5]int
	y          [5]int
	spec       nn.ConvSpec // normalized
}

// String describes the shape as 1×16×80×64×12→32, kernel 3×3×3, with what differs from the
// defaults of the other settings.
func (s shape) String() string {
	text := fmt.Sprintf("%d×%d×%s→%d, kernel %s", s.x[0], s.x[1], times(s.x[2:]), s.y[1], times(s.weight[2:]))
	for _, o := range []struct {
		name         string
		value, usual [3]int
	}{
		{"stride", s.spec.Stride, [3]int{1, 1, 1}}, {"dilation", s.spec.Dilation, [3]int{1, 1, 1}},
		{"padding", s.spec.Padding, [3]int{}}, {"output padding", s.spec.OutputPadding, [3]int{}},
	} {
		if o.value != o.usual {
			text += ", " + o.name + " " + times(o.value[:])
		}
	}
	if s.transposed {
		text += ", transposed"
	}
	return text
}

func times(sizes []int) string {
	text := fmt.Sprint(sizes[0])
	for _, n := range sizes[1:] {
		text += fmt.Sprintf("×%d", n)
	}
	return text
}

// operations returns the floating-point operations of one of the shape's computations: the
// result, and the gradients of x and of the weight, have the same number. Products with the
// padding count, as they do in cost.
func (s shape) operations() float64 {
	coarse := min(nn.Elements(s.x[2:]), nn.Elements(s.y[2:]))
	return 2 * float64(s.x[0]) * float64(coarse) * float64(nn.Elements(s.weight[:]))
}

// bytes returns how many bytes of the given size per value a computation reads and writes at
// least: x, the weight and y, once each.
func (s shape) bytes(perValue int) float64 {
	return float64(perValue) * float64(nn.Elements(s.x[:])+nn.Elements(s.weight[:])+nn.Elements(s.y[:]))
}

// used is a shape with the networks that have it.
type used struct {
	shape
	count        map[string]int // of the convolutions with this shape, by network
	inputIsFirst bool           // the gradient of x is needed nowhere
}

// share returns the largest fraction that the shape has of a network's operations.
func (u *used) share(total map[string]float64) float64 {
	most := 0.0
	for network, n := range u.count {
		most = max(most, float64(n)*u.operations()/total[network])
	}
	return most
}

// collect returns the distinct shapes of networks. Those with the largest share of a network's
// operations come first, so that a run that is cut short has measured what matters most.
func collect(work []workload) ([]*used, error) {
	var all []*used
	total := map[string]float64{}
	for _, w := range work {
		r := &recorder{find: func(s shape) *used {
			for _, u := range all {
				if u.shape == s {
					return u
				}
			}
			u := &used{shape: s, count: map[string]int{}, inputIsFirst: true}
			all = append(all, u)
			return u
		}, network: w.name}
		if err := r.run(w); err != nil {
			return nil, fmt.Errorf("%s: %w", w, err)
		}
	}
	for _, u := range all {
		for network, n := range u.count {
			total[network] += float64(n) * u.operations()
		}
	}
	slices.SortStableFunc(all, func(a, b *used) int { return cmp.Compare(b.share(total), a.share(total)) })
	return all, nil
}

// recorder is a backend that notes the shapes of the convolutions and computes nothing.
type recorder struct {
	nn.Backend
	find    func(shape) *used
	network string
}

// run makes a training step of a network without values.
func (r *recorder) run(w workload) error {
	var net nn.Network
	_, err := cost.New(func(b nn.Backend) (n nn.Network, err error) {
		r.Backend = b
		net, err = models.New(w.cfg, b, 1)
		return net, err
	})
	if err != nil {
		return err
	}
	x, err := r.Zeros([]int{1, w.cfg.InChannels, w.size[0], w.size[1], w.size[2]})
	if err != nil {
		return err
	}
	tape := nn.NewTape(r, nn.Training, 1)
	y, err := net.Forward(tape, tape.Input(x))
	if err != nil {
		return err
	}
	g, err := r.Zeros(y.Shape())
	if err != nil {
		return err
	}
	return tape.Backward(y, g)
}

// Conv3D implements nn.Backend.
func (r *recorder) Conv3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return r.record(false, r.Backend.Conv3D, x, weight, bias, spec)
}

// ConvTranspose3D implements nn.Backend.
func (r *recorder) ConvTranspose3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return r.record(true, r.Backend.ConvTranspose3D, x, weight, bias, spec)
}

func (r *recorder) record(transposed bool, op convolve, x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	y, pullback, err := op(x, weight, bias, spec)
	if err != nil {
		return nil, nil, err
	}
	if spec, err = spec.Normalized(); err != nil {
		return nil, nil, err
	}
	u := r.find(shape{transposed, [5]int(x.Shape()), [5]int(weight.Shape()), [5]int(y.Shape()), spec})
	u.count[r.network]++
	return y, func(g nn.Array, need []bool) ([]nn.Array, error) {
		u.inputIsFirst = u.inputIsFirst && !need[0]
		return pullback(g, need)
	}, nil
}

// convolve is Conv3D or ConvTranspose3D of a backend.
type convolve func(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error)
