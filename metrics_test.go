package afl

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/golden"
)

// metricCase is one entry of the golden index with its tensors.
type metricCase struct {
	Name, File, Kind string
	Options          map[string]any
	Expected         map[string]any
	tensors          map[string]golden.Tensor
}

// metricCases reads the golden cases of a kind: however many the full set has, or those
// of the committed subset.
func metricCases(t *testing.T, kind string) []metricCase {
	t.Helper()
	dir, full, err := golden.Dir("losses")
	require.NoError(t, err)
	if !full {
		t.Log("the full golden set is not beside the repository: running the committed subset")
	}
	var cases []metricCase
	for _, c := range metricIndex(t, dir) {
		if c.Kind != kind {
			continue
		}
		file, err := golden.Read(filepath.Join(dir, c.File))
		require.NoError(t, err)
		c.tensors = file.Tensors
		cases = append(cases, c)
	}
	require.NotEmpty(t, cases, "cases of kind %s", kind)
	t.Logf("%s: %d golden cases", kind, len(cases))
	return cases
}

// metricIndex reads the index of a folder of golden cases.
func metricIndex(t *testing.T, dir string) []metricCase {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index struct{ Cases []metricCase }
	require.NoError(t, json.Unmarshal(text, &index))
	return index.Cases
}

// number returns a number that JSON may have as a string.
func number(t *testing.T, v any) float64 {
	t.Helper()
	switch v := v.(type) {
	case float64:
		return v
	case string:
		f, err := strconv.ParseFloat(v, 64)
		require.NoError(t, err)
		return f
	}
	require.Failf(t, "not a number", "%T %v", v, v)
	return 0
}

const metricTolerance = 1e-12

// requireNumber compares numbers with a relative tolerance; NaN equals NaN.
func requireNumber(t *testing.T, want, got float64, context ...any) {
	t.Helper()
	if math.IsNaN(want) || math.IsInf(want, 0) || want == 0 {
		require.True(t, want == got || (math.IsNaN(want) && math.IsNaN(got)), "got %v, want %v: %v", got, want, context)
		return
	}
	require.LessOrEqual(t, math.Abs(got-want), metricTolerance*math.Abs(want), "got %v, want %v: %v", got, want, context)
}

// goldenBytes makes a uint8 tensor of golden values.
func goldenBytes(g golden.Tensor) *tensor.Dense {
	return tensor.New(tensor.WithShape(g.Shape...), tensor.WithBacking(g.Uint8()))
}

// bytesTensor makes a uint8 tensor.
func bytesTensor(data []uint8, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(data)))
}

// randomMask makes a tensor of zeros and ones.
func randomMask(rng *rand.Rand, density float64, shape ...int) *tensor.Dense {
	n := 1
	for _, s := range shape {
		n *= s
	}
	data := make([]uint8, n)
	for i := range data {
		if rng.Float64() < density {
			data[i] = 1
		}
	}
	return bytesTensor(data, shape...)
}

// withProcs runs f with several values of GOMAXPROCS.
func withProcs(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, procs := range []int{1, 2, 3, 7} {
		runtime.GOMAXPROCS(procs)
		f(t)
	}
}

// requireRefused checks that an error names the argument that was refused.
func requireRefused(t *testing.T, err error, argument string) {
	t.Helper()
	require.Error(t, err)
	var refused *ArgumentError
	require.ErrorAs(t, err, &refused)
	assert.Contains(t, refused.Argument, argument)
	assert.NotEmpty(t, refused.Got)
	assert.NotEmpty(t, refused.Want)
}

var hardMetrics = map[string]func(Confusion) float64{
	"dice": Confusion.Dice, "dice_empty_ok": Confusion.DiceEmptyOK,
	"iou": Confusion.IoU, "iou_empty_ok": Confusion.IoUEmptyOK,
	"sensitivity": Confusion.Sensitivity, "specificity": Confusion.Specificity, "precision": Confusion.Precision,
}

