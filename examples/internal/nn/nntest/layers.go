package nntest

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/internal/golden"
)

// elsewhere lists the entries of the layer file that are not single operations: the loss and
// a network block. Package models tests both.
var elsewhere = map[string]bool{"afl_released": true, "attention_gate": true}

// layerCase is the description of one case in the file's metadata.
type layerCase struct {
	Op            string   `json:"op"`
	Inputs        []string `json:"inputs"`
	Kernel        triple   `json:"kernel"`
	Stride        triple   `json:"stride"`
	Padding       triple   `json:"padding"`
	Dilation      triple   `json:"dilation"`
	OutputPadding triple   `json:"output_padding"`
	Training      bool     `json:"training"`
	Epsilon       float64  `json:"eps"`
	Momentum      float64  `json:"momentum"`
	Groups        int      `json:"groups"`
	Size          triple   `json:"size"`
	Factor        triple   `json:"scale_factor"`
	Mode          string   `json:"mode"`
	AlignCorners  bool     `json:"align_corners"`
}

func (c layerCase) resize(in []int) (size [3]int, mode nn.ResizeMode) {
	size = c.Size
	if size == [3]int{} {
		for axis, f := range c.Factor {
			size[axis] = in[2+axis] * f
		}
	}
	switch {
	case c.Mode == "nearest":
		return size, nn.Nearest
	case c.AlignCorners:
		return size, nn.LinearAligned
	}
	return size, nn.Linear
}

// triple is stored as one number for all axes or as one number per axis.
type triple [3]int

func (v *triple) UnmarshalJSON(raw []byte) error {
	var one int
	if json.Unmarshal(raw, &one) == nil {
		*v = triple{one, one, one}
		return nil
	}
	return json.Unmarshal(raw, (*[3]int)(v))
}

// layers compares single operations with the reference.
func (s suite) layers(t *testing.T) {
	dir, _, err := golden.Dir("models")
	require.NoError(t, err)
	file, err := golden.Read(filepath.Join(dir, "layers.safetensors"))
	require.NoError(t, err)
	var cases map[string]layerCase
	require.NoError(t, json.Unmarshal([]byte(file.Metadata["cases"]), &cases))
	done, left := 0, 0
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		if elsewhere[cases[name].Op] {
			left++
			continue
		}
		done++
		t.Run(name, func(t *testing.T) { s.layer(t, file, name, cases[name]) })
		s.EndStep()
	}
	require.Positive(t, done)
	t.Logf("%d layer cases compared, %d tested in other packages", done, left)
}

func (s suite) layer(t *testing.T, file *golden.File, name string, c layerCase) {
	stored := func(tensor string) (golden.Tensor, bool) {
		g, ok := file.Tensors[name+"/"+tensor]
		return g, ok
	}
	load := func(tensor string) nn.Array {
		g, ok := stored(tensor)
		if !ok {
			return nil
		}
		return s.kept(t, g.Data, g.Shape...)
	}
	in := make([]nn.Array, len(c.Inputs))
	for i, name := range c.Inputs {
		in[i] = load(name)
		require.NotNil(t, in[i], name)
	}
	names := c.Inputs
	if c.Op == "conv3d" || c.Op == "conv_transpose3d" || c.Op == "instance_norm" {
		names = []string{"x", "weight", "bias"}
	}
	spec := nn.ConvSpec{Stride: c.Stride, Padding: c.Padding, Dilation: c.Dilation, OutputPadding: c.OutputPadding}
	mean, variance := load("running_mean"), load("running_var")
	var y nn.Array
	var pullback nn.Pullback
	var err error
	switch c.Op {
	case "conv3d":
		y, pullback, err = s.Conv3D(in[0], in[1], load("bias"), spec)
	case "conv_transpose3d":
		y, pullback, err = s.ConvTranspose3D(in[0], in[1], load("bias"), spec)
	case "batch_norm":
		y, pullback, err = s.BatchNorm(in[0], in[1], in[2], mean, variance,
			nn.BatchNormSpec{Training: c.Training, Epsilon: c.Epsilon, Momentum: c.Momentum})
	case "instance_norm":
		y, pullback, err = s.GroupNorm(in[0], load("weight"), load("bias"), in[0].Shape()[1], c.Epsilon)
	case "group_norm":
		y, pullback, err = s.GroupNorm(in[0], in[1], in[2], c.Groups, c.Epsilon)
	case "prelu":
		y, pullback, err = s.PReLU(in[0], in[1])
	case "relu":
		y, pullback, err = s.Activate(in[0], nn.ReLU)
	case "elu":
		y, pullback, err = s.Activate(in[0], nn.ELU)
	case "sigmoid":
		y, pullback, err = s.Activate(in[0], nn.Sigmoid)
	case "max_pool3d":
		y, pullback, err = s.MaxPool3D(in[0], nn.PoolSpec{Kernel: c.Kernel, Stride: c.Stride, Padding: c.Padding})
	case "interpolate":
		size, mode := c.resize(in[0].Shape())
		y, pullback, err = s.Resize(in[0], size, mode)
	case "concat":
		y, pullback, err = s.Concat(in...)
	case "add":
		y, pullback, err = s.Add(in[0], in[1])
	case "mean_of_stack":
		y, pullback, err = s.Mean(in...)
	case "multiply_broadcast":
		y, pullback, err = s.Gate(in[0], in[1])
	case "cyclic_repeat_add":
		y, pullback, err = s.repeatAdd(in[0], in[1])
	default:
		t.Fatalf("unknown operation %q", c.Op)
	}
	require.NoError(t, err)
	tolY, tolG := s.tolerance()
	want, _ := stored("y")
	require.Equal(t, want.Shape, y.Shape())
	s.requireClose(t, want.Data, y, tolY, "y")

	gout, ok := stored("gout")
	require.True(t, ok)
	need := make([]bool, len(names))
	for i, n := range names {
		_, need[i] = stored("g" + n)
	}
	grads, err := pullback(s.array(t, gout.Data, gout.Shape...), need)
	require.NoError(t, err)
	require.Len(t, grads, len(names))
	for i, n := range names {
		if !need[i] {
			require.Nil(t, grads[i], n)
			continue
		}
		g, _ := stored("g" + n)
		require.Equal(t, g.Shape, grads[i].Shape(), n)
		s.requireClose(t, g.Data, grads[i], tolG, "g"+n)
	}
	for n, a := range map[string]nn.Array{"running_mean": mean, "running_var": variance} {
		if after, ok := stored(n + "_after"); ok {
			s.requireClose(t, after.Data, a, tolY, n)
		}
	}
}

// repeatAdd returns a + b with the channels of b repeated up to those of a.
func (s suite) repeatAdd(a, b nn.Array) (nn.Array, nn.Pullback, error) {
	repeated, back, err := s.RepeatChannels(b, a.Shape()[1])
	if err != nil {
		return nil, nil, err
	}
	y, pullback, err := s.Add(a, repeated)
	return y, func(g nn.Array, need []bool) ([]nn.Array, error) {
		grads, err := pullback(g, need)
		if err != nil || !need[1] {
			return grads, err
		}
		gb, err := back(grads[1], []bool{true})
		if err != nil {
			return nil, err
		}
		return []nn.Array{grads[0], gb[0]}, nil
	}, err
}
