package dataset

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// labeledCase writes an image and a label with the given values.
func labeledCase(t *testing.T, dims [3]int, label []float64) Case {
	t.Helper()
	dir := t.TempDir()
	c := Case{ID: "a", Images: []string{filepath.Join(dir, "a_image.nii")}, Label: filepath.Join(dir, "a_gt.nii")}
	image := make([]float64, len(label))
	for i := range image {
		image[i] = float64(i + 1)
	}
	for path, data := range map[string][]float64{c.Images[0]: image, c.Label: label} {
		require.NoError(t, volume.Write(path, &volume.Volume{Dims: dims, Channels: 1, Data: data, Affine: identity}, volume.WriteOptions{}))
	}
	return c
}

func TestSchemesOfLabels(t *testing.T) {
	c := labeledCase(t, [3]int{1, 2, 3}, []float64{0, 1, 2, 2, 300, 4})
	classes, err := segment.ParseClasses("2,300", nil)
	require.NoError(t, err)
	regions, err := segment.ParseRegions("WT=1,2,4;ET=4", nil)
	require.NoError(t, err)
	one, err := segment.ParseRegions("ET=4", nil)
	require.NoError(t, err)
	for _, w := range []struct {
		scheme segment.Scheme
		shape  tensor.Shape
		label  []uint8
	}{
		{segment.Scheme{}, tensor.Shape{1, 1, 2, 3}, []uint8{0, 1, 1, 1, 1, 1}},
		{classes, tensor.Shape{1, 1, 2, 3}, []uint8{0, 0, 1, 1, 2, 0}},
		{regions, tensor.Shape{1, 2, 1, 2, 3}, []uint8{0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1}},
		{one, tensor.Shape{1, 1, 1, 2, 3}, []uint8{0, 0, 0, 0, 0, 1}},
	} {
		s, err := Protocol{Scheme: w.scheme}.Valid(c)
		require.NoError(t, err)
		assert.Equal(t, w.shape, s.Label.Shape(), "%v", w.scheme)
		assert.Equal(t, w.label, s.Label.Data(), "%v", w.scheme)

		// A sample may be modified, the cached case may not.
		cache := NewCache(Protocol{Scheme: w.scheme}, 1<<20)
		for range 2 {
			s, err := cache.Valid(c)
			require.NoError(t, err)
			assert.Equal(t, w.label, s.Label.Data(), "%v", w.scheme)
			require.NoError(t, s.Label.Memset(uint8(1)))
		}
	}
}

// TestTransformsOfSchemes compares the random transforms of several classes and regions with
// those of each by itself.
func TestTransformsOfSchemes(t *testing.T) {
	label := make([]float64, 5*6*7)
	for i := range label {
		label[i] = float64(i * 31 % 11 % 5)
	}
	c := labeledCase(t, [3]int{5, 6, 7}, label)
	p := BraTS()
	p.Crop, p.Multiple, p.Spacing = [3]int{4, 4, 4}, [3]int{1, 1, 8}, [3]float64{1.5, 1, 0.7}
	p.Translate, p.TranslateProb = [3]int{1, 2, 1}, 0.5
	classes, err := segment.ParseClasses("3,1,4", nil)
	require.NoError(t, err)
	regions, err := segment.ParseRegions("A=1,2,3,4;B=3,4;C=1", nil)
	require.NoError(t, err)
	for seed := range uint64(10) {
		for _, scheme := range []segment.Scheme{classes, regions} {
			p.Scheme = scheme
			all, err := p.Train(c, seed)
			require.NoError(t, err)
			for i, g := range scheme.Segments {
				p.Scheme = segment.Scheme{Kind: segment.Regions, Segments: []segment.Segment{g}}
				one, err := p.Train(c, seed)
				require.NoError(t, err)
				assert.Equal(t, one.Image.Data(), all.Image.Data())
				want, got := one.Label.Data().([]uint8), make([]uint8, one.Label.Shape().TotalSize())
				for v := range got {
					switch codes := all.Label.Data().([]uint8); {
					case scheme.Kind == segment.Regions:
						got[v] = codes[i*len(got)+v]
					case codes[v] == uint8(i+1):
						got[v] = 1
					}
				}
				assert.Equal(t, want, got, "%v, %s", scheme, g.Name)
				assert.Contains(t, got, uint8(1))
			}
		}
	}
}

func TestLabelAreaOfRegions(t *testing.T) {
	c := labeledCase(t, [3]int{1, 1, 6}, []float64{0, 2, 4, 0, 0, 1})
	regions, err := segment.ParseRegions("WT=1,2,4;TC=1,4;ET=4", nil)
	require.NoError(t, err)
	s, err := Protocol{Scheme: regions, Size: [3]int{1, 1, 3}, LabelArea: true}.Valid(c)
	require.NoError(t, err)
	assert.Equal(t, []uint8{1, 1, 1, 0, 1, 1, 0, 1, 0}, s.Label.Data(), "each region is that of its own mask")
	for r, text := range []string{"WT=1,2,4", "TC=1,4", "ET=4"} {
		one, err := segment.ParseRegions(text, nil)
		require.NoError(t, err)
		alone, err := Protocol{Scheme: one, Size: [3]int{1, 1, 3}, LabelArea: true}.Valid(c)
		require.NoError(t, err)
		assert.Equal(t, s.Label.Data().([]uint8)[3*r:3*r+3], alone.Label.Data())
	}

	classes, err := segment.ParseClasses("1,2", nil)
	require.NoError(t, err)
	_, err = Protocol{Scheme: classes, Size: [3]int{1, 1, 3}, LabelArea: true}.Valid(c)
	assert.ErrorContains(t, err, "Protocol.LabelArea is set, but averages of classes have no class")
	_, err = Protocol{Scheme: segment.Scheme{Kind: "x"}}.Valid(c)
	assert.ErrorContains(t, err, `Protocol.Scheme: segment: kind is "x"`)
}
