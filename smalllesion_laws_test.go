package afl_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// smallVariant is a loss for small lesions with options, and the channels of its logits.
type smallVariant struct {
	name     string
	loss     afl.Loss
	channels int
	ignore   bool // it takes an ignore index
	weights  bool // it takes voxel weights
	maps     bool // it takes targets of maps
}

func smallVariants() []smallVariant {
	var all []smallVariant
	add := func(name string, l afl.Loss, channels int, takes string) {
		has := func(what string) bool { return slices.Contains([]rune(takes), []rune(what)[0]) }
		all = append(all, smallVariant{fmt.Sprintf("%s/C=%d", name, channels), l, channels, has("i"), has("w"), has("m")})
	}
	for _, symmetric := range []bool{false, true} {
		for _, gamma := range []float64{0, 0.6} {
			l := afl.NewUnifiedFocal()
			l.Symmetric, l.Gamma, l.Lambda, l.Delta, l.Smooth = symmetric, gamma, 0.3, 0.7, 1e-3
			name := fmt.Sprintf("unified-focal/symmetric=%v/gamma=%v", symmetric, gamma)
			add(name, l, 1, "iw")
			add(name, l, 2, "iw")
			l.Activation = afl.Sigmoid
			add(name+"/sigmoid", l, 2, "iw")
		}
	}
	for _, r := range []afl.Reduction{afl.ReduceMean, afl.ReduceSum, afl.ReduceNone} {
		for _, a := range []afl.Activation{afl.Softmax, afl.Sigmoid} {
			b := afl.NewBoundary()
			b.Reduction, b.Activation, b.Spacing, b.InsideOffset = r, a, []float64{0.7, 1.3, 2}, 0.5
			name := fmt.Sprintf("boundary/%v/%v", r, a)
			add(name, b, 1, "w")
			b.Channels = []int{2, 0}
			add(name+"/channels", b, 3, "w")
			h := afl.NewHausdorffDT()
			h.Reduction, h.Activation, h.Spacing, h.Alpha = r, a, []float64{0.7, 1.3, 2}, 1.4
			h.Batch, h.Log = r == afl.ReduceSum, a == afl.Softmax
			name = fmt.Sprintf("hausdorff/%v/%v", r, a)
			if a == afl.Sigmoid {
				add(name, h, 1, "wm")
			}
			add(name, h, 3, "wm")
		}
	}
	for _, perImage := range []bool{false, true} {
		l := afl.NewLovaszSoftmax()
		l.PerImage = perImage
		add(fmt.Sprintf("lovasz/per-image=%v", perImage), l, 2, "i")
		add(fmt.Sprintf("lovasz/per-image=%v", perImage), l, 1, "i")
		l.AllClasses = true
		add(fmt.Sprintf("lovasz/per-image=%v/all", perImage), l, 4, "i")
		l.AllClasses, l.Channels = false, []int{2}
		add(fmt.Sprintf("lovasz/per-image=%v/channel", perImage), l, 3, "i")
		h := afl.NewLovaszHinge()
		h.PerImage = perImage
		add(fmt.Sprintf("lovasz-hinge/per-image=%v", perImage), h, 1, "i")
	}
	topk := afl.NewTopKCrossEntropy()
	topk.K = 30
	add("topk", topk, 2, "iw")
	topk.Weight, topk.LabelSmoothing, topk.ValidOnly = []float64{0.3, 1, 2}, 0.1, true
	add("topk/weights", topk, 3, "iw")
	for _, batch := range []bool{false, true} {
		l := afl.NewExponentialLogarithmic()
		l.Batch, l.GammaDice, l.GammaCE = batch, 0.6, 1.4
		add(fmt.Sprintf("exponential-log/batch=%v", batch), l, 1, "iw")
		l.Weight, l.ExcludeBackground = []float64{0.5, 1, 3}, batch
		add(fmt.Sprintf("exponential-log/batch=%v", batch), l, 3, "iw")
		l.Activation = afl.Sigmoid
		add(fmt.Sprintf("exponential-log/batch=%v/sigmoid", batch), l, 3, "iw")
	}
	dice, squared, tversky := afl.NewDice(), afl.NewDice(), afl.NewFocalTversky()
	dice.SquaredPred = false
	focal := afl.NewFocal()
	for _, mask := range []afl.BlobMask{afl.BlobExclude, afl.BlobProbabilities, afl.BlobLogits} {
		for _, inner := range []afl.Loss{
			afl.NewCompound(afl.NewBinaryCrossEntropy(), dice),
			afl.NewSum(afl.Term{Weight: 0.4, Loss: squared}, afl.Term{Weight: 2, Loss: focal}, afl.Term{Weight: 0.1, Loss: tversky}),
		} {
			l := afl.NewBlob(inner)
			l.Mask, l.Alpha, l.Beta = mask, 0.7, 1.3
			add(fmt.Sprintf("blob/%v/%T", mask, inner), l, 1, "iw")
			add(fmt.Sprintf("blob/%v/%T", mask, inner), l, 3, "iw")
		}
	}
	for _, r := range []afl.Reduction{afl.ReduceMean, afl.ReduceSum, afl.ReduceNone} {
		for _, jaccard := range []bool{false, true} {
			l := afl.NewDice()
			l.Reduction, l.SquaredPred, l.Jaccard, l.Semimetric, l.Activation, l.Batch = r, false, jaccard, true, afl.Softmax, r == afl.ReduceSum
			add(fmt.Sprintf("dice/semimetric/%v/jaccard=%v", r, jaccard), l, 3, "wm")
			c := afl.NewLogCoshDice()
			c.Dice = l
			c.Activation = afl.Sigmoid
			add(fmt.Sprintf("log-cosh-dice/semimetric/%v/jaccard=%v", r, jaccard), c, 1, "wm")
		}
		l := afl.NewFocalTversky()
		l.Reduction, l.Semimetric, l.Gamma = r, true, []float64{0.75}
		add(fmt.Sprintf("focal-tversky/semimetric/%v", r), l, 2, "wm")
	}
	return all
}