var goldenRules = map[string]PredictionRule{
	"argmax": Argmax, "sigmoid_channel1": SigmoidChannel1,
	"sigmoid_single": SigmoidPerChannel, "sigmoid_per_channel": SigmoidPerChannel,
}

func TestGoldenHardMetrics(t *testing.T) {
	for _, c := range metricCases(t, "hard_metric") {
		t.Run(c.Name, func(t *testing.T) {
			rule, ok := goldenRules[c.Options["prediction_rule"].(string)]
			require.True(t, ok)
			g := c.tensors["logits"]
			target := goldenBytes(c.tensors["target"])
			logits := map[string]*tensor.Dense{
				"float64": tensor.New(tensor.WithShape(g.Shape...), tensor.WithBacking(slices.Clone(g.Data))),
				"float32": tensor.New(tensor.WithShape(g.Shape...), tensor.WithBacking(g.Float32())),
			}
			for name, x := range logits {
				counts, err := CountLogits(rule, x, target, IgnoreIndex{})
				require.NoError(t, err)
				checkConfusions(t, c, counts, name)
			}

			// The same masks, one by one.
			p, r := c.tensors["prediction"], c.tensors["reference"]
			voxels := 1
			for _, s := range p.Shape[2:] {
				voxels *= s
			}
			counts := make(Confusions, p.Shape[0])
			for n := range counts {
				for k := range p.Shape[1] {
					at := (n*p.Shape[1] + k) * voxels
					cc, err := CountMasks(bytesTensor(p.Uint8()[at:at+voxels], p.Shape[2:]...), bytesTensor(r.Uint8()[at:at+voxels], p.Shape[2:]...))
					require.NoError(t, err)
					counts[n] = append(counts[n], cc)
				}
			}
			checkConfusions(t, c, counts, "masks")

			// The predictions themselves.
			got, err := Predict(rule, logits["float32"])
			require.NoError(t, err)
			want := p.Uint8()
			if rule == Argmax {
				for n := range p.Shape[0] {
					for k := range p.Shape[1] {
						labels := got.Data().([]uint8)[n*voxels : (n+1)*voxels]
						for i, l := range labels {
							require.Equal(t, want[(n*p.Shape[1]+k)*voxels+i] == 1, int(l) == k, "sample %d class %d voxel %d", n, k, i)
						}
					}
				}
				labels, err := CountLabels(p.Shape[1], got, target, IgnoreIndex{})
				require.NoError(t, err)
				checkConfusions(t, c, labels, "labels")
			} else {
				require.Equal(t, want, got.Data())
			}
		})
	}
}

func checkConfusions(t *testing.T, c metricCase, counts Confusions, source string) {
	t.Helper()
	expected := c.Expected["confusion"].([]any)
	require.Len(t, counts, len(expected))
	for n, classes := range counts {
		require.Len(t, classes, len(expected[n].([]any)))
		for k, got := range classes {
			w := expected[n].([]any)[k].([]any)
			require.Equal(t, Confusion{TP: int64(number(t, w[0])), FP: int64(number(t, w[1])), TN: int64(number(t, w[2])), FN: int64(number(t, w[3]))}, got, "%s: sample %d class %d", source, n, k)
			for name, metric := range hardMetrics {
				requireNumber(t, number(t, c.Expected[name].([]any)[n].([]any)[k]), metric(got), name, n, k)
			}
		}
	}
	for name, metric := range hardMetrics {
		checkMean(t, number(t, c.Expected["mean_reduced"].(map[string]any)[name]), counts.Values(metric), "mean", name)
		if foreground, ok := c.Expected["mean_reduced_foreground"].(map[string]any); ok {
			checkMean(t, number(t, foreground[name]), counts.Foreground().Values(metric), "foreground mean", name)
		}
	}
}

