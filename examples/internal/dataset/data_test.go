package dataset

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/internal/golden"
)

func realSet(t *testing.T, name string) *Set {
	t.Helper()
	dir, ok := golden.SharedData(name)
	if !ok {
		t.Skipf("no real images %s next to the repository", name)
	}
	s, err := Find(dir)
	require.NoError(t, err)
	return s
}

func positives(s *Sample) (n int) {
	for _, v := range s.Label.Data().([]uint8) {
		n += int(v)
	}
	return n
}

func TestRealProstates(t *testing.T) {
	set := realSet(t, "picai_cases")
	assert.Equal(t, 3, set.Channels)
	require.Len(t, set.Train, 1)
	require.Len(t, set.Valid, 1)

	for _, c := range slices.Concat(set.Train, set.Valid) {
		prep, err := Protocol{}.load(c)
		require.NoError(t, err)
		assert.Equal(t, [3]int{384, 384, 19}, prep.image.dims, "the grid of T2W")
		s := spacing(prep.image.affine)
		assert.InDeltaSlice(t, []float64{0.5, 0.5, 3}, s[:], 1e-4)

		// At a voxel's world position, the resampled ADC value is between the extremes
		// of the surrounding voxels of the ADC scan.
		adc, err := volume.Read(c.Images[1])
		require.NoError(t, err)
		back, inside := invert(adc.Affine), 0
		for _, v := range [][3]int{{192, 192, 9}, {150, 210, 5}, {230, 170, 15}, {192, 240, 1}} {
			p := apply(back, apply(prep.image.affine, float(v)))
			low, high := 1e9, -1e9
			for corner := range 8 {
				var at [3]int
				for ax := range at {
					at[ax] = min(max(int(p[ax])+corner>>ax&1, 0), adc.Dims[ax]-1)
				}
				x := adc.Data[(at[0]*adc.Dims[1]+at[1])*adc.Dims[2]+at[2]]
				low, high = min(low, x), max(high, x)
			}
			got := float64(prep.image.value(1, v))
			assert.GreaterOrEqual(t, got, low-1e-3)
			assert.LessOrEqual(t, got, high+1e-3)
			inside++
		}
		assert.Equal(t, 4, inside)
	}

	lesion, err := Protocol{}.Valid(set.Train[0])
	require.NoError(t, err)
	assert.Equal(t, 414, positives(lesion))

	p := PICAI()
	s, err := p.Valid(set.Train[0])
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{1, 3, 160, 128, 24}, s.Image.Shape())
	mm3 := s.Spacing[0] * s.Spacing[1] * s.Spacing[2]
	volume := float64(positives(s)) * mm3
	assert.InEpsilon(t, 414*0.5*0.5*3, volume, 0.4, "the nearest-neighbor label preserves the lesion's volume, up to a sampling error of some seventy voxels")
	p.LabelArea = true
	enlarged, err := p.Valid(set.Train[0])
	require.NoError(t, err)
	assert.Greater(t, float64(positives(enlarged))*mm3, 1.2*volume, "the area label enlarges it")

	negative, err := p.Valid(set.Valid[0])
	require.NoError(t, err)
	assert.Zero(t, positives(negative))
}

func TestRealBrains(t *testing.T) {
	set := realSet(t, "ms_lesions")
	assert.Equal(t, 4, set.Channels)
	require.Len(t, set.Train, 2)
	require.Len(t, set.Valid, 1)
	s, err := BraTS().Valid(set.Valid[0])
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{1, 4, 128, 160, 128}, s.Image.Shape(), "127×160×126 padded to multiples of 16")
	raw, err := volume.Read(set.Valid[0].Label)
	require.NoError(t, err)
	want := 0
	for _, v := range raw.Data {
		if v != 0 {
			want++
		}
	}
	assert.Positive(t, want)
	assert.Equal(t, want, positives(s))
	image := s.Image.Data().([]float32)
	n := len(image) / 4
	for c := range 4 {
		var count, sum, squares float64
		for _, v := range image[c*n : (c+1)*n] {
			if v != 0 {
				count, sum, squares = count+1, sum+float64(v), squares+float64(v)*float64(v)
			}
		}
		assert.InDelta(t, 0, sum/count, 1e-4)
		assert.InDelta(t, 1, squares/count, 1e-3)
		assert.Positive(t, s.Affine[0][0])
	}
}

func TestRealHippocampi(t *testing.T) {
	set := realSet(t, "hippocampus")
	assert.Equal(t, TrainImageLayout, set.Layout)
	assert.Equal(t, 1, set.Channels)
	assert.Len(t, set.Train, 160)
	assert.Len(t, set.Valid, 40)
	p := BraTS()
	for i, c := range set.Valid[:8] {
		s, err := p.Train(c, uint64(i))
		require.NoError(t, err)
		for _, n := range s.Label.Shape()[1:] {
			assert.Zero(t, n%16)
		}
		assert.Greater(t, float64(positives(s))/float64(s.Label.Shape().TotalSize()), 0.005)
	}
}
