package gomlx

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/core/tensors/images"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

var backend = func() backends.Backend {
	b, err := simplego.New("")
	if err != nil {
		panic(err)
	}
	return b
}()

// runner evaluates losses of package afl by GoMLX's pure-Go backend, for the test suite
// of package afl's own backends.
type runner struct {
	losstest.CPU // statistics of labels
	channels     images.ChannelsAxisConfig
	brief        bool
}

func (r runner) Name() string { return "GoMLX with " + r.channels.String() }

func (r runner) Traits() losstest.Traits {
	return losstest.Traits{
		Brief: r.brief,
		Float32: losstest.Accuracy{
			Value:    losstest.Tolerance{Relative: 2e-6, Absolute: 1e-7},
			Gradient: losstest.Tolerance{Relative: 5e-6, Largest: 1e-6},
		},
	}
}

// Eval implements [losstest.Runner].
func (r runner) Eval(t testing.TB, l afl.Loss, c losstest.Call) (value, grad *tensor.Dense, err error) {
	t.Helper()
	labels := []*tensor.Dense{c.Target}
	if c.VoxelWeight != nil {
		labels = append(labels, c.VoxelWeight)
	}
	shape := c.Logits.Shape()
	inputs := []any{r.fromDense(t, c.Logits, shape)}
	for _, d := range labels {
		inputs = append(inputs, r.fromDense(t, d, shape))
	}
	if c.Upstream != nil {
		inputs = append(inputs, r.fromDense(t, c.Upstream, shape))
	}
	exec, err := NewExec(backend, func(in []*Node) []*Node {
		v := Loss(l, r.channels)(in[1:1+len(labels)], in[:1])
		if !c.WantGrad {
			return []*Node{v}
		}
		objective := v
		if c.Upstream != nil {
			objective = Mul(v, ConvertDType(in[1+len(labels)], v.DType()))
		}
		return []*Node{v, Gradient(ReduceAllSum(objective), in[0])[0]}
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Exec(inputs...)
	if err != nil {
		return nil, nil, err
	}
	if c.WantGrad {
		grad = r.toDense(t, out[1], shape)
	}
	return r.toDense(t, out[0], shape), grad, nil
}

// moves reports whether a tensor has a channel axis that has to move: one of as many axes
// as the logits has, and groups of the whole batch, which have one less.
func (r runner) moves(rank int, logits tensor.Shape) bool {
	return r.channels == images.ChannelsLast && rank >= len(logits)-1 && rank > 2
}

func (r runner) fromDense(t testing.TB, d *tensor.Dense, logits tensor.Shape) *tensors.Tensor {
	t.Helper()
	shape := d.Shape()
	if r.moves(len(shape), logits) && !slices.Equal(shape, losstest.PerVoxel(logits)) {
		d, shape = moveAxis(t, d, len(shape)+1-len(logits), len(shape)-1)
	}
	return anyTensor(t, d.Data(), shape)
}

func (r runner) toDense(t testing.TB, x *tensors.Tensor, logits tensor.Shape) *tensor.Dense {
	t.Helper()
	d := denseOf(t, x)
	rank := len(d.Shape())
	if r.moves(rank, logits) && !slices.Equal(d.Shape(), losstest.PerVoxel(logits)) {
		d, _ = moveAxis(t, d, rank-1, rank+1-len(logits))
	}
	return d
}

func moveAxis(t testing.TB, d *tensor.Dense, from, to int) (*tensor.Dense, []int) {
	t.Helper()
	var order []int
	for a := range d.Shape() {
		if a != from {
			order = append(order, a)
		}
	}
	order = slices.Insert(order, to, from)
	moved, err := tensor.Transpose(d, order...)
	require.NoError(t, err)
	return moved.(*tensor.Dense), moved.Shape()
}

func anyTensor(t testing.TB, data any, dims []int) *tensors.Tensor {
	t.Helper()
	switch x := data.(type) {
	case []float64:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []float32:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []bool:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []uint8:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []int8:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []int16:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []uint16:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []int32:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []uint32:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []int64:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case []uint64:
		return tensors.FromFlatDataAndDimensions(x, dims...)
	case float64:
		return tensors.FromScalar(x)
	}
	require.Fail(t, "no tensor", "%T", data)
	return nil
}

func denseOf(t testing.TB, x *tensors.Tensor) *tensor.Dense {
	t.Helper()
	dims := slices.Clone(x.Shape().Dimensions)
	switch v := x.Value().(type) {
	case float32:
		return tensor.New(tensor.FromScalar(float64(v)))
	case float64:
		return tensor.New(tensor.FromScalar(v))
	}
	var backing any
	if x.DType().Size() == 4 {
		backing = tensors.MustCopyFlatData[float32](x)
	} else {
		backing = tensors.MustCopyFlatData[float64](x)
	}
	return tensor.New(tensor.WithShape(dims...), tensor.WithBacking(backing))
}

func shapesOf(dt dtypes.DType, dims []int) shapes.Shape { return shapes.Make(dt, dims...) }
