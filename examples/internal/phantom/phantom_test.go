package phantom

import (
	"crypto/sha256"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/volume"
)

var small = map[Kind]Options{
	PICAI: {Kind: PICAI, Train: 7, Valid: 2, Size: [3]int{33, 28, 13}, Seed: 5},
	BraTS: {Kind: BraTS, Train: 4, Valid: 1, Size: [3]int{27, 30, 25}, Seed: 5},
}

func digests(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		sums[filepath.ToSlash(name)] = sha256.Sum256(raw)
		return err
	}))
	return sums
}

func TestSameOptionsSameBytes(t *testing.T) {
	for kind, o := range small {
		t.Run(string(kind), func(t *testing.T) {
			a, b, c := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")
			require.NoError(t, Generate(a, o))
			require.NoError(t, Generate(b, o))
			first := digests(t, a)
			assert.Equal(t, first, digests(t, b))
			files := 4
			if kind == BraTS {
				files = 2
			}
			assert.Len(t, first, (o.Train+o.Valid)*files+3, "images, labels, README.txt, dataset.json and the manifest")

			o.Seed++
			require.NoError(t, Generate(c, o))
			for name, sum := range digests(t, c) {
				if name == dataset.DescriptionName {
					continue
				}
				assert.NotEqual(t, first[name], sum, "%s must depend on the seed", name)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	for kind, o := range small {
		t.Run(string(kind), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "deep", "phantom")
			require.NoError(t, Generate(dir, o))
			set, err := dataset.Find(dir)
			require.NoError(t, err)
			assert.Len(t, set.Train, o.Train)
			assert.Len(t, set.Valid, o.Valid)
			channels, codes := 3, map[float64]bool{0: true, 2: true, 3: true, 4: true, 5: true}
			if kind == BraTS {
				channels, codes = 4, map[float64]bool{0: true, 1: true, 2: true, 4: true}
			}
			assert.Equal(t, channels, set.Channels)
			assert.Equal(t, Description(kind), set.Description)

			seen := map[float64]int{}
			for i, c := range append(set.Train, set.Valid...) {
				label, err := volume.Read(c.Label)
				require.NoError(t, err)
				assert.Equal(t, o.Size, label.Dims)
				tumor := 0
				for _, v := range label.Data {
					require.True(t, codes[v], "%s has label %v", c.ID, v)
					seen[v]++
					if v != 0 {
						tumor++
					}
				}
				index := i
				if i >= o.Train {
					index -= o.Train
				}
				if kind == PICAI && index%4 == 1 {
					assert.Zero(t, tumor, "%s is a negative case", c.ID)
				} else {
					assert.Positive(t, tumor, c.ID)
					assert.Less(t, float64(tumor), 0.25*float64(len(label.Data)), c.ID)
				}

				p := dataset.PICAI()
				p.Size = [3]int{}
				if kind == BraTS {
					p = dataset.BraTS()
				}
				s, err := p.Valid(c)
				require.NoError(t, err)
				ones := 0
				for _, v := range s.Label.Data().([]uint8) {
					ones += int(v)
				}
				assert.Equal(t, tumor, ones, "%s: every nonzero voxel is tumor", c.ID)
			}
			if kind == BraTS {
				for code := range codes {
					assert.Positive(t, seen[code], "no case has the label %v", code)
				}
			}
		})
	}
}

// TestContrast checks that lesions differ from the rest of the scan as they do in real
// scans: brighter on DWI, brighter on FLAIR and T2, darker on T1.
func TestContrast(t *testing.T) {
	for kind, want := range map[Kind][]float64{PICAI: {0, 0, 1}, BraTS: {1, -1, 0, 1}} {
		t.Run(string(kind), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "p")
			require.NoError(t, Generate(dir, small[kind]))
			set, err := dataset.Find(dir)
			require.NoError(t, err)
			for _, c := range set.Train {
				s, err := dataset.Protocol{}.Valid(c)
				require.NoError(t, err)
				image, label := s.Image.Data().([]float32), s.Label.Data().([]uint8)
				for ch, sign := range want {
					if sign == 0 {
						continue // T2W and ADC separate a lesion from the gland only; rim and core of a tumor differ in contrast-enhanced T1
					}
					var in, out, n, m float64
					for i, l := range label {
						switch v := float64(image[ch*len(label)+i]); {
						case l == 1:
							in, n = in+v, n+1
						case v != 0:
							out, m = out+v, m+1
						}
					}
					if n > 0 {
						assert.Positive(t, sign*(in/n-out/m), "%s channel %d: %.2f inside, %.2f outside", c.ID, ch, in/n, out/m)
					}
				}
			}
		})
	}
}

// TestLesionAgainstGland checks that a lesion in the gland is darker on ADC and brighter
// on DWI than the tissue that it replaces.
func TestLesionAgainstGland(t *testing.T) {
	g := grid{dims: [3]int{80, 64, 24}, spacing: point{1, 1, 3}, world: orientation(0, point{})}
	for seed := range uint64(10) {
		p := newProstate(rand.New(rand.NewPCG(seed, 0)), g, 1)
		p.nodule, p.cyst = nil, nil
		healthy := *p
		healthy.lesions = nil
		at := p.lesions[0].shape.center
		sick, well := p.values(at), healthy.values(at)
		assert.Less(t, sick[1], well[1], "ADC, seed %d", seed)
		assert.Greater(t, sick[2], well[2]+10, "HBV, seed %d", seed)
		assert.NotZero(t, p.label(at))
		assert.Zero(t, healthy.label(at))
	}
}

