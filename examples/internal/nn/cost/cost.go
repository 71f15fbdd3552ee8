// Package cost counts the operations and the memory of a network's passes without computing
// anything: it runs the network on a backend whose arrays have a shape but no values. The
// counts therefore follow from the code of the network, and a new network needs no formulas.
package cost

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// Cost is the cost of a pass.
type Cost struct {
	// Parameters is the number of trainable values.
	Parameters int64
	// MultiplyAdds is the number of multiply-adds of the convolutions in the forward pass.
	// A training step needs about three times as many.
	MultiplyAdds int64
	// KeptBytes is the memory of arrays that outlive the pass: parameters, running
	// statistics, the optimizer's state.
	KeptBytes int64
	// PassBytes is the additional memory of the pass on a backend that reuses released
	// memory. It consists of the activations, in training also the gradients, and the
	// scratch memory of the convolutions, one padded copy of their input for each size.
	PassBytes int64
	// HostBytes is the memory on the host: the input and the result of the pass, in training
	// also the gradient of the result and the copies of the state with which weights are
	// saved and loaded between passes; see stateCopies.
	HostBytes int64
}

// Bytes returns the total memory.
func (c Cost) Bytes() int64 { return c.KeptBytes + c.PassBytes + c.HostBytes }

// Counter counts the passes of one network.
type Counter struct {
	backend *backend
	net     nn.Network
}

// New returns a counter for the network that create creates on the given backend. It counts
// memory for a backend that stores the result of every operation, such as portable.
func New(create func(nn.Backend) (nn.Network, error)) (*Counter, error) {
	return newCounter(&backend{}, create)
}

// NewFused is New for a backend that fuses norms, activations and sums, onednn or cuda; see
// fused.go.
func NewFused(create func(nn.Backend) (nn.Network, error)) (*Counter, error) {
	return newCounter(&backend{fused: true}, create)
}

func newCounter(b *backend, create func(nn.Backend) (nn.Network, error)) (*Counter, error) {
	b.begin()
	net, err := create(b)
	if err != nil {
		return nil, err
	}
	return &Counter{b, net}, nil
}

// Step returns the cost of a training step on a batch of shape N×C×X×Y×Z: forward pass,
// backward pass, and an update by a new optimizer.
func (c *Counter) Step(shape []int, opt nn.Optimizer) (Cost, error) {
	tape, ys, err := c.forward(shape, nn.Training)
	if err != nil {
		return Cost{}, err
	}
	host, gradients := count(shape), make([]nn.Array, len(ys))
	for i, y := range ys {
		gradients[i] = c.backend.step(y.Shape())
		host += 2 * count(y.Shape())
	}
	if err := tape.BackwardAll(ys, gradients); err != nil {
		return Cost{}, fmt.Errorf("cost: %w", err)
	}
	c.backend.zeros = 0
	if err := opt.Step(c.backend, c.net.Parameters()); err != nil {
		return Cost{}, fmt.Errorf("cost: %w", err)
	}
	cost := c.cost(host)
	state := cost.KeptBytes
	cost.KeptBytes += c.backend.zeros * bytesPerValue
	cost.HostBytes += max(cost.KeptBytes, stateCopies*state) + c.largest()*bytesPerValue
	return cost, nil
}

// stateCopies is the number of copies of a network's state that exist besides the network's own
// when weights are loaded from a file to be evaluated: the file's values, and the values that
// they replace, which are not collected at once. A checkpoint is saved with one copy of the
// network's and the optimizer's state. In both cases one tensor is also present as bytes.
const stateCopies = 2

// Inference returns the cost of a prediction on a batch of shape N×C×X×Y×Z.
func (c *Counter) Inference(shape []int) (Cost, error) {
	_, ys, err := c.forward(shape, nn.Inference)
	if err != nil {
		return Cost{}, err
	}
	return c.cost(count(shape) + count(ys[0].Shape())), nil
}

func (c *Counter) forward(shape []int, mode nn.Mode) (*nn.Tape, []nn.Var, error) {
	c.backend.begin()
	tape := nn.NewTape(c.backend, mode, 0)
	ys, err := nn.Outputs(c.net, tape, tape.Input(c.backend.step(shape)))
	if err != nil {
		return nil, nil, fmt.Errorf("cost: %w", err)
	}
	for _, y := range ys {
		c.backend.stored(y.Array())
	}
	return tape, ys, nil
}

// cost returns the cost of the pass that has been counted, with the given number of values on
// the host.
func (c *Counter) cost(host int64) Cost {
	cost := Cost{MultiplyAdds: c.backend.multiplyAdds, PassBytes: c.backend.held * bytesPerValue, HostBytes: host * bytesPerValue}
	for _, p := range c.net.Parameters() {
		cost.Parameters += count(p.Value.Shape())
	}
	kept := cost.Parameters
	for _, f := range c.net.Buffers() {
		if f.Value != nil {
			kept += count(f.Value.Shape())
		}
	}
	cost.KeptBytes = kept * bytesPerValue
	return cost
}

