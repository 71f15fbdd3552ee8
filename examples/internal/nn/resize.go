package nn

import (
	"fmt"
	"math"
)

// ResizeMode is a method of computing the voxels of a resized axis. Below, voxel d is one of
// m voxels of an axis that had n voxels before.
type ResizeMode uint8

const (
	// Nearest copies voxel ⌊d·n/m⌋.
	Nearest ResizeMode = iota
	// Linear interpolates at max(0, (d + ½)·n/m − ½): both grids have the same extent, and
	// the outermost voxel centers are half a voxel inside.
	Linear
	// LinearAligned interpolates at d·(n−1)/(m−1), or at 0 if m is 1: the outermost voxel
	// centers do not move.
	LinearAligned
)

// String returns the name of the mode.
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

// ResizeTap defines a voxel of a resized axis as
// (1 − Weight)·voxel At + Weight·voxel Next. If Weight is 0, Next equals At.
type ResizeTap struct {
	At, Next int
	Weight   float64
}

// Taps returns the taps of an axis with to voxels that had from voxels before. The three axes
// are resized independently, in any order. All backends use it.
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