// checkMean compares both means with a golden one, which is MONAI's.
func checkMean(t *testing.T, want float64, values [][]float64, context ...any) {
	t.Helper()
	requireNumber(t, want, MONAIMean(values), context...)
	isNumber := func(v float64) bool { return !math.IsNaN(v) }
	if slices.ContainsFunc(slices.Concat(values...), isNumber) {
		requireNumber(t, want, MeanIgnoringNaN(values), context...)
	} else {
		require.True(t, math.IsNaN(MeanIgnoringNaN(values)), context...)
	}
}

// countByDefinition counts voxel by voxel in plain loops.
func countByDefinition(rule PredictionRule, logits []float64, target []int, ignored int, samples, channels, voxels int) Confusions {
	classes := channels
	if rule == SigmoidChannel1 {
		classes = 1
	}
	out := make(Confusions, samples)
	for n := range out {
		out[n] = make([]Confusion, classes)
		for v := range voxels {
			y := target[n*voxels+v]
			if y == ignored {
				continue
			}
			at := func(c int) float64 { return logits[(n*channels+c)*voxels+v] }
			for k := range classes {
				var p, r bool
				switch rule {
				case Argmax:
					best := 0
					for c := range channels {
						if at(c) > at(best) {
							best = c
						}
					}
					p, r = best == k, y == k
				case SigmoidChannel1:
					p, r = at(1) > 0, y == 1
				default:
					p, r = at(k) > 0, y == k
					if channels == 1 {
						r = y == 1
					}
				}
				c := &out[n][k]
				switch {
				case p && r:
					c.TP++
				case p:
					c.FP++
				case r:
					c.FN++
				default:
					c.TN++
				}
			}
		}
	}
	return out
}

// Volumes larger than a chunk, odd sizes, ties, ignored voxels and every target type.
func TestCountLogitsAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	for _, test := range []struct {
		rule     PredictionRule
		channels int
		space    []int
	}{
		{Argmax, 2, []int{97, 131}}, {Argmax, 5, []int{11, 23, 29}}, {SigmoidChannel1, 2, []int{17, 19, 23}},
		{SigmoidPerChannel, 1, []int{91, 93}}, {SigmoidPerChannel, 3, []int{13, 1, 7}}, {SigmoidPerChannel, 1, []int{1, 1}},
	} {
		const samples = 3
		voxels := 1
		for _, s := range test.space {
			voxels *= s
		}
		logits := make([]float64, samples*test.channels*voxels)
		for i := range logits {
			logits[i] = float64(rng.IntN(7)-3) / 2 // many ties and zeros
		}
		logits[0] = math.Inf(1)
		for _, ignored := range []int{-1, 99} {
			target := make([]int, samples*voxels)
			for i := range target {
				target[i] = rng.IntN(max(test.channels, 2))
				if ignored == 99 && rng.IntN(4) == 0 {
					target[i] = 99
				}
			}
			want := countByDefinition(test.rule, logits, target, ignored, samples, test.channels, voxels)
			x := tensor.New(tensor.WithShape(append([]int{samples, test.channels}, test.space...)...), tensor.WithBacking(slices.Clone(logits)))
			shapes := [][]int{append([]int{samples}, test.space...), append([]int{samples, 1}, test.space...)}
			for i, y := range labelTensors(target, ignored == 99) {
				require.NoError(t, y.Reshape(shapes[i%2]...))
				var ignore IgnoreIndex
				if ignored == 99 {
					ignore = Ignore(99)
				}
				got, err := CountLogits(test.rule, x, y, ignore)
				require.NoError(t, err)
				require.Equal(t, want, got, "%v %v target %v", test.rule, test.space, y.Dtype())
			}
		}
	}
}

