package volume

import (
	"fmt"
	"math"
)

const (
	// labelTolerance is the largest distance of a stored label from a whole number. Labels
	// saved under the header of an integer scan are scaled, so that 1 becomes
	// 0.9999999997671694; an interpolated label is farther away.
	labelTolerance = 1e-3
	// maxLabelValues is the maximum number of distinct nonzero values of a label. Tumor
	// labels have a handful; a scan mistaken for a label has hundreds.
	maxLabelValues = 64

	// A scan with few values is told from a label by its noise: labels are areas of equal
	// values, so that far fewer than half of the voxels differ from the one before. Below
	// these numbers of values and voxels nothing can be told.
	fewLabelValues = 8
	fewVoxels      = 1000
)

// ReadLabel reads an image as [Read] does and checks that it is a label with
// [Volume.RoundLabel].
func ReadLabel(path string) (*Volume, error) {
	v, err := Read(path)
	if err != nil {
		return nil, err
	}
	if err := v.RoundLabel(); err != nil {
		return nil, fmt.Errorf("volume: %w (%s)", err, path)
	}
	return v, nil
}

// RoundLabel rounds every value to the nearest whole number. It returns an error, and may
// have rounded some values, unless v has a single channel, every value is within 10⁻³ of one
// of the numbers 0, 1, 2, …, and they look like labels: at most 64 of them other than 0
// occur, and not so many that they change from voxel to voxel as in a scan.
func (v *Volume) RoundLabel() error {
	if v.Channels != 1 {
		return fmt.Errorf("the label has %d channels, want 1", v.Channels)
	}
	seen := map[float64]bool{}
	var last, lastWhole float64
	changes := 0
	for i, x := range v.Data {
		if x == last { // labels come in runs
			v.Data[i] = lastWhole
			continue
		}
		whole := math.Round(x)
		if !(math.Abs(x-whole) <= labelTolerance) || whole < 0 {
			return fmt.Errorf("voxel %v is %v; labels must be the whole numbers 0, 1, 2, …, to within %g%s", v.voxel(i), x, labelTolerance, v.looksLike())
		}
		whole = math.Abs(whole) // −0
		v.Data[i] = whole
		last, lastWhole = x, whole
		changes++
		if whole != 0 {
			seen[whole] = true
		}
		if len(seen) > maxLabelValues {
			return fmt.Errorf("more than %d distinct values: this is an image, not a label", maxLabelValues)
		}
	}
	if n := len(v.Data); n >= fewVoxels && len(seen) > fewLabelValues && changes > n/2 {
		return fmt.Errorf("%d distinct values that change from voxel to voxel: this is an image, not a label", len(seen))
	}
	return nil
}

// looksLike returns a remark for an error if v, which is not a label, looks like a scan: if
// it has more distinct values than a label.
func (v *Volume) looksLike() string {
	seen := map[float64]bool{}
	for _, x := range v.Data {
		if seen[x] = true; len(seen) > maxLabelValues {
			return "; this looks like an image, not a label"
		}
	}
	return ""
}

// voxel returns the voxel indices of Data[i].
func (v *Volume) voxel(i int) [3]int {
	return [3]int{i / (v.Dims[1] * v.Dims[2]) % v.Dims[0], i / v.Dims[2] % v.Dims[1], i % v.Dims[2]}
}
