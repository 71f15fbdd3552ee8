package workload

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func TestParseCalls(t *testing.T) {
	calls, err := ParseCalls("all")
	require.NoError(t, err)
	assert.Equal(t, Calls, calls)
	calls, err = ParseCalls("none")
	require.NoError(t, err)
	assert.Empty(t, calls)
	calls, err = ParseCalls("soft, images")
	require.NoError(t, err)
	require.Len(t, calls, 2)
	assert.Equal(t, Soft, calls[0].Target)
	assert.True(t, calls[1].Images)
	for _, bad := range []string{"", "hard", "soft,images,soft", "all,soft"} {
		_, err := ParseCalls(bad)
		assert.ErrorContains(t, err, "-calls", bad)
	}
}

func callNamed(t *testing.T, name string) Call {
	t.Helper()
	calls, err := ParseCalls(name)
	require.NoError(t, err)
	require.Len(t, calls, 1)
	return calls[0]
}

func TestCallLoss(t *testing.T) {
	for _, c := range []struct{ call, loss, want string }{
		{"soft", "afl", "afl"},
		{"soft", "iou", ""},
		{"label-smoothing", "ce", "ce"},
		{"label-smoothing", "fl", ""},
		{"one-channel", "afl", "afl-paper"},
		{"one-channel", "ce", "bce"},
		{"one-channel", "dice-focal", "dice-focal"},
		{"eight-channels", "afl", "afl-multiclass"},
		{"eight-channels", "ce", "ce"},
	} {
		assert.Equal(t, c.want, callNamed(t, c.call).Loss(c.loss), "%s, %s", c.call, c.loss)
	}
}

// TestCallsEvaluate: every loss of every call accepts the call's batch, gives finite
// numbers, and its gradient is that of Σ upstream·value.
func TestCallsEvaluate(t *testing.T) {
	images := QuickImages
	for _, c := range append([]Call{{Name: "class indices"}}, Calls...) {
		s := c.Size(NewSize([3]int{17, 12, 9}), images)
		b := c.NewBatch(s)
		measured := 0
		for _, name := range afl.Names() {
			if name = c.Loss(name); name == "" {
				continue
			}
			measured++
			l, err := c.NewLoss(name)
			require.NoError(t, err)
			_, err = c.Count(l, s, true)
			require.NoError(t, err, "%s, %s", c.Name, name)
			forward, err := c.EvalOptions(l, b, false)
			require.NoError(t, err)
			options, err := c.EvalOptions(l, b, true)
			require.NoError(t, err)
			value, err := l.Eval(b.Logits, b.Labels, nil, forward...)
			require.NoError(t, err, "%s, %s", c.Name, name)
			again, err := l.Eval(b.Logits, b.Labels, b.Grad, options...)
			require.NoError(t, err, "%s, %s", c.Name, name)
			assert.Equal(t, value.Shape(), again.Shape())
			if c.Unreduced {
				assert.NotEmpty(t, value.Shape(), name)
			} else {
				assert.True(t, value.IsScalar(), "%s, %s", c.Name, name)
			}
			sum := 0.0
			switch g := b.Grad.Data().(type) {
			case []float32:
				for _, x := range g {
					sum += math.Abs(float64(x))
				}
			case []float64:
				for _, x := range g {
					sum += math.Abs(x)
				}
			}
			assert.Positive(t, sum)
			assert.False(t, math.IsInf(sum, 0))
		}
		want := len(lossOfCalls)
		if c.LabelSmoothing > 0 {
			want = 1
		}
		assert.Equal(t, want, measured, c.Name)
	}
}

// TestCallBatch: what the calls' names say is in their batches.
func TestCallBatch(t *testing.T) {
	volume := NewSize([3]int{41, 33, 11})
	plain := NewBatch(volume)
	labels := plain.Labels.Data().([]uint8)
	v := volume.ImageVoxels()

	batch := func(name string) *Batch {
		c := callNamed(t, name)
		return c.NewBatch(c.Size(volume, QuickImages))
	}
	oneHot := batch("one-hot")
	assert.Equal(t, volume.Shape(), []int(oneHot.Labels.Shape()))
	maps, soft, bytes := oneHot.Labels.Data().([]float32), batch("soft").Labels.Data().([]float32), batch("uint8-maps").Labels.Data().([]uint8)
	for i, y := range labels {
		require.Equal(t, []float32{float32(1 - y), float32(y)}, []float32{maps[i], maps[v+i]})
		require.Equal(t, []uint8{1 - y, y}, []uint8{bytes[i], bytes[v+i]})
		require.InDelta(t, 1, soft[i]+soft[v+i], 1e-6)
		require.True(t, soft[i] > 0 && soft[i] < 1)
	}
	assert.Equal(t, plain.Logits.Data(), oneHot.Logits.Data())

	w := batch("voxel-weight").VoxelWeight
	assert.Equal(t, volume.LabelShape(), []int(w.Shape()))
	assert.Subset(t, w.Data(), []float32{0.5, 0.5 + 389.0/1024, 1.5 - 1.0/1024})

	wide := batch("float64")
	assert.Equal(t, tensor.Float64, wide.Logits.Dtype())
	assert.Equal(t, tensor.Float64, wide.Grad.Dtype())

	assert.Equal(t, []int{1, 1, 41, 33, 11}, []int(batch("one-channel").Logits.Shape()))
	eight := batch("eight-channels")
	assert.Equal(t, []int{1, 8, 41, 33, 11}, []int(eight.Logits.Shape()))
	classes := map[uint8]int{}
	for _, y := range eight.Labels.Data().([]uint8) {
		classes[y]++
	}
	assert.Greater(t, len(classes), 3)

	images := batch("images")
	assert.Equal(t, []int{3, 2, 41, 33}, []int(images.Logits.Shape()))
	assert.Equal(t, []int{3, 41, 33}, []int(images.Labels.Shape()))
	assert.Contains(t, images.Labels.Data(), uint8(1))
	assert.Equal(t, "8×2×512×512", Images.String())
}