// labelTensors returns the labels in every type that can represent them: large leaves
// out bool, as do labels above 1.
func labelTensors(labels []int, large bool) []*tensor.Dense {
	out := []*tensor.Dense{
		labelsAs[int](labels), labelsAs[int8](labels), labelsAs[int16](labels), labelsAs[int32](labels), labelsAs[int64](labels),
		labelsAs[uint](labels), labelsAs[uint8](labels), labelsAs[uint16](labels), labelsAs[uint32](labels), labelsAs[uint64](labels),
		labelsAs[float32](labels), labelsAs[float64](labels),
	}
	if !large && slices.Max(labels) < 2 {
		flags := make([]bool, len(labels))
		for i, v := range labels {
			flags[i] = v == 1
		}
		out = append(out, tensor.New(tensor.WithShape(len(flags)), tensor.WithBacking(flags)))
	}
	return out
}

type anyNumber interface {
	int | int8 | int16 | int32 | int64 | uint | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

func labelsAs[T anyNumber](labels []int) *tensor.Dense {
	data := make([]T, len(labels))
	for i, v := range labels {
		data[i] = T(v)
	}
	return tensor.New(tensor.WithShape(len(data)), tensor.WithBacking(data))
}

func TestCountLogitsTakesMaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	const samples, channels, h, w = 2, 3, 41, 53
	logits := make([]float32, samples*channels*h*w)
	for i := range logits {
		logits[i] = rng.Float32() - 0.5
	}
	x := tensor.New(tensor.WithShape(samples, channels, h, w), tensor.WithBacking(logits))
	labels := make([]int, samples*h*w)
	maps := make([]float32, samples*channels*h*w)
	for i := range labels {
		labels[i] = rng.IntN(channels)
		maps[(i/(h*w)*channels+labels[i])*h*w+i%(h*w)] = 1
	}
	y := labelsAs[int64](labels)
	require.NoError(t, y.Reshape(samples, h, w))
	m := tensor.New(tensor.WithShape(samples, channels, h, w), tensor.WithBacking(maps))
	for _, rule := range []PredictionRule{Argmax, SigmoidPerChannel} {
		want, err := CountLogits(rule, x, y, IgnoreIndex{})
		require.NoError(t, err)
		got, err := CountLogits(rule, x, m, IgnoreIndex{})
		require.NoError(t, err)
		assert.Equal(t, want, got, "%v", rule)
	}
	_, err := CountLogits(Argmax, x, m, IgnoreIndex{Set: true, Index: 255})
	requireRefused(t, err, "ignore")
	maps[5] = 0.5
	_, err = CountLogits(Argmax, x, m, IgnoreIndex{})
	requireRefused(t, err, "target")
	maps[5] = 2
	_, err = CountLogits(Argmax, x, m, IgnoreIndex{})
	requireRefused(t, err, "target in channel 0 of sample 0 at voxel 5")
}

func TestCountsDoNotDependOnProcessors(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 9))
	p, y := randomMask(rng, 0.3, 31, 57, 63), randomMask(rng, 0.2, 31, 57, 63)
	var want Confusion
	a, b := p.Data().([]uint8), y.Data().([]uint8)
	for i := range a {
		switch {
		case a[i] == 1 && b[i] == 1:
			want.TP++
		case a[i] == 1:
			want.FP++
		case b[i] == 1:
			want.FN++
		default:
			want.TN++
		}
	}
	withProcs(t, func(t *testing.T) {
		got, err := CountMasks(p, y)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// The error is that of the first chunk that has one, whatever the timing.
func TestErrorDoesNotDependOnProcessors(t *testing.T) {
	data := make([]float32, 40*chunkVoxels)
	for chunk := 7; chunk < 40; chunk++ {
		data[chunk*chunkVoxels+5] = float32(math.NaN())
	}
	p := tensor.New(tensor.WithShape(40, chunkVoxels), tensor.WithBacking(data))
	withProcs(t, func(t *testing.T) {
		for range 20 {
			_, err := CountMasks(p, p)
			requireRefused(t, err, fmt.Sprintf("element %d of prediction", 7*chunkVoxels+5))
		}
	})
}

func TestCountMasksTakesEveryType(t *testing.T) {
	labels := []int{0, 1, 2, 0, 1, 0}
	want := Confusion{TP: 3, TN: 3}
	for _, m := range labelTensors(labels, false) {
		got, err := CountMasks(m, labelsAs[uint8](labels))
		require.NoError(t, err)
		assert.Equal(t, want, got, "%v", m.Dtype())
	}
	negative := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float64{-0.5, math.Copysign(0, -1)}))
	got, err := CountMasks(negative, negative)
	require.NoError(t, err)
	assert.Equal(t, Confusion{TP: 1, TN: 1}, got, "what is not zero is foreground, and -0 is zero")
}

