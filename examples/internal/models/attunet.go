package models

import "github.com/x/afl/examples/internal/nn"

// AttUNet is the attention U-Net of Oktay et al. (2018) as in MONAI's class AttentionUnet.
//
// A block of two convolutions computes Channels[0] feature maps at full size. Level i, of
// width c = Channels[i], applies another block, strided, of width Channels[i+1], and the
// levels below it. Their output is upsampled by a transposed convolution and gates the
// level's skip connection (see attentionGate). The gated skip and the upsampled features,
// concatenated in this order, are merged by a convolution, instance norm and PReLU. A
// 1×1×1 convolution computes the logits. Everywhere else the norm is batch norm and the
// activation is ReLU; every convolution has a bias.
//
// Every axis of a volume must be a multiple of the product of its strides.
type AttUNet struct {
	// Channels are the widths of the levels, from the finest to the coarsest.
	Channels []int `json:"channels"`
	// Strides are the strides along X, Y, Z between two levels; one fewer than Channels.
	Strides [][3]int `json:"strides"`
	// Kernel and UpKernel are the sizes of the kernels of the blocks and of the transposed
	// convolutions, odd along each axis. Zero means 3×3×3, as for all others.
	Kernel   [3]int `json:"kernel"`
	UpKernel [3]int `json:"up_kernel"`
}

// NewAttUNet returns the widths 16, 32, 64, 128, 256 with stride 2 on every axis between
// all levels.
func NewAttUNet() AttUNet {
	return AttUNet{Channels: []int{16, 32, 64, 128, 256}, Strides: halvings(4)}
}

// Name implements Architecture.
func (AttUNet) Name() string { return "attunet" }

// Multiple implements Architecture.
func (a AttUNet) Multiple() [3]int { return product(a.Strides) }

func (a AttUNet) decoderWidths() []int { return coarseFirst(a.Channels[1 : len(a.Channels)-1]) }

func (a AttUNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := checkLevels(a.Channels, a.Strides); err != nil {
		return nil, err
	}
	if err := checkAtLeast("Channels[0]", a.Channels[0], 2); err != nil {
		return nil, err // half of it is the width of the gate
	}
	if err := checkKernel("Kernel", a.Kernel); err != nil {
		return nil, err
	}
	if err := checkKernel("UpKernel", a.UpKernel); err != nil {
		return nil, err
	}
	return &attUNet{
		first: a.convs(b, "model.0", in, a.Channels[0], cube(1)),
		top:   a.level(b, "model.1", 0),
		head:  conv(b, "model.2.conv", a.Channels[0], out, 1, cube(1), true),
	}, nil
}

// attUNet holds the layers.
type attUNet struct {
	first nn.Layer
	top   *attLevel
	head  nn.Layer
}

// Forward implements nn.Layer.
func (n *attUNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	y, _, err := n.forwardLevels(t, x)
	return y, err
}

func (n *attUNet) forwardLevels(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error) {
	if x, err = n.first.Forward(t, x); err != nil {
		return nn.Var{}, nil, err
	}
	y, levels, err = n.top.forward(t, x)
	if err != nil {
		return nn.Var{}, nil, err
	}
	t.Done(x, y)
	logits, err := n.head.Forward(t, y)
	t.Done(y, logits)
	return logits, levels, err
}

// attLevel is a level together with all levels below it.
type attLevel struct {
	gate  *attentionGate
	down  nn.Layer
	below *attLevel // nil above the coarsest level
	up    nn.Layer
	merge nn.Layer
}

// forward returns the output of the level and those of the levels below it, from the coarsest.
func (l *attLevel) forward(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error) {
	low, err := l.down.Forward(t, x)
	if err != nil {
		return nn.Var{}, nil, err
	}
	if l.below != nil {
		skip := low
		if low, levels, err = l.below.forward(t, skip); err != nil {
			return nn.Var{}, nil, err
		}
		t.Done(skip, low)
		levels = append(levels, low)
	}
	g, err := l.up.Forward(t, low)
	if err != nil {
		return nn.Var{}, nil, err
	}
	t.Done(low, g)
	gated, err := l.gate.forward(t, g, x)
	if err != nil {
		return nn.Var{}, nil, err
	}
	y, err = join(t, gated, g, l.merge)
	return y, levels, err
}

// level builds level i, in state_dict order: gate, upsampling, merge, levels below.
func (a AttUNet) level(b *nn.Builder, name string, i int) *attLevel {
	c, wide, stride := a.Channels[i], a.Channels[i+1], a.Strides[i]
	l := &attLevel{gate: newAttentionGate(b, name+".attention.", c, c/2)}
	l.up = nn.Sequence{
		upConv(b, name+".upconv.up.conv", wide, c, kernelOr3(a.UpKernel), stride, true),
		b.BatchNorm(name+".upconv.up.adn.N", c), nn.ReLU,
	}
	l.merge = nn.Sequence{
		conv(b, name+".merge.conv", 2*c, c, 3, cube(1), true),
		nn.InstanceNorm{}, b.PReLU(name+".merge.adn.A", 1),
	}
	if i+2 == len(a.Channels) {
		l.down = a.convs(b, name+".submodule", c, wide, stride)
		return l
	}
	l.down = a.convs(b, name+".submodule.0", c, wide, stride)
	l.below = a.level(b, name+".submodule.1", i+1)
	return l
}

// convs returns two convolutions, the first strided, each with batch norm and ReLU.
func (a AttUNet) convs(b *nn.Builder, name string, in, out int, stride [3]int) nn.Layer {
	kernel := kernelOr3(a.Kernel)
	return nn.Sequence{
		convOf(b, name+".conv.0.conv", in, out, kernel, stride, true), b.BatchNorm(name+".conv.0.adn.N", out), nn.ReLU,
		convOf(b, name+".conv.1.conv", out, out, kernel, cube(1), true), b.BatchNorm(name+".conv.1.adn.N", out), nn.ReLU,
	}
}

// attentionGate multiplies a skip x by a single-channel map of weights between 0 and 1:
//
//	x · sigmoid(BN(Ψ · relu(BN(W_g·g) + BN(W_x·x))))
//
// where g comes from the level below and W_g, W_x and Ψ are 1×1×1 convolutions.
type attentionGate struct{ g, x, psi nn.Layer }

// newAttentionGate returns a gate for inputs of the given width; inner is the width of the
// intermediate features. The names of its layers start with prefix.
func newAttentionGate(b *nn.Builder, prefix string, width, inner int) *attentionGate {
	project := func(name string, in, out int) nn.Sequence {
		return nn.Sequence{
			conv(b, prefix+name+".0.conv", in, out, 1, cube(1), true),
			b.BatchNorm(prefix+name+".1", out),
		}
	}
	g, x := project("W_g", width, inner), project("W_x", width, inner)
	return &attentionGate{g: g, x: x, psi: append(project("psi", inner, 1), nn.Sigmoid)}
}

func (a *attentionGate) forward(t *nn.Tape, g, x nn.Var) (nn.Var, error) {
	fromG, err := a.g.Forward(t, g)
	if err != nil {
		return nn.Var{}, err
	}
	fromX, err := a.x.Forward(t, x)
	if err != nil {
		return nn.Var{}, err
	}
	q, err := nn.Add(t, fromG, fromX)
	if err != nil {
		return nn.Var{}, err
	}
	t.Done(fromG)
	t.Done(fromX)
	gate, err := nn.Sequence{nn.ReLU, a.psi}.Forward(t, q)
	if err != nil {
		return nn.Var{}, err
	}
	t.Done(q)
	y, err := nn.Gate(t, x, gate)
	t.Done(gate)
	return y, err
}
