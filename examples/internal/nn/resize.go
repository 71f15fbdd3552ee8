package nn

import (
	"fmt"
	"math"
)

// ResizeMode says where the voxels of a resized axis take their values from.
// Let the axis have n voxels before and m after.
type ResizeMode uint8

const (
	// Nearest copies voxel ⌊d·n/m⌋ to voxel d.
	Nearest ResizeMode = iota
	// Linear interpolates at max(0, (d + ½)·n/m − ½): both grids span the same
	// length, with the voxels' centers half a voxel inside.
	Linear
	// LinearAligned interpolates at d·(n−1)/(m−1), or 0 where m is 1: the
	// centers of the outermost voxels stay where they are.
	LinearAligned
)

// String returns the mode's name.
func (m ResizeMode) String() string {
	switch m {
	case Nearest:
		return "nearest"
	case Linear:
		return "linear"
	case LinearAligned:
		return "linear, corners aligned"
	}
	return fmt.Sprintf("ResizeMode(%d)", uint8(m))
}

// ResizeTap says what one voxel of a resized axis is made of:
// (1 − Weight)·voxel At + Weight·voxel Next. Where Weight is 0, Next is At.
type ResizeTap struct {
	At, Next int
	Weight   float64
}

// Taps returns the tap of each of the to voxels of an axis that had from
// voxels. Three axes apply one after the other, in any order. Backends share it.
func (m ResizeMode) Taps(from, to int) ([]ResizeTap, error) {
	if from < 1 || to < 1 {
		return nil, fmt.Errorf("an axis of %d voxels cannot be resized to %d", from, to)
	}
	taps := make([]ResizeTap, to)
	for d := range taps {
		var position float64
		switch m {
		case Nearest:
			i := d * from / to
			taps[d] = ResizeTap{At: i, Next: i}
			continue
		case Linear:
			position = max(0, (float64(d)+0.5)*float64(from)/float64(to)-0.5)
		case LinearAligned:
			if to > 1 {
				position = float64(d) * float64(from-1) / float64(to-1)
			}
		default:
			return nil, fmt.Errorf("mode is %v, want Nearest, Linear or LinearAligned", m)
		}
		i := min(int(math.Floor(position)), from-1)
		taps[d] = ResizeTap{At: i, Next: i}
		if w := position - float64(i); w > 0 && i+1 < from {
			taps[d].Next, taps[d].Weight = i+1, w
		}
	}
	return taps, nil
}