func TestConfusionAdd(t *testing.T) {
	assert.Equal(t, Confusion{11, 22, 33, 44}, Confusion{1, 2, 3, 4}.Add(Confusion{10, 20, 30, 40}))
}

func TestConfusionsMean(t *testing.T) {
	empty := Confusion{TN: 9}
	counts := Confusions{{{TN: 5, FN: 1}, {TP: 3, FP: 1, FN: 1}}, {empty, {TP: 1, FN: 3}}, {empty, empty}}
	values := counts.Values(Confusion.Sensitivity)
	require.Len(t, values, 3)
	assert.Equal(t, []float64{0, 0.75}, values[0])
	assert.True(t, math.IsNaN(values[1][0]))
	assert.Equal(t, 0.25, values[1][1])
	assert.Equal(t, (0.75/2+0.25)/2, counts.Mean(Confusion.Sensitivity))
	assert.Equal(t, (0.75+0.25)/2, counts.Foreground().Mean(Confusion.Sensitivity))
	assert.True(t, math.IsNaN(counts[2:].Mean(Confusion.Sensitivity)), "no score at all is no score of 0")
	assert.True(t, math.IsNaN(Confusions{}.Mean(Confusion.Dice)))
	assert.Equal(t, 1.0, counts[2:].Mean(Confusion.DiceEmptyOK))
}

// Dice and IoU determine each other: D = 2J/(1+J).
func TestDiceFollowsFromIoU(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 9))
	for range 1000 {
		c := Confusion{TP: rng.Int64N(50), FP: rng.Int64N(50), TN: rng.Int64N(50), FN: rng.Int64N(50) + 1}
		j := c.IoU()
		assert.InDelta(t, 2*j/(1+j), c.Dice(), 1e-15)
		assert.Equal(t, c.Dice(), c.DiceEmptyOK())
	}
}

func TestMeanIgnoringNaN(t *testing.T) {
	nan := math.NaN()
	for _, nothing := range [][][]float64{nil, {}, {{}}, {{nan}, {nan, nan}, {}}} {
		assert.True(t, math.IsNaN(MeanIgnoringNaN(nothing)), "%v", nothing)
		assert.Equal(t, 0.0, MONAIMean(nothing), "%v", nothing)
	}
	assert.Equal(t, 6.0, MONAIMean([][]float64{{1, nan, 3}, {nan}, {10}}))
	// Classes first, then samples: (2 + 10)/2, not (1+3+10)/3.
	assert.Equal(t, 6.0, MeanIgnoringNaN([][]float64{{1, nan, 3}, {nan}, {10}}))
	assert.Equal(t, math.Inf(1), MeanIgnoringNaN([][]float64{{math.Inf(1)}, {1}}))
}

func TestPredictionRuleString(t *testing.T) {
	assert.Equal(t, "Argmax", Argmax.String())
	assert.Equal(t, "SigmoidChannel1", SigmoidChannel1.String())
	assert.Equal(t, "SigmoidPerChannel", SigmoidPerChannel.String())
	assert.Equal(t, "PredictionRule(9)", PredictionRule(9).String())
}

