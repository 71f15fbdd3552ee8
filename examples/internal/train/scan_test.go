package train

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
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
	expected := make([]float32, 2*all)
	for i := range scan {
		expected[place(i)] = wantGrad.Data().([]float32)[i]
		expected[all+place(i)] = wantGrad.Data().([]float32)[scan+i]
	}
	backend, err := portable.New(nn.Float32)
	require.NoError(t, err)
	trainer := &trainer{job: &Job{Backend: backend}, loss: loss}
	gradient := func(logits *tensor.Dense, s *dataset.Sample) (float64, any) {
		defer backend.EndStep()
		y, err := backend.FromHost(logits, nn.Step)
		require.NoError(t, err)
		value, gys, err := lossOf(trainer, []nn.Array{y}, s)
		require.NoError(t, err)
		grad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(logits.Shape()...))
		require.NoError(t, backend.ToHost(gys[0], grad))
		return value, grad.Data()
	}
	var o onScan
	for range 2 { // the second time with reused buffers
		got, grad := gradient(whole, sample)
		assert.Equal(t, want, got)
		assert.Equal(t, expected, grad)
		o.take(whole, sample)
		assert.Equal(t, bare.Data(), o.logits.Data())
		assert.Equal(t, bareLabel.Data(), o.label.Data())

		// In between, a sample without padding is used directly.
		unpadded := &dataset.Sample{Scan: dataset.Box{Size: [3]int{3, 4, 5}}, Label: bareLabel}
		got, grad = gradient(bare, unpadded)
		assert.Equal(t, want, got)
		assert.Equal(t, wantGrad.Data(), grad)
		o.take(bare, unpadded)
		assert.Same(t, bare, o.logits)
		assert.Same(t, bareLabel, o.label)
	}
	assert.Equal(t, float32(40), padded[0], "the network's output is not modified")
}