// smallShape has two samples, and more than one tile and one chunk of each.
func smallShape(channels int) []int { return []int{2, channels, 5, 7, 19} }

// smallTarget returns blobs of every class, some of them ignored where asked, or maps.
func smallTarget(v smallVariant, ignored, maps bool) *tensor.Dense {
	shape := smallShape(v.channels)
	space := 5 * 7 * 19
	r := rand.New(rand.NewPCG(5, 6))
	if maps {
		return losstest.Floats(tensor.Float32, shape, func(int) float64 { return math.Round(r.Float64()*64) / 64 })
	}
	classes := max(v.channels, 2)
	label := make([]uint8, shape[0]*space)
	for n := range shape[0] {
		for range 6 {
			z, y, x, class := r.IntN(5), r.IntN(7), r.IntN(19), 1+r.IntN(classes-1)
			for dz := range 2 {
				for dx := range 3 {
					label[n*space+min(z+dz, 4)*7*19+y*19+min(x+dx, 18)] = uint8(class)
				}
			}
		}
		if ignored {
			for range 40 {
				label[n*space+r.IntN(space)] = 255
			}
		}
	}
	return tensor.New(tensor.WithShape(2, 5, 7, 19), tensor.WithBacking(label))
}

// evalSmall evaluates a loss with a gradient in memory that holds NaN.
func evalSmall(t *testing.T, what string, l afl.Loss, logits, target *tensor.Dense, opts ...afl.EvalOption) (value, grad *tensor.Dense) {
	t.Helper()
	grad = losstest.NaNs(logits.Dtype(), logits.Shape()...)
	value, err := l.Eval(logits, target, grad, opts...)
	require.NoError(t, err, what)
	return value, grad
}