func TestGrids(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	o := small[PICAI]
	require.NoError(t, Generate(dir, o))
	set, err := dataset.Find(dir)
	require.NoError(t, err)
	c := set.Train[0]
	t2w, err := volume.ReadHeader(c.Images[0])
	require.NoError(t, err)
	adc, err := volume.ReadHeader(c.Images[1])
	require.NoError(t, err)
	hbv, err := volume.ReadHeader(c.Images[2])
	require.NoError(t, err)
	assert.InDeltaSlice(t, []float64{1, 1, 3}, sliceOf(t2w.Spacing()), 1e-6)
	assert.InDeltaSlice(t, []float64{2, 2, 3}, sliceOf(adc.Spacing()), 1e-6)
	assert.Equal(t, adc.Affine, hbv.Affine)
	assert.Greater(t, math.Abs(t2w.Affine[2][1]), 0.1, "the grid is oblique")
	assert.Equal(t, volume.Int16, t2w.Type)
}

func sliceOf(a [3]float64) []float64 { return a[:] }

func TestDefaultsAndErrors(t *testing.T) {
	o, err := Options{Kind: BraTS}.complete()
	require.NoError(t, err)
	assert.Equal(t, Options{Kind: BraTS, Train: 24, Valid: 8, Size: [3]int{64, 64, 48}}, o)
	for name, bad := range map[string]Options{
		"Kind":     {},
		"negative": {Kind: PICAI, Train: -1},
		"Size":     {Kind: PICAI, Size: [3]int{64, 7, 64}},
	} {
		assert.ErrorContains(t, Generate(filepath.Join(t.TempDir(), "p"), bad), name)
	}
}

func TestReuse(t *testing.T) {
	o := Options{Kind: BraTS, Train: 1, Valid: 1, Size: [3]int{12, 12, 12}}
	base := t.TempDir()
	dir := filepath.Join(base, "p")
	require.NoError(t, os.Mkdir(dir, 0o755)) // an empty folder is replaced
	require.NoError(t, Generate(dir, o))
	image := filepath.Join(dir, "TrainImage", "phantom_001_image.nii.gz")
	before, err := os.Stat(image)
	require.NoError(t, err)
	require.NoError(t, Generate(dir, o))
	after, err := os.Stat(image)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "a complete phantom is reused")
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(readme), "SYNTHETIC")

	other := o
	other.Seed = 9
	assert.ErrorContains(t, Generate(dir, other), "another phantom")
	require.NoError(t, os.Truncate(image, 100))
	assert.ErrorContains(t, Generate(dir, o), "100 bytes")
	require.NoError(t, os.Remove(image))
	assert.ErrorContains(t, Generate(dir, o), "is incomplete")

	mine := filepath.Join(base, "mine")
	require.NoError(t, os.Mkdir(mine, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(mine, "thesis.txt"), nil, 0o644))
	assert.ErrorContains(t, Generate(mine, o), "not empty")
	assert.FileExists(t, filepath.Join(mine, "thesis.txt"))

	entries, err := os.ReadDir(base)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "no temporary folder is left")
}

func TestConcurrentGeneration(t *testing.T) {
	o := Options{Kind: BraTS, Train: 1, Valid: 1, Size: [3]int{12, 12, 12}}
	dir := filepath.Join(t.TempDir(), "p")
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = Generate(dir, o) })
	}
	wg.Wait()
	for _, err := range errs {
		assert.NoError(t, err)
	}
	_, err := dataset.Find(dir)
	assert.NoError(t, err)
}

func TestFailureLeavesNothing(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.Error(t, Generate(filepath.Join(file, "p"), small[BraTS]))
	require.Error(t, Generate(file, small[BraTS]))
	entries, err := os.ReadDir(base)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func TestFieldIsBoundedAndSmooth(t *testing.T) {
	f := field{seed: 3, pitch: 4}
	var low, high float64
	for i := range 4000 {
		p := point{float64(i) * 0.37, -float64(i) * 0.11, 5}
		v := f.octaves(p)
		low, high = min(low, v), max(high, v)
		p[0] += 1e-6
		assert.InDelta(t, v, f.octaves(p), 1e-5)
	}
	assert.GreaterOrEqual(t, low, -1.0)
	assert.LessOrEqual(t, high, 1.0)
	assert.Less(t, low, -0.3)
	assert.Greater(t, high, 0.3)
}

func TestGenerated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	assert.False(t, Generated(dir))
	require.NoError(t, Generate(dir, Options{Kind: PICAI, Train: 1, Valid: 1, Size: [3]int{8, 8, 8}}))
	assert.True(t, Generated(dir))
	require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), []byte("{}"), 0o644))
	assert.False(t, Generated(dir), "another file of that name")
}