func TestClassMask(t *testing.T) {
	labels := []int{0, 1, 2, 1, 0, 2, 2, 1, 0, 0, 1, 1}
	for _, y := range labelTensors(labels, false) {
		require.NoError(t, y.Reshape(2, 2, 3))
		m, err := ClassMask(y, 2, 1, 1)
		require.NoError(t, err)
		assert.Equal(t, tensor.Shape{2, 3}, m.Shape())
		assert.Equal(t, []uint8{0, 1, 0, 0, 1, 1}, m.Data())
	}
	y := labelsAs[uint8](labels)
	require.NoError(t, y.Reshape(2, 1, 2, 3))
	m, err := ClassMask(y, 2, 0, 2)
	require.NoError(t, err)
	assert.Equal(t, []uint8{0, 0, 1, 0, 0, 1}, m.Data())
	m, err = ClassMask(y, 3, 0, 2)
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{1, 2, 3}, m.Shape())

	_, err = ClassMask(nil, 2, 0, 1)
	requireRefused(t, err, "labels")
	_, err = ClassMask(y, 4, 0, 1)
	requireRefused(t, err, "spatialAxes")
	_, err = ClassMask(y, 3, 2, 1)
	requireRefused(t, err, "sample")
	_, err = ClassMask(y, 3, -1, 1)
	requireRefused(t, err, "sample")
	_, err = ClassMask(y, 3, 0, -1)
	requireRefused(t, err, "class")
	require.NoError(t, y.Reshape(2, 6))
	_, err = ClassMask(y, 2, 0, 1)
	requireRefused(t, err, "shape of labels")
	_, err = ClassMask(tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]float64{1, 0.5})), 2, 0, 1)
	requireRefused(t, err, "element 1 of labels")
}

func TestLabelsOutOfRangeAreRefused(t *testing.T) {
	x := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking(make([]float32, 6)))
	shape := tensor.WithShape(1, 1, 3)
	for _, y := range []*tensor.Dense{
		tensor.New(shape, tensor.WithBacking([]int64{0, 1, 2})),
		tensor.New(shape, tensor.WithBacking([]int{0, 1, -1})),
		tensor.New(shape, tensor.WithBacking([]int64{0, 1, 1 << 32})),
		tensor.New(shape, tensor.WithBacking([]uint64{0, 1, math.MaxUint64})),
		tensor.New(shape, tensor.WithBacking([]uint32{0, 1, 1 << 31})),
		tensor.New(shape, tensor.WithBacking([]float32{0, 1, 0.5})),
		tensor.New(shape, tensor.WithBacking([]float64{0, 1, math.NaN()})),
		tensor.New(shape, tensor.WithBacking([]float64{0, 1, 1e300})),
		tensor.New(shape, tensor.WithBacking([]float64{0, 1, math.Inf(-1)})),
	} {
		_, err := CountLogits(Argmax, x, y, IgnoreIndex{})
		requireRefused(t, err, "target")
		_, err = CountLabels(2, y, y, IgnoreIndex{})
		requireRefused(t, err, "prediction")
	}
}