// weighted returns Σ upstream·value of an un-reduced loss, or the value.
func weighted(t *testing.T, value, upstream *tensor.Dense) float64 {
	sum := 0.0
	u := []float64{1}
	if upstream != nil {
		u = losstest.Numbers(t, upstream)
	}
	for i, v := range losstest.Numbers(t, value) {
		sum += v * u[i]
	}
	return sum
}

// TestSmallLesionGradients checks gradients by central differences, with voxel weights, an
// ignore index and an upstream gradient where the loss takes them.
func TestSmallLesionGradients(t *testing.T) {
	points := 24
	if testing.Short() {
		points = 8
	}
	for _, v := range smallVariants() {
		shape := smallShape(v.channels)
		r := rand.New(rand.NewPCG(1, 2))
		logits := losstest.Floats(tensor.Float64, shape, func(int) float64 {
			x := 2 * r.NormFloat64()
			if math.Abs(x) < 0.05 { // the mask of the Hausdorff loss does not change
				x = 0.3
			}
			return x
		})
		l := v.loss
		if v.ignore {
			var err error
			l, err = afl.SetOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
			require.NoError(t, err)
		}
		target := smallTarget(v, v.ignore, v.maps)
		var opts []afl.EvalOption
		if v.weights {
			opts = append(opts, afl.WithVoxelWeight(losstest.Floats(tensor.Float32, []int{2, 5, 7, 19}, func(int) float64 { return float64(r.IntN(4)) })))
		}
		value, _ := evalSmall(t, v.name, l, logits, target, opts...)
		var upstream *tensor.Dense
		if value.Dims() > 0 {
			upstream = losstest.Floats(tensor.Float64, value.Shape(), func(int) float64 { return r.NormFloat64() })
			opts = append(opts, afl.WithUpstream(upstream))
		}
		_, grad := evalSmall(t, v.name, l, logits, target, opts...)
		g := losstest.Numbers(t, grad)
		largest := 0.0
		for _, x := range g {
			largest = max(largest, math.Abs(x))
		}
		require.NotZero(t, largest, v.name)
		x := logits.Data().([]float64)
		smooth := 0
		for range points {
			i := r.IntN(len(x))
			const h = 1e-6
			at := func(d float64) float64 {
				was := x[i]
				x[i] += d
				defer func() { x[i] = was }()
				value, err := l.Eval(logits, target, nil, opts...)
				require.NoError(t, err)
				return weighted(t, value, upstream)
			}
			// Around a threshold of a step, a tie, both sides differ.
			left, right := (at(0)-at(-h))/h, (at(h)-at(0))/h
			if math.Abs(left-right) > 1e-5*largest+1e-8 {
				continue
			}
			smooth++
			require.InDelta(t, (left+right)/2, g[i], 1e-4*largest+1e-8, "%s, logit %d", v.name, i)
		}
		require.Greater(t, smooth, points*10/24, v.name)
	}
}