// largest returns the number of values of the largest parameter.
func (c *Counter) largest() int64 {
	n := int64(0)
	for _, p := range c.net.Parameters() {
		n = max(n, count(p.Value.Shape()))
	}
	return n
}

// bytesPerValue is the size of a float32, in which networks are trained.
const bytesPerValue = 4

func count(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}

// backend implements nn.Backend on shapes only.
type backend struct {
	fused        bool
	multiplyAdds int64
	held         int64          // number of values allocated by the pass
	zeros        int64          // number of values of kept arrays of zeros
	free         map[int64]int  // released memory, by number of values
	scratch      map[int64]bool // sizes of the scratch memory allocated by the pass
}

// array is an array without values.
type array struct {
	shape    []int
	kept     bool
	released bool
	memory   *memory  // nil if kept, while formula is set, and after the release
	formula  *formula // see fused.go
}

// memory is that of an array of a step. Formulas can use it after the array's release.
type memory struct {
	values int64
	users  int
}

// Shape implements nn.Array.
func (a *array) Shape() []int { return a.shape }

// DType implements nn.Array.
func (a *array) DType() nn.DType { return nn.Float32 }

// begin starts counting a pass.
func (b *backend) begin() {
	*b = backend{fused: b.fused, free: map[int64]int{}, scratch: map[int64]bool{}}
}

// step allocates an array of the step.
func (b *backend) step(shape []int) *array {
	a := &array{shape: append([]int(nil), shape...)}
	a.memory = b.allocate(count(shape))
	return a
}

// allocate returns memory for n values: released memory of the same size if there is any.
func (b *backend) allocate(n int64) *memory {
	if b.free[n] > 0 {
		b.free[n]--
	} else {
		b.held += n
	}
	return &memory{n, 1}
}

// drop ends one use of memory.
func (b *backend) drop(m *memory) {
	if m == nil {
		return
	}
	if m.users--; m.users == 0 {
		b.free[m.values]++
	}
}

// borrow allocates scratch memory for n values. All operations that need scratch memory of
// the same size share it.
func (b *backend) borrow(n int64) {
	if !b.scratch[n] {
		b.scratch[n] = true
		b.held += n
	}
}

// Name implements nn.Backend.
func (b *backend) Name() string { return "cost" }

// DType implements nn.Backend.
func (b *backend) DType() nn.DType { return nn.Float32 }

// FromHost implements nn.Backend.
func (b *backend) FromHost(t *tensor.Dense, life nn.Lifetime) (nn.Array, error) {
	if life == nn.Step {
		return b.step(t.Shape()), nil
	}
	return b.Zeros(t.Shape())
}

// Zeros implements nn.Backend.
func (b *backend) Zeros(shape []int) (nn.Array, error) {
	b.zeros += count(shape)
	return &array{shape: append([]int(nil), shape...), kept: true}, nil
}

// Numberless implements nn.Numberless.
func (b *backend) Numberless() {}

// ToHost implements nn.Backend. It always fails, because there are no values to copy.
func (b *backend) ToHost(nn.Array, *tensor.Dense) error {
	return fmt.Errorf("cost: ToHost: arrays have no values")
}

// Release implements nn.Backend.
func (b *backend) Release(x nn.Array) {
	if a, ok := x.(*array); ok && !a.kept && !a.released {
		a.released = true
		b.drop(a.memory)
		b.forget(a)
	}
}

// EndStep implements nn.Backend. It does nothing, because begin resets the counts.
func (b *backend) EndStep(...nn.Array) {}

// result returns the result and the pullback of an operation whose gradients have the shapes
// of its inputs; nil inputs are absent.
func (b *backend) result(shape []int, inputs ...nn.Array) (nn.Array, nn.Pullback, error) {
	for _, in := range inputs {
		b.stored(in)
	}
	return b.step(shape), func(g nn.Array, need []bool) ([]nn.Array, error) {
		b.stored(g)
		return b.gradients(need, inputs), nil
	}, nil
}

// Conv3D implements nn.Backend.
func (b *backend) Conv3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return b.conv(x, weight, bias, spec, weight.Shape()[0], nn.ConvSpec.OutputSize)
}

// ConvTranspose3D implements nn.Backend.
func (b *backend) ConvTranspose3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return b.conv(x, weight, bias, spec, weight.Shape()[1], nn.ConvSpec.TransposedSize)
}

