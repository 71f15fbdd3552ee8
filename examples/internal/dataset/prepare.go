package dataset

import (
	"fmt"
	"math"
	"strings"

	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// prepared is a case after steps 1 to 4 of Protocol.
type prepared struct {
	image   array[float32]
	label   array[uint8] // codes of Protocol.Scheme
	labeled bool
}

func (p *prepared) bytes() int64 { return 4*int64(len(p.image.data)) + int64(len(p.label.data)) }

// key identifies a case by its files.
func (c Case) key() string { return strings.Join(c.Images, "\x00") + "\x00\x00" + c.Label }

func (p Protocol) prepare(c Case) (*prepared, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	prep, err := load(c, p.Scheme)
	if err != nil {
		return nil, fmt.Errorf("dataset: case %s: %w", c.ID, err)
	}
	if p.Spacing != [3]float64{} {
		dims, m := spacingGrid(prep.image.affine, prep.image.dims, p.Spacing)
		if m != prep.image.affine {
			prep.image = resample(prep.image, dims, m, Linear)
			if prep.labeled {
				prep.label = resample(prep.label, dims, m, Nearest)
			}
		}
	}
	r := toRAS(prep.image.affine, prep.image.dims)
	prep.image = rearrange(prep.image, r)
	if prep.labeled {
		prep.label = rearrange(prep.label, r)
	}
	if p.Size != [3]int{} {
		prep.image = resizeArea(prep.image, p.Size)
		if prep.labeled && p.LabelArea {
			prep.label = resizeAreaLabel(prep.label, p.Size)
		} else if prep.labeled {
			prep.label = resizeNearest(prep.label, p.Size)
		}
	}
	return prep, nil
}

// load reads a case's files onto the grid of the first image.
func load(c Case, scheme segment.Scheme) (*prepared, error) {
	if len(c.Images) == 0 {
		return nil, fmt.Errorf("no images")
	}
	var prep prepared
	for i, path := range c.Images {
		a, err := readImage(path)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			prep.image = a
			continue
		}
		ref := prep.image
		if a.dims != ref.dims || !sameGrid(ref.affine, a.affine, ref.dims, channelTolerance) {
			if err := checkOverlap(c.Images[0], ref.affine, ref.dims, path, a.affine, a.dims); err != nil {
				return nil, err
			}
			a = resample(a, ref.dims, ref.affine, Linear)
		}
		prep.image.data = append(prep.image.data, a.data...)
		prep.image.channels += a.channels
	}
	if c.Label == "" {
		return &prep, nil
	}
	label, err := readLabel(c.Label, scheme)
	if err != nil {
		return nil, err
	}
	if err := checkLabelGrid(c.Images[0], prep.image.dims, prep.image.affine, c.Label, label.dims, label.affine); err != nil {
		return nil, err
	}
	label.affine = prep.image.affine
	prep.label, prep.labeled = label, true
	return &prep, nil
}

// checkOverlap returns an error for an image that is outside the reference image:
// resampled, it would be a channel of zeros.
func checkOverlap(first string, m affine, dims [3]int, image string, other affine, otherDims [3]int) error {
	if disjointGrids(m, dims, other, otherDims) {
		return fmt.Errorf("image %s is outside image %s of the same case, up to %.3g mm away from it", image, first, gridDistance(m, other, dims))
	}
	return nil
}

// checkLabelGrid returns an error if the label's grid differs from the image's.
func checkLabelGrid(image string, dims [3]int, m affine, label string, labelDims [3]int, labelAffine affine) error {
	if dims != labelDims {
		return fmt.Errorf("label %s has %v voxels, but its image %s has %v", label, labelDims, image, dims)
	}
	if !sameGrid(m, labelAffine, dims, labelTolerance) {
		return fmt.Errorf("label %s is up to %.3g mm away from its image %s; their affines must agree within %g of a voxel",
			label, gridDistance(m, labelAffine, dims), image, labelTolerance)
	}
	return nil
}

// readImage reads an image; every voxel must be finite in single precision.
func readImage(path string) (array[float32], error) {
	v, err := read(path)
	if err != nil {
		return array[float32]{}, err
	}
	a := array[float32]{channels: v.channels, dims: v.dims, affine: v.affine, data: make([]float32, len(v.data))}
	for i, x := range v.data {
		y := float32(x)
		if math.IsNaN(x) || math.IsInf(float64(y), 0) {
			return array[float32]{}, fmt.Errorf("%s: voxel %v is %v; image values must be finite", path, v.voxel(i), x)
		}
		a.data[i] = y
	}
	return a, nil
}

// readLabel reads a label as the codes of the scheme: 1 for every nonzero voxel, or the
// number of the class, or the set of regions.
func readLabel(path string, scheme segment.Scheme) (array[uint8], error) {
	v, err := volume.ReadLabel(path)
	if err != nil {
		return array[uint8]{}, err
	}
	a := array[uint8]{channels: 1, dims: v.Dims, affine: v.Affine, data: make([]uint8, len(v.Data))}
	for i, x := range v.Data {
		switch {
		case x == 0:
		case i > 0 && x == v.Data[i-1]: // labels come in runs, so this avoids most lookups
			a.data[i] = a.data[i-1]
		default:
			a.data[i] = scheme.Code(int(min(x, math.MaxInt32)))
		}
	}
	return a, nil
}

// voxel returns the voxel indices of data[i].
func (a array[T]) voxel(i int) [3]int {
	i %= a.voxels()
	return [3]int{i / (a.dims[1] * a.dims[2]), i / a.dims[2] % a.dims[1], i % a.dims[2]}
}

func read(path string) (array[float64], error) {
	v, err := volume.Read(path)
	if err != nil {
		return array[float64]{}, err
	}
	return array[float64]{channels: v.Channels, dims: v.Dims, affine: v.Affine, data: v.Data}, nil
}