// TestSmallLesionHostile: values and gradients are finite for any finite logits, and for
// labels without lesions or without background; a NaN logit makes the value NaN; the bits
// are the same for any number of threads.
func TestSmallLesionHostile(t *testing.T) {
	hostile := []float64{0, math.Copysign(0, -1), 1e-45, 1e-30, 1, -17, 40, 88.8, -104, 1e4, -1e4, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32}
	for _, v := range smallVariants() {
		shape := smallShape(v.channels)
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			r := rand.New(rand.NewPCG(3, 4))
			logits := losstest.Floats(dt, shape, func(int) float64 { return hostile[r.IntN(len(hostile))] })
			targets := []*tensor.Dense{
				smallTarget(v, false, false),
				losstest.Bytes([]int{2, 5, 7, 19}, func(int) uint8 { return 0 }),
				losstest.Bytes([]int{2, 5, 7, 19}, func(int) uint8 { return uint8(max(v.channels, 2) - 1) }),
			}
			if v.maps {
				targets = append(targets, smallTarget(v, false, true))
			}
			for i, target := range targets {
				what := fmt.Sprintf("%s, %v, target %d", v.name, dt, i)
				value, grad := evalSmall(t, what, v.loss, logits, target)
				for _, n := range slices.Concat(losstest.Numbers(t, value), losstest.Numbers(t, grad)) {
					require.False(t, math.IsNaN(n) || math.IsInf(n, 0), what)
				}
				was := runtime.GOMAXPROCS(1)
				alone, aloneGrad := evalSmall(t, what, v.loss, logits, target)
				runtime.GOMAXPROCS(was)
				require.Equal(t, value.Data(), alone.Data(), what)
				require.Equal(t, grad.Data(), aloneGrad.Data(), what)
			}
			nan := losstest.RandomLogits(dt, shape, 1)
			at := (v.channels-1)*5*7*19 + 300 // the last channel of the first sample
			if dt == tensor.Float32 {
				nan.Data().([]float32)[at] = float32(math.NaN())
			} else {
				nan.Data().([]float64)[at] = math.NaN()
			}
			value, grad := evalSmall(t, v.name, v.loss, nan, targets[0])
			assert.True(t, slices.ContainsFunc(losstest.Numbers(t, value), math.IsNaN), "%s, %v: the value", v.name, dt)
			assert.True(t, slices.ContainsFunc(losstest.Numbers(t, grad), math.IsNaN), "%s, %v: the gradient", v.name, dt)
		}
	}
}

