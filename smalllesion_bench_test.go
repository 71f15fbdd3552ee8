package afl_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
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
	// What calls a loss takes: of 1, 2, or 3 and more channels, with an ignore index, voxel weights,
	// class weights, without the background, as a sum, and soft maps.
	losses := []struct {
		name, takes string
		loss        afl.Loss
	}{
		{"unified-focal", "12iw", afl.NewUnifiedFocal()},
		{"unified-focal-symmetric", "12iw", symmetric},
		{"boundary", "123ws", afl.NewBoundary()},
		{"hausdorff", "123wbsm", afl.NewHausdorffDT()},
		{"hausdorff-softmax", "23wbsm", softmax},
		{"log-hausdorff", "123wbsm", afl.NewLogHausdorffDT()},
		{"lovasz", "123i", afl.NewLovaszSoftmax()},
		{"lovasz-hinge", "1i", afl.NewLovaszHinge()},
		{"topk-ce", "23iwcb", afl.NewTopKCrossEntropy()},
		{"log-cosh-dice", "123iwcbsm", afl.NewLogCoshDice()},
		{"exponential-log", "123iwcb", afl.NewExponentialLogarithmic()},
		{"blob", "123iw", afl.NewBlob(afl.NewDiceCE())},
		{"semimetric-dice", "123iwcbsm", semimetric},
		{"focal-tversky", "123iwcbsm", tversky},
	}
	for _, k := range []struct {
		name, needs string
		channels    int // 0: 2
		batch       int // 0: 1
		flat        bool
		dt          tensor.Dtype // of the logits; none: float32
		value       bool         // no gradient
		options     func(*afl.Options)
		target      func(classes *tensor.Dense, shape []int) *tensor.Dense // nil: class indices
	}{
		{name: "plain"},
		{name: "value", value: true},
		{name: "C1", channels: 1},
		{name: "C3", channels: 3},
		{name: "C5", channels: 5},
		{name: "batch2", batch: 2},
		{name: "2-D", flat: true},
		{name: "float64", dt: tensor.Float64},
		{name: "float64-C3", dt: tensor.Float64, channels: 3},
		{name: "weighted", needs: "w"},
		{name: "weighted-C3", needs: "w", channels: 3},
		{name: "ignore", needs: "i", options: func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }},
		{name: "ignore-C3", needs: "i", channels: 3, options: func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }},
		{name: "classes", needs: "c", options: func(o *afl.Options) { o.Weight = []float64{1, 3} }},
		{name: "no-background", needs: "b", channels: 3, options: func(o *afl.Options) { o.ExcludeBackground = true }},
		{name: "sum", needs: "s", options: func(o *afl.Options) { o.Reduction = afl.ReduceSum }},
		{name: "one-hot", target: oneHotOf},
		{name: "one-hot-C3", channels: 3, target: oneHotOf},
		{name: "soft", needs: "m", target: softOf},
		{name: "soft-C3", needs: "m", channels: 3, target: softOf},
	} {
		k.batch = max(k.batch, 1)
		if k.channels == 0 {
			k.channels = 2
		}
		if k.dt == (tensor.Dtype{}) {
			k.dt = tensor.Float32
		}
		k.needs += strconv.Itoa(min(k.channels, 3))
		shape := []int{k.batch, k.channels, 160, 128, 24}
		if k.flat {
			shape = []int{k.batch, k.channels, 768, 640}
		}
		for _, l := range losses {
			lacks := func(need rune) bool { return !strings.ContainsRune(l.takes, need) }
			if strings.ContainsFunc(k.needs, lacks) {
				continue
			}
			b.Run(k.name+"/"+l.name, func(b *testing.B) {
				own, ce := l.loss, afl.Loss(afl.NewCrossEntropy())
				if k.channels == 1 {
					ce = afl.NewBinaryCrossEntropy()
				}
				for _, loss := range []*afl.Loss{&own, &ce} {
					if k.options != nil {
						var err error
						*loss, err = afl.SetOptions(*loss, k.options)
						require.NoError(b, err)
					}
				}
				r := rand.New(rand.NewPCG(1, 2))
				logits := losstest.Floats(k.dt, shape, func(int) float64 { return r.NormFloat64() })
				target := lesionsOf(shape, strings.Contains(k.needs, "i"))
				if k.target != nil {
					target = k.target(target, shape)
				}
				var opts []afl.EvalOption
				if strings.Contains(k.needs, "w") {
					opts = append(opts, afl.WithVoxelWeight(losstest.Floats(tensor.Float32, losstest.PerVoxel(shape), func(int) float64 { return r.Float64() })))
				}
				var grad *tensor.Dense
				if !k.value {
					grad = tensor.New(tensor.Of(k.dt), tensor.WithShape(shape...))
				}
				reportTimes(b, "CE", "loss", func(l afl.Loss) error {
					_, err := l.Eval(logits, target, grad, opts...)
					return err
				}, ce, own)
			})
		}
	}
}

// lesionsOf returns classes for logits of a shape: 50 cubes of 27 voxels, or squares of 9, of each
// class in turn. One voxel of nine is 255, if some are ignored.
func lesionsOf(shape []int, ignored bool) *tensor.Dense {
	r := rand.New(rand.NewPCG(3, 4))
	row, plane := shape[len(shape)-1], 0
	if len(shape) == 5 {
		plane = shape[3] * row
	}
	perVoxel := tensor.Shape(losstest.PerVoxel(shape))
	voxels := perVoxel.TotalSize()
	classes := make([]uint8, voxels)
	for lesion := range 50 {
		at := r.IntN((voxels-3*plane)/row-3)*row + r.IntN(row-3)
		for i := range 27 {
			classes[at+i/9*plane+i/3%3*row+i%3] = uint8(1 + lesion%max(shape[1]-1, 1))
		}
	}
	for i := 0; ignored && i < voxels; i += 9 {
		classes[i] = 255
	}
	return tensor.New(tensor.WithShape(perVoxel...), tensor.WithBacking(classes))
}

func oneHotOf(classes *tensor.Dense, shape []int) *tensor.Dense {
	return losstest.OneHot(tensor.Float32, classes, shape)
}

// softOf returns one-hot maps, smoothed.
func softOf(classes *tensor.Dense, shape []int) *tensor.Dense {
	t := oneHotOf(classes, shape)
	x := t.Data().([]float32)
	for i, v := range x {
		x[i] = 0.9*v + 0.1/float32(shape[1])
	}
	return t
}