// TestCallWork counts by hand, for one voxel. A pass of two channels reads 8 bytes of
// logits and 1 of a class index, a gradient writes 8.
func TestCallWork(t *testing.T) {
	type counts struct{ passes, bytes, exp, log int64 }
	volume := NewSize([3]int{8, 9, 10})
	for _, c := range []struct {
		call, loss        string
		forward, gradient counts
	}{
		{"one-hot", "fl", counts{1, 8 + 8, 2, 2}, counts{1, 8 + 8 + 8, 2, 2}},
		{"one-hot", "dice", counts{1, 16, 2, 0}, counts{2, 2*16 + 8, 2, 0}},
		// The statistics are those of the foreground's map.
		{"one-hot", "afl", counts{1, 16 + 4, 4, 2}, counts{1, 16 + 4 + 8, 4, 2}},
		{"uint8-maps", "ce", counts{1, 8 + 2, 1, 1}, counts{1, 8 + 2 + 8, 1, 1}},
		{"uint8-maps", "afl", counts{1, 10 + 1, 4, 2}, counts{1, 10 + 1 + 8, 4, 2}},
		// The modulating factor of a soft target is no power of p.
		{"soft", "fl", counts{1, 16, 4, 2}, counts{1, 24, 4, 2}},
		{"soft", "afl", counts{1, 20, 6, 4}, counts{1, 28, 6, 4}},
		{"soft", "dice-focal", counts{1, 16, 4, 2}, counts{2, 40, 6, 4}},
		{"soft", "ce", counts{1, 16, 1, 1}, counts{1, 24, 1, 1}},
		{"voxel-weight", "dice", counts{1, 9 + 4, 2, 0}, counts{2, 2*13 + 8, 2, 0}},
		{"label-smoothing", "ce", counts{1, 9, 1, 1}, counts{1, 17, 1, 1}},
		// Un-reduced: two elements are written for a voxel, or one of the softmax
		// cross-entropy, and as many upstream numbers are read.
		{"unreduced", "fl", counts{1, 9 + 8, 2, 2}, counts{1, 9 + 8 + 8 + 8, 2, 2}},
		{"unreduced", "ce", counts{1, 9 + 4, 1, 1}, counts{1, 9 + 4 + 8 + 4, 1, 1}},
		{"unreduced", "dice", counts{1, 9, 2, 0}, counts{2, 2*9 + 8, 2, 0}},
		{"unreduced", "dice-focal", counts{2, 2*9 + 8, 2, 2}, counts{2, 2*(9+8) + 8 + 8, 2, 2}},
		{"float64", "fl", counts{1, 17, 2, 2}, counts{1, 33, 2, 2}},
		{"one-channel", "dice", counts{1, 5, 1, 0}, counts{2, 2*5 + 4, 1, 0}},
		{"one-channel", "bce", counts{1, 5, 1, 1}, counts{1, 9, 1, 1}},
		{"eight-channels", "ce", counts{1, 33, 7, 1}, counts{1, 65, 7, 1}},
		{"eight-channels", "afl-multiclass", counts{1, 34, 8, 2}, counts{1, 66, 8, 2}},
		{"images", "fl", counts{1, 9, 2, 2}, counts{1, 17, 2, 2}},
	} {
		call := callNamed(t, c.call)
		l, err := call.NewLoss(c.loss)
		require.NoError(t, err)
		s := call.Size(volume, QuickImages)
		v := int64(s.Voxels())
		for gradient, want := range map[bool]counts{false: c.forward, true: c.gradient} {
			w, err := call.Count(l, s, gradient)
			require.NoError(t, err)
			assert.Equal(t, want, counts{int64(w.Passes), w.Bytes / v, w.Exp / v, w.Log / v}, "%s, %s, gradient %v", c.call, c.loss, gradient)
		}
	}
}

// TestSoftSoftmaxWork: every channel of a soft target contributes a power of its own.
func TestSoftSoftmaxWork(t *testing.T) {
	l := afl.NewFocal()
	l.Activation, l.Gamma = afl.Softmax, []float64{1.5}
	terms, err := termsOf(l, 3, Soft)
	require.NoError(t, err)
	assert.Equal(t, evaluations{exp: 3, log: 4}, terms.value)
	terms, err = termsOf(l, 2, Soft)
	require.NoError(t, err)
	assert.Equal(t, evaluations{exp: 2, log: 1}, terms.value)
}