func (b *backend) conv(x, weight, bias nn.Array, spec nn.ConvSpec, out int, size func(nn.ConvSpec, [3]int, [3]int) ([3]int, error)) (nn.Array, nn.Pullback, error) {
	spec, err := spec.Normalized()
	if err != nil {
		return nil, nil, err
	}
	in, kernel := [3]int(x.Shape()[2:]), [3]int(weight.Shape()[2:])
	to, err := size(spec, in, kernel)
	if err != nil {
		return nil, nil, err
	}
	shape := []int{x.Shape()[0], out, to[0], to[1], to[2]}
	// Every voxel of the smaller volume is combined with every tap of every pair of
	// channels.
	coarse := min(count(in[:]), count(to[:]))
	b.multiplyAdds += int64(shape[0]) * coarse * count(weight.Shape())
	sample := func(x nn.Array) int64 {
		if b.fused {
			return 0
		}
		n := int64(x.Shape()[1])
		for axis, d := range x.Shape()[2:] {
			n *= int64(d + 2*spec.Padding[axis])
		}
		return n
	}
	b.borrow(sample(x))
	b.borrow(count(weight.Shape()))
	y, pullback, err := b.result(shape, x, weight, bias)
	return y, func(g nn.Array, need []bool) ([]nn.Array, error) {
		b.borrow(sample(g))
		return pullback(g, need)
	}, err
}

// BatchNorm implements nn.Backend.
func (b *backend) BatchNorm(x, weight, bias, _, _ nn.Array, _ nn.BatchNormSpec) (nn.Array, nn.Pullback, error) {
	return b.norm(x, weight, bias)
}

// GroupNorm implements nn.Backend.
func (b *backend) GroupNorm(x, weight, bias nn.Array, _ int, _ float64) (nn.Array, nn.Pullback, error) {
	return b.norm(x, weight, bias)
}

// PReLU implements nn.Backend.
func (b *backend) PReLU(x, slope nn.Array) (nn.Array, nn.Pullback, error) {
	return b.activation(x, slope)
}

// Activate implements nn.Backend.
func (b *backend) Activate(x nn.Array, _ nn.Activation) (nn.Array, nn.Pullback, error) {
	return b.activation(x)
}

// MaxPool3D implements nn.Backend.
func (b *backend) MaxPool3D(x nn.Array, spec nn.PoolSpec) (nn.Array, nn.Pullback, error) {
	spec, err := spec.Normalized()
	if err != nil {
		return nil, nil, err
	}
	to, err := spec.OutputSize([3]int(x.Shape()[2:]))
	if err != nil {
		return nil, nil, err
	}
	y := []int{x.Shape()[0], x.Shape()[1], to[0], to[1], to[2]}
	if b.fused {
		b.allocate(count(y)) // for the gradient: which voxel of each window is the largest
	}
	return b.result(y, x)
}

// Resize implements nn.Backend.
func (b *backend) Resize(x nn.Array, size [3]int, _ nn.ResizeMode) (nn.Array, nn.Pullback, error) {
	return b.result([]int{x.Shape()[0], x.Shape()[1], size[0], size[1], size[2]}, x)
}

// Dropout3D implements nn.Backend.
func (b *backend) Dropout3D(x nn.Array, _ float64, _ uint64) (nn.Array, nn.Pullback, error) {
	return b.result(x.Shape(), x)
}

// Concat implements nn.Backend.
func (b *backend) Concat(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	shape := append([]int(nil), xs[0].Shape()...)
	for _, x := range xs[1:] {
		shape[1] += x.Shape()[1]
	}
	return b.result(shape, xs...)
}

// RepeatChannels implements nn.Backend.
func (b *backend) RepeatChannels(x nn.Array, channels int) (nn.Array, nn.Pullback, error) {
	shape := append([]int(nil), x.Shape()...)
	shape[1] = channels
	return b.result(shape, x)
}

// Add implements nn.Backend.
func (b *backend) Add(x0, x1 nn.Array) (nn.Array, nn.Pullback, error) {
	return b.sum(x0, x1), func(g nn.Array, _ []bool) ([]nn.Array, error) {
		return []nn.Array{g, g}, nil
	}, nil
}

// Mean implements nn.Backend.
func (b *backend) Mean(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	for _, x := range xs {
		b.stored(x)
	}
	return b.step(xs[0].Shape()), func(g nn.Array, _ []bool) ([]nn.Array, error) {
		b.stored(g)
		share := b.step(g.Shape())
		grads := make([]nn.Array, len(xs))
		for i := range grads {
			grads[i] = share
		}
		return grads, nil
	}, nil
}

// Gate implements nn.Backend.
func (b *backend) Gate(x, gate nn.Array) (nn.Array, nn.Pullback, error) {
	return b.result(x.Shape(), x, gate)
}

// SumOfSquares implements nn.Backend. It always fails, because there are no values to sum.
func (b *backend) SumOfSquares(...nn.Array) (float64, error) {
	return 0, fmt.Errorf("cost: SumOfSquares: arrays have no values")
}

// Scale implements nn.Backend.
func (b *backend) Scale(x nn.Array, _ float64) (nn.Array, error) { return b.step(x.Shape()), nil }

// SGDStep implements nn.Backend.
func (b *backend) SGDStep(_, _, _ nn.Array, _ bool, _ nn.SGDSpec) error { return nil }

// AdamWStep implements nn.Backend.
func (b *backend) AdamWStep(_, _, _, _ nn.Array, _ nn.AdamWSpec) error { return nil }
