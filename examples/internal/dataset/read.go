package dataset

import (
	"fmt"
	"math"
	"slices"

	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// Reading says what to do with files that would otherwise be errors. The zero Reading does
// nothing.
type Reading struct {
	// FillNaN replaces image values that are NaN or infinite by Fill.
	FillNaN bool
	Fill    float64
	// ResampleLabels resamples a label that is on another grid than its image, by nearest
	// neighbor. (A label on the same grid with its axes in another order or direction is
	// always reoriented, which is exact.)
	ResampleLabels bool
}

// contents is what a case's files contain, as far as [Set.Check] needs it.
type contents struct {
	// constant lists the channels whose voxels are all equal.
	constant []int
	// labels are the values of the label, ascending, including 0.
	labels []int
}

// image reads an image and lists its constant channels. Every voxel must be finite in single
// precision, unless it is filled.
func (r Reading) image(path string) (a array[float32], constant []int, err error) {
	v, err := volume.Read(path)
	if err != nil {
		return a, nil, err
	}
	a = array[float32]{channels: v.Channels, dims: v.Dims, affine: v.Affine, data: make([]float32, len(v.Data))}
	for i, x := range v.Data {
		y := float32(x)
		if math.IsNaN(x) || math.IsInf(float64(y), 0) {
			if !r.FillNaN {
				return a, nil, fmt.Errorf("%s: voxel %v is %v; image values must be finite%s", path, a.voxel(i), x, fillHint)
			}
			y = float32(r.Fill)
		}
		a.data[i] = y
	}
	n := a.voxels()
	for c := range a.channels {
		x := a.data[c*n : (c+1)*n]
		if !slices.ContainsFunc(x, func(y float32) bool { return y != x[0] }) {
			constant = append(constant, c)
		}
	}
	return a, constant, nil
}

// readLabel reads a label as the codes of the scheme: 1 for every nonzero voxel, or the
// number of the class, or the set of regions. It also returns the values of the file.
func readLabel(path string, scheme segment.Scheme) (array[uint8], []int, error) {
	v, err := volume.ReadLabel(path)
	if err != nil {
		return array[uint8]{}, nil, err
	}
	a := array[uint8]{channels: 1, dims: v.Dims, affine: v.Affine, data: make([]uint8, len(v.Data))}
	codes := map[float64]uint8{}
	last, code := math.NaN(), uint8(0)
	for i, x := range v.Data {
		if x != last { // labels come in runs, so this avoids most lookups
			known := false
			if code, known = codes[x]; !known {
				code = scheme.Code(int(min(x, math.MaxInt32)))
				codes[x] = code
			}
			last = x
		}
		a.data[i] = code
	}
	var values []int
	for x := range codes {
		values = append(values, int(min(x, math.MaxInt32)))
	}
	slices.Sort(values)
	return a, values, nil
}

// ReadLabel reads the label of a case with the values of its file, on the grid of the case's
// first image: reoriented or, if r says so, resampled as in training.
func ReadLabel(c Case, r Reading) (*volume.Volume, error) {
	if len(c.Images) == 0 || c.Label == "" {
		return nil, fmt.Errorf("dataset: ReadLabel: case %s has %d images and the label %q, want at least one image and a label", c.ID, len(c.Images), c.Label)
	}
	image, err := volume.ReadHeader(c.Images[0])
	if err != nil {
		return nil, fmt.Errorf("dataset: case %s: %w", c.ID, err)
	}
	v, err := volume.ReadLabel(c.Label)
	if err != nil {
		return nil, fmt.Errorf("dataset: case %s: %w", c.ID, err)
	}
	label := array[float64]{channels: 1, dims: v.Dims, affine: v.Affine, data: v.Data}
	if label, err = place(c.Images[0], image.Dims, image.Affine, c.Label, label, r.ResampleLabels); err != nil {
		return nil, fmt.Errorf("dataset: case %s: %w", c.ID, err)
	}
	return &volume.Volume{Dims: label.dims, Channels: 1, Data: label.data, Affine: label.affine}, nil
}

// voxel returns the voxel indices of data[i].
func (a array[T]) voxel(i int) [3]int {
	i %= a.voxels()
	return [3]int{i / (a.dims[1] * a.dims[2]), i / a.dims[2] % a.dims[1], i % a.dims[2]}
}
