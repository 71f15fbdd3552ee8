package page

import (
	"fmt"
	"math"
	"slices"

	"github.com/x/afl/examples/internal/surface"
)

// Scan is a case of a Viewer, whose image has a byte and whose masks have a bit for each voxel.
// Its axes point to the patient's right, to anterior and to superior.
type Scan struct {
	ID      string
	dims    [3]int
	spacing [3]float64
	image   []uint8
	masks   []*bits // the ground truth, then the predictions; nil if there is none
}

// NewScan returns a case with an image on the grid of its label, the ground truth.
func NewScan(id string, image []float32, label surface.Mask) (*Scan, error) {
	if err := label.Check(); err != nil {
		return nil, fmt.Errorf("page: case %s: label: %w", id, err)
	}
	if len(image) != len(label.Voxels) {
		return nil, fmt.Errorf("page: case %s: the image has %d voxels, want %d as the label", id, len(image), len(label.Voxels))
	}
	s := &Scan{ID: id, dims: label.Dims, spacing: label.Spacing, image: gray(image)}
	return s, s.AddMask(label.Voxels)
}

// AddMask adds the prediction of the next layer, or nil if there is none.
func (s *Scan) AddMask(mask []bool) error {
	if mask == nil {
		s.masks = append(s.masks, nil)
		return nil
	}
	if len(mask) != len(s.image) {
		return fmt.Errorf("page: case %s: a mask has %d voxels, want %d as the image", s.ID, len(mask), len(s.image))
	}
	s.masks = append(s.masks, pack(mask))
	return nil
}

// gray returns the values of an image as bytes, from the 0.5th to the 99.5th percentile; values
// that are not finite are 0.
func gray(image []float32) []uint8 {
	lo, hi := window(image)
	bytes := make([]uint8, len(image))
	for i, v := range image {
		if d := float64(v); hi > lo && !math.IsNaN(d) {
			bytes[i] = uint8(math.Round(255 * min(max((d-lo)/(hi-lo), 0), 1)))
		}
	}
	return bytes
}

// window returns the percentiles of at most about a million voxels, evenly spaced.
func window(image []float32) (lo, hi float64) {
	const enough = 1 << 20
	// An odd step, so that it does not meet the same rows of an image again and again.
	step := len(image)/enough | 1
	var some []float32
	for i := 0; i < len(image); i += step {
		if v := float64(image[i]); !math.IsNaN(v) && !math.IsInf(v, 0) {
			some = append(some, image[i])
		}
	}
	if len(some) == 0 {
		return 0, 0
	}
	slices.Sort(some)
	last := float64(len(some) - 1)
	return float64(some[int(0.005*last)]), float64(some[int(math.Ceil(0.995*last))])
}

// bits is a mask with one bit for each voxel, the lowest of a byte first.
type bits struct{ bytes []byte }

func pack(mask []bool) *bits {
	b := &bits{make([]byte, (len(mask)+7)/8)}
	for i, v := range mask {
		if v {
			b.bytes[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

func (b *bits) at(i int) bool { return b.bytes[i/8]>>(i%8)&1 != 0 }