func TestCountRefusesBadInput(t *testing.T) {
	x := tensor.New(tensor.WithShape(1, 2, 3, 4), tensor.WithBacking(make([]float32, 24)))
	y := tensor.New(tensor.WithShape(1, 3, 4), tensor.WithBacking(make([]uint8, 12)))
	_, err := CountLogits(Argmax, nil, y, IgnoreIndex{})
	requireRefused(t, err, "logits")
	_, err = CountLogits(Argmax, x, nil, IgnoreIndex{})
	requireRefused(t, err, "target")
	_, err = CountLogits(PredictionRule(9), x, y, IgnoreIndex{})
	requireRefused(t, err, "rule")
	_, err = CountLogits(Argmax, y, y, IgnoreIndex{})
	requireRefused(t, err, "type of logits")
	_, err = CountLogits(Argmax, tensor.New(tensor.WithShape(1, 2, 3), tensor.WithBacking(make([]float32, 6))), y, IgnoreIndex{})
	requireRefused(t, err, "shape of logits")
	_, err = CountLogits(Argmax, x, tensor.New(tensor.WithShape(1, 4, 3), tensor.WithBacking(make([]uint8, 12))), IgnoreIndex{})
	requireRefused(t, err, "shape of target")
	_, err = CountLogits(Argmax, x, tensor.New(tensor.WithShape(1, 3, 4), tensor.WithBacking(make([]complex64, 12))), IgnoreIndex{})
	requireRefused(t, err, "type of target")

	one := tensor.New(tensor.WithShape(1, 1, 3, 4), tensor.WithBacking(make([]float32, 12)))
	_, err = CountLogits(Argmax, one, y, IgnoreIndex{})
	requireRefused(t, err, "channels")
	_, err = CountLogits(SigmoidChannel1, one, y, IgnoreIndex{})
	requireRefused(t, err, "channels")
	_, err = Predict(Argmax, tensor.New(tensor.WithShape(1, 257, 1, 1), tensor.WithBacking(make([]float32, 257))))
	requireRefused(t, err, "channels")

	for _, rule := range []PredictionRule{Argmax, SigmoidChannel1, SigmoidPerChannel} {
		bad := x.Clone().(*tensor.Dense)
		bad.Data().([]float32)[17] = float32(math.NaN())
		_, err = CountLogits(rule, bad, y, IgnoreIndex{})
		requireRefused(t, err, "logit in channel 1 of sample 0 at voxel 5")
		_, err = Predict(rule, bad)
		requireRefused(t, err, "logit in channel 1 of sample 0 at voxel 5")
	}

	_, err = CountMasks(nil, y)
	requireRefused(t, err, "prediction")
	_, err = CountMasks(y, nil)
	requireRefused(t, err, "target")
	_, err = CountMasks(x, y)
	requireRefused(t, err, "shape of prediction")
	_, err = CountLabels(1, y, y, IgnoreIndex{})
	requireRefused(t, err, "classes")
	_, err = CountLabels(257, y, y, IgnoreIndex{})
	requireRefused(t, err, "classes")
	_, err = CountLabels(2, nil, y, IgnoreIndex{})
	requireRefused(t, err, "prediction")
	_, err = CountLabels(2, y, nil, IgnoreIndex{})
	requireRefused(t, err, "target")
	_, err = CountLabels(2, x, y, IgnoreIndex{})
	requireRefused(t, err, "shape of prediction")
	flat := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(make([]uint8, 12)))
	_, err = CountLabels(2, flat, flat, IgnoreIndex{})
	requireRefused(t, err, "shape of target")
}

func TestMemoryLayouts(t *testing.T) {
	data := []uint8{1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1}
	whole := tensor.New(tensor.WithShape(2, 2, 3), tensor.WithBacking(data))

	// One sample of a batch is contiguous and accepted.
	view, err := whole.Slice(tensor.S(1))
	require.NoError(t, err)
	sample := view.(*tensor.Dense)
	got, err := CountMasks(sample, bytesTensor(data[6:], 2, 3))
	require.NoError(t, err)
	assert.Equal(t, Confusion{TP: 4, TN: 2}, got)

	view, err = whole.Slice(nil, tensor.S(1))
	require.NoError(t, err)
	_, err = CountMasks(view.(*tensor.Dense), bytesTensor(data[:6], 2, 3))
	requireRefused(t, err, "prediction")

	transposed := bytesTensor(data, 2, 2, 3)
	require.NoError(t, transposed.T(1, 0, 2))
	_, err = CountMasks(transposed, whole)
	requireRefused(t, err, "prediction")

	columns := tensor.New(tensor.WithShape(2, 3), tensor.AsFortran([]uint8{1, 0, 1, 0, 1, 0}))
	_, err = CountMasks(columns, columns)
	requireRefused(t, err, "prediction")

	masked := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(make([]float64, 6), make([]bool, 6)))
	_, err = CountMasks(masked, masked)
	requireRefused(t, err, "prediction")
}
