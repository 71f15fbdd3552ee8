package train

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
)

// TestPaddingHasNoEffect checks that the loss of a padded sample and its gradient equal
// those of the scan in it, whatever the network predicts in the padding.
func TestPaddingHasNoEffect(t *testing.T) {
	box := dataset.Box{Start: [3]int{1, 0, 2}, Size: [3]int{3, 4, 5}}
	full := [3]int{6, 4, 8}
	const scan, all = 3 * 4 * 5, 6 * 4 * 8
	logits, label := make([]float32, 2*scan), make([]uint8, scan)
	for i := range logits {
		logits[i] = float32(i*7919%23)/5 - 2
		label[i%scan] = uint8(i * 31 % 7 / 5)
	}
	padded, paddedLabel := make([]float32, 2*all), make([]uint8, all)
	place := func(i int) int { // position of voxel i of the scan in the padded volume
		x, y, z := i/20+box.Start[0], i/5%4+box.Start[1], i%5+box.Start[2]
		return (x*full[1]+y)*full[2] + z
	}
	for i := range padded {
		padded[i] = 40 // a confident false positive everywhere
	}
	for i := range scan {
		padded[place(i)], padded[all+place(i)] = logits[i], logits[scan+i]
		paddedLabel[place(i)] = label[i]
	}
	bare := tensor.New(tensor.WithShape(1, 2, 3, 4, 5), tensor.WithBacking(logits))
	bareLabel := tensor.New(tensor.WithShape(1, 3, 4, 5), tensor.WithBacking(label))
	whole := tensor.New(tensor.WithShape(1, 2, 6, 4, 8), tensor.WithBacking(padded))
	sample := &dataset.Sample{Scan: box, Label: tensor.New(tensor.WithShape(1, 6, 4, 8), tensor.WithBacking(paddedLabel))}

	// The same label as two maps.
	maps, paddedMaps := make([]uint8, 2*scan), make([]uint8, 2*all)
	for i, l := range label {
		maps[i], maps[scan+i] = 1-l, l
		paddedMaps[place(i)], paddedMaps[all+place(i)] = 1-l, l
	}
	var withMaps onScan
	withMaps.take(whole, &dataset.Sample{Scan: box, Label: tensor.New(tensor.WithShape(1, 2, 6, 4, 8), tensor.WithBacking(paddedMaps))})
	assert.Equal(t, tensor.Shape{1, 2, 3, 4, 5}, withMaps.label.Shape())
	assert.Equal(t, maps, withMaps.label.Data())

	loss := afl.NewAdaptiveFocal()
	want, wantGrad, err := afl.Grad(loss, bare, bareLabel)
	require.NoError(t, err)
	var o onScan
	for range 2 { // the second time with reused buffers
		o.take(whole, sample)
		got, err := afl.GradInto(loss, o.logits, o.label, o.gradient())
		require.NoError(t, err)
		assert.Equal(t, want, got)
		grad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 2, 6, 4, 8))
		require.NoError(t, grad.Memset(float32(7)))
		o.pad(grad)
		expected := make([]float32, 2*all)
		for i := range scan {
			expected[place(i)] = wantGrad.Data().([]float32)[i]
			expected[all+place(i)] = wantGrad.Data().([]float32)[scan+i]
		}
		assert.Equal(t, expected, grad.Data())

		// In between, a sample without padding is used directly.
		o.take(bare, &dataset.Sample{Scan: dataset.Box{Size: [3]int{3, 4, 5}}, Label: bareLabel})
		assert.Same(t, bare, o.logits)
		assert.Same(t, bareLabel, o.label)
		o.gradient()
	}
	assert.Equal(t, float32(40), padded[0], "the network's output is not modified")
}
