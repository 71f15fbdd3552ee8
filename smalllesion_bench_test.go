package afl_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// BenchmarkSmallLesionCalls measures the losses made for small lesions in calls of every kind,
// relative to the cross-entropy in a call of the same kind; see [reportTimes].
func BenchmarkSmallLesionCalls(b *testing.B) {
	symmetric := afl.NewUnifiedFocal()
	symmetric.Symmetric = true
	semimetric := afl.NewDice()
	semimetric.Semimetric = true
	softmax := afl.NewHausdorffDT()
	softmax.Activation = afl.Softmax
	tversky := afl.NewFocalTversky()
	tversky.Gamma = []float64{0.75}
	losses := []struct {
		name string
		loss afl.Loss
	}{
		{"unified-focal", afl.NewUnifiedFocal()},
		{"unified-focal-symmetric", symmetric},
		{"boundary", afl.NewBoundary()},
		{"hausdorff", afl.NewHausdorffDT()},
		{"hausdorff-softmax", softmax},
		{"log-hausdorff", afl.NewLogHausdorffDT()},
		{"lovasz", afl.NewLovaszSoftmax()},
		{"lovasz-hinge", afl.NewLovaszHinge()},
		{"topk-ce", afl.NewTopKCrossEntropy()},
		{"log-cosh-dice", afl.NewLogCoshDice()},
		{"exponential-log", afl.NewExponentialLogarithmic()},
		{"blob", afl.NewBlob(afl.NewDiceCE())},
		{"semimetric-dice", semimetric},
		{"focal-tversky", tversky},
	}
	type kind struct {
		name     string
		channels int // default 2
		batch    int // default 1
		flat     bool
		double   bool
		value    bool // no gradient
		weighted bool
		ignored  bool // one voxel of nine
		options  func(*afl.Options)
		target   func(classes []uint8, channels int) *tensor.Dense // nil: classes as uint8
	}
	for _, k := range []kind{
		{name: "plain"},
		{name: "value", value: true},
		{name: "C1", channels: 1},
		{name: "C3", channels: 3},
		{name: "C5", channels: 5},
		{name: "batch2", batch: 2},
		{name: "2-D", flat: true},
		{name: "float64", double: true},
		{name: "float64-C3", double: true, channels: 3},
		{name: "weighted", weighted: true},
		{name: "weighted-C3", weighted: true, channels: 3},
		{name: "ignore", ignored: true},
		{name: "ignore-C3", channels: 3, ignored: true},
		{name: "classes", options: func(o *afl.Options) { o.Weight = []float64{1, 3} }},
		{name: "no-background", channels: 3, options: func(o *afl.Options) { o.ExcludeBackground = true }},
		{name: "sum", options: func(o *afl.Options) { o.Reduction = afl.ReduceSum }},
		{name: "one-hot", target: oneHotOf},
		{name: "one-hot-C3", channels: 3, target: oneHotOf},
		{name: "soft", target: softOf},
		{name: "soft-C3", channels: 3, target: softOf},
	} {
		for _, l := range losses {
			b.Run(k.name+"/"+l.name, func(b *testing.B) {
				k := k
				if k.channels == 0 {
					k.channels = 2
				}
				own, ce := l.loss, afl.Loss(afl.NewCrossEntropy())
				if k.channels == 1 {
					ce = afl.NewBinaryCrossEntropy()
				}
				if k.ignored {
					k.options = func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }
				}
				if k.options != nil {
					var err error
					if own, err = afl.SetOptions(own, k.options); err != nil {
						b.Skip(err)
					}
					ce, err = afl.SetOptions(ce, k.options)
					require.NoError(b, err)
				}
				shape := tensor.Shape{max(k.batch, 1), k.channels, 160, 128, 24}
				if k.flat {
					shape = tensor.Shape{max(k.batch, 1), k.channels, 768, 640}
				}
				logits, target, weight := callOf(shape, k.double, k.ignored, k.target)
				var opts []afl.EvalOption
				if k.weighted {
					opts = append(opts, afl.WithVoxelWeight(weight))
				}
				var grad *tensor.Dense
				if !k.value {
					grad = tensor.New(tensor.Of(logits.Dtype()), tensor.WithShape(shape...))
				}
				call := func(l afl.Loss) error {
					_, err := l.Eval(logits, target, grad, opts...)
					return err
				}
				require.NoError(b, call(ce))
				if err := call(own); err != nil {
					b.Skip(err) // the loss does not take such calls
				}
				reportTimes(b, "CE", "loss", call, ce, own)
			})
		}
	}
}

// callOf makes normal logits of a shape N×C×…, classes in 50 cubes of 27 voxels or squares of 9,
// some of them 255 if ignored, a target made from them, and weights.
func callOf(shape tensor.Shape, double, ignored bool, made func(classes []uint8, channels int) *tensor.Dense) (logits, target, weight *tensor.Dense) {
	r := rand.New(rand.NewPCG(1, 2))
	channels, space := shape[1], append(tensor.Shape{}, shape[2:]...)
	voxels := space.TotalSize()
	classes := make([]uint8, shape[0]*voxels)
	rows, last := voxels/space[len(space)-1], space[len(space)-1]
	for lesion := range 50 {
		at := r.IntN(rows-3*rows/space[0])*last + r.IntN(last-3)
		for i := range 27 {
			plane := i / 9 * (rows / space[0])
			if len(space) == 2 {
				plane = 0
			}
			classes[at+(plane+i/3%3)*last+i%3] = uint8(1 + lesion%max(channels-1, 1))
		}
	}
	w := make([]float32, len(classes))
	for i := range w {
		w[i] = r.Float32()
	}
	if ignored {
		for i := range len(classes) / 9 {
			classes[9*i] = 255
		}
	}
	x := make([]float32, shape.TotalSize())
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	logits = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
	if double {
		wide := make([]float64, len(x))
		for i, v := range x {
			wide[i] = float64(v)
		}
		logits = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(wide))
	}
	labels := append(tensor.Shape{shape[0]}, space...)
	target = tensor.New(tensor.WithShape(labels...), tensor.WithBacking(classes))
	if made != nil {
		target = made(classes, channels)
		if err := target.Reshape(shape...); err != nil {
			panic(err)
		}
	}
	return logits, target, tensor.New(tensor.WithShape(labels...), tensor.WithBacking(w))
}

// oneHotOf is the target of one channel for each class, of one image.
func oneHotOf(classes []uint8, channels int) *tensor.Dense {
	t := make([]float32, channels*len(classes))
	for i, c := range classes {
		t[int(c)*len(classes)+i] = 1
	}
	return tensor.New(tensor.WithShape(len(t)), tensor.WithBacking(t))
}

// softOf is oneHotOf, smoothed.
func softOf(classes []uint8, channels int) *tensor.Dense {
	t := oneHotOf(classes, channels)
	for i, v := range t.Data().([]float32) {
		t.Data().([]float32)[i] = 0.9*v + 0.1/float32(channels)
	}
	return t
}