// TestSmallLesionLaws checks what follows from the definitions.
func TestSmallLesionLaws(t *testing.T) {
	equal := func(what string, a, b afl.Loss, logits, target *tensor.Dense, factor float64) {
		t.Helper()
		va, ga := evalSmall(t, what, a, logits, target)
		vb, gb := evalSmall(t, what, b, logits, target)
		tol := losstest.Tolerance{Relative: 1e-11, Absolute: 1e-14, Largest: 1e-12}
		scaled := func(x []float64) []float64 {
			out := make([]float64, len(x))
			for i := range x {
				out[i] = factor * x[i]
			}
			return out
		}
		losstest.Near(t, what+": value", scaled(losstest.Numbers(t, va)), losstest.Numbers(t, vb), tol)
		losstest.Near(t, what+": gradient", scaled(losstest.Numbers(t, ga)), losstest.Numbers(t, gb), tol)
	}
	two := smallVariant{channels: 2}
	logits, target := losstest.RandomLogits(tensor.Float64, smallShape(2), 1), smallTarget(two, false, false)
	hot := losstest.OneHot(tensor.Float32, target, smallShape(2))

	// Of hard targets the semimetric form is the ordinary one.
	for _, jaccard := range []bool{false, true} {
		ordinary := afl.NewDice()
		ordinary.SquaredPred, ordinary.Jaccard = false, jaccard
		semimetric := ordinary
		semimetric.Semimetric = true
		equal("semimetric Dice", ordinary, semimetric, logits, hot, 1)
	}
	ordinary := afl.NewTversky()
	semimetric := ordinary
	semimetric.Semimetric = true
	equal("semimetric Tversky", ordinary, semimetric, logits, hot, 1)

	// Of one lesion nothing is masked.
	lesion := losstest.Bytes([]int{2, 5, 7, 19}, func(i int) uint8 {
		if x := i % 19; x > 4 && x < 9 {
			return 1
		}
		return 0
	})
	single := losstest.RandomLogits(tensor.Float64, smallShape(1), 2)
	dice := afl.NewDice()
	inner := afl.NewCompound(afl.NewBinaryCrossEntropy(), dice)
	for _, mask := range []afl.BlobMask{afl.BlobExclude, afl.BlobProbabilities, afl.BlobLogits} {
		blob := afl.NewBlob(inner)
		blob.Mask, blob.Alpha, blob.Beta = mask, 0.25, 0.5
		equal("blob of one lesion", inner, blob, single, lesion, 0.75)
	}
	// By definition: a lesion's loss is that of its image with the others ignored.
	label := slices.Clone(smallTarget(two, false, false).Data().([]uint8)[:5*7*19])
	one := losstest.RandomLogits(tensor.Float64, []int{1, 1, 5, 7, 19}, 3)
	image := tensor.New(tensor.WithShape(5, 7, 19), tensor.WithBacking(label))
	components, count, err := afl.Components(image, afl.Connectivity26)
	require.NoError(t, err)
	require.Greater(t, count, 2)
	want := 0.0
	for i := 1; i <= count; i++ {
		only := losstest.Bytes([]int{1, 5, 7, 19}, func(at int) uint8 {
			switch components.Data().([]int32)[at] {
			case 0:
				return 0
			case int32(i):
				return 1
			}
			return 255
		})
		ignoring, err := afl.SetOptions(inner, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
		require.NoError(t, err)
		v, err := afl.Value(ignoring, one, only)
		require.NoError(t, err)
		want += v / float64(count)
	}
	blob := afl.NewBlob(inner)
	blob.Alpha = 0
	got, err := afl.Value(blob, one, tensor.New(tensor.WithShape(1, 5, 7, 19), tensor.WithBacking(label)))
	require.NoError(t, err)
	assert.InEpsilon(t, want, got, 1e-12)
	// Of several channels it is the mean over those but the background.
	three := smallVariant{channels: 3}
	several, classes := losstest.RandomLogits(tensor.Float64, smallShape(3), 4), smallTarget(three, false, false)
	want = 0
	for class := range 2 {
		channel := losstest.Floats(tensor.Float64, smallShape(1), func(i int) float64 {
			return several.Data().([]float64)[(i/(5*7*19)*3+1+class)*5*7*19+i%(5*7*19)]
		})
		mask := losstest.Bytes([]int{2, 5, 7, 19}, func(i int) uint8 {
			if int(classes.Data().([]uint8)[i]) == class+1 {
				return 1
			}
			return 0
		})
		v, err := afl.Value(afl.NewBlob(inner), channel, mask)
		require.NoError(t, err)
		want += v / 2
	}
	got, err = afl.Value(afl.NewBlob(inner), several, classes)
	require.NoError(t, err)
	assert.InEpsilon(t, want, got, 1e-12)

	// A spacing scales the distances.
	near, far := afl.NewBoundary(), afl.NewBoundary()
	near.Spacing, far.Spacing = []float64{1, 2, 0.5}, []float64{3, 6, 1.5}
	near.InsideOffset, far.InsideOffset = 0.5, 1.5
	equal("boundary", near, far, logits, target, 3)
	close, wide := afl.NewHausdorffDT(), afl.NewHausdorffDT()
	close.Spacing, wide.Spacing = near.Spacing, far.Spacing
	equal("Hausdorff", close, wide, logits, target, 9)
	// Several classes are the mean over them.
	both, first, second := afl.NewBoundary(), afl.NewBoundary(), afl.NewBoundary()
	both.Channels, first.Channels, second.Channels = []int{1, 2}, []int{1}, []int{2}
	equal("boundary of two classes", both, afl.NewSum(afl.Term{Weight: 0.5, Loss: first}, afl.Term{Weight: 0.5, Loss: second}), several, classes, 1)
	// A map that is passed in is the one that is made.
	for _, l := range []interface {
		afl.Loss
		DistanceMap(logits, target *tensor.Dense) (*tensor.Dense, error)
	}{near, close} {
		m, err := l.DistanceMap(logits, target)
		require.NoError(t, err)
		v, g := evalSmall(t, "map", l, logits, target)
		passed, passedGrad := evalSmall(t, "map", l, logits, target, afl.WithDistanceMap(m))
		tol := losstest.Tolerance{Relative: 1e-14}
		losstest.Near(t, "value by the map", losstest.Numbers(t, v), losstest.Numbers(t, passed), tol)
		losstest.Near(t, "gradient by the map", losstest.Numbers(t, g), losstest.Numbers(t, passedGrad), tol)
	}

	// All of the voxels are the cross-entropy.
	topk := afl.NewTopKCrossEntropy()
	topk.K = 100
	equal("top 100 %", afl.NewCrossEntropy(), topk, logits, target, 1)
	// The focal Tversky loss has the same value from errors as from agreement.
	steep := afl.NewFocalTversky()
	steep.Gamma = []float64{0.75}
	steep.SmoothNr, steep.SmoothDr = 0, 0
	confident := losstest.Floats(tensor.Float64, smallShape(2), func(i int) float64 {
		n, c, at := i/(2*5*7*19), i/(5*7*19)%2, i%(5*7*19)
		if int(target.Data().([]uint8)[n*5*7*19+at]) == c {
			return 7.7
		}
		return -7.7
	})
	value, err := afl.Value(steep, confident, target)
	require.NoError(t, err)
	p := 1 / (1 + math.Exp(-7.7)) // of every voxel, so that a group's f is a function of its volume
	want = 0
	for n := range 2 {
		for c := range 2 {
			volume := 0.0
			for _, y := range target.Data().([]uint8)[n*5*7*19:][:5*7*19] {
				if int(y) == c {
					volume++
				}
			}
			q, rest := 1-p, 5*7*19-volume
			wrong := 0.3*rest*q + 0.7*volume*q
			want += math.Pow(wrong/(volume*p+wrong), 0.75) / 4
		}
	}
	assert.InEpsilon(t, want, value, 1e-12)
}

// TestSmallLesionIgnored: what lies in ignored voxels makes no difference, and where they
// fill the last planes the loss is that of the image without these.
func TestSmallLesionIgnored(t *testing.T) {
	for _, v := range smallVariants() {
		if !v.ignore {
			continue
		}
		l, err := afl.SetOptions(v.loss, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
		require.NoError(t, err)
		if topk, ok := l.(afl.TopKCrossEntropy); ok {
			topk.ValidOnly = true
			l = topk
		}
		shape, plane := smallShape(v.channels), 7*19
		x := losstest.Numbers(t, losstest.RandomLogits(tensor.Float64, shape, 1))
		logits := losstest.Floats(tensor.Float64, shape, func(i int) float64 {
			if i/plane%5 > 2 {
				return math.NaN()
			}
			return x[i]
		})
		y := smallTarget(v, false, false).Data().([]uint8)
		target := losstest.Bytes([]int{2, 5, 7, 19}, func(i int) uint8 {
			if i/plane%5 > 2 {
				return 255
			}
			return y[i]
		})
		cropped := func(at int) int { return at/(3*plane)*5*plane + at%(3*plane) }
		few := losstest.Floats(tensor.Float64, []int{2, v.channels, 3, 7, 19}, func(i int) float64 { return x[cropped(i)] })
		fewer := losstest.Bytes([]int{2, 3, 7, 19}, func(i int) uint8 { return y[cropped(i)] })
		value, grad := evalSmall(t, v.name, l, logits, target)
		want, wantGrad := evalSmall(t, v.name, l, few, fewer)
		tol := losstest.Tolerance{Relative: 1e-11, Absolute: 1e-14, Largest: 1e-12}
		losstest.Near(t, v.name, losstest.Numbers(t, want), losstest.Numbers(t, value), tol)
		g := losstest.Numbers(t, grad)
		for i, w := range losstest.Numbers(t, wantGrad) {
			require.InDelta(t, w, g[cropped(i)], 1e-12, v.name)
		}
		for i := range g {
			if i/plane%5 > 2 {
				require.Zero(t, g[i], v.name)
			}
		}
	}
}
