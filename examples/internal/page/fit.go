package page

import (
	"fmt"
	"math"
	"strings"
)

// margins are how much of an image is kept around all masks, in millimeters, if the whole is
// too large.
var margins = []float64{20, 5}

// fit returns a case that is too large in at most so many bytes: the part of the image around
// all masks and, if that is too large as well, with fewer and larger voxels. No part of a mask is
// cut off.
func (s *Scan) fit(limit int) (stored storedCase, err error) {
	part, note := s, ""
	for _, margin := range margins {
		if part = s.around(margin); part.dims != s.dims {
			note = fmt.Sprintf("The image is cropped to %g mm around the masks: %s of %s voxels.", margin, times(part.dims), times(s.dims))
		}
		if stored, err = part.stored(); err != nil || stored.size() <= limit {
			stored.Note = note
			return stored, err
		}
	}
	for stored.size() > limit && max(part.dims[0], part.dims[1], part.dims[2]) > 8 {
		part = part.halved()
		if stored, err = part.stored(); err != nil {
			return stored, err
		}
		stored.Note = strings.TrimSpace(fmt.Sprintf("%s Voxels are merged to %s mm, so that masks are coarser than predicted.", note, millimeters(part.spacing)))
	}
	return stored, nil
}

// stored returns the case as it is.
func (s *Scan) stored() (c storedCase, err error) {
	c = storedCase{ID: s.ID, Dims: s.dims, Spacing: s.spacing, Masks: make([][]byte, len(s.masks))}
	if c.Image, err = compress(s.image); err != nil {
		return c, err
	}
	for i, m := range s.masks {
		if m == nil {
			continue
		}
		if c.Masks[i], err = compress(m.bytes); err != nil {
			return c, err
		}
	}
	return c, nil
}

// around returns the part of the case with all masks and a margin around them. Without a voxel
// in any mask it is the whole case.
func (s *Scan) around(margin float64) *Scan {
	lo, hi := s.dims, [3]int{}
	n := 0
	for i := range s.dims[0] {
		for j := range s.dims[1] {
			for k := range s.dims[2] {
				if s.inAny(n) {
					for axis, c := range [3]int{i, j, k} {
						lo[axis], hi[axis] = min(lo[axis], c), max(hi[axis], c+1)
					}
				}
				n++
			}
		}
	}
	if hi == [3]int{} {
		return s
	}
	for axis := range lo {
		reach := int(math.Ceil(margin / s.spacing[axis]))
		lo[axis], hi[axis] = max(0, lo[axis]-reach), min(s.dims[axis], hi[axis]+reach)
	}
	part := &Scan{ID: s.ID, spacing: s.spacing}
	for axis := range lo {
		part.dims[axis] = hi[axis] - lo[axis]
	}
	part.fill(s, func(c [3]int) []int {
		return []int{s.index(lo[0]+c[0], lo[1]+c[1], lo[2]+c[2])}
	})
	return part
}

// halved returns the case with voxels that are twice as long along every axis where they are
// not already twice as long as along another. The image is averaged, and a voxel belongs to a
// mask if at least half of it does.
func (s *Scan) halved() *Scan {
	shortest := min(s.spacing[0], s.spacing[1], s.spacing[2])
	half := &Scan{ID: s.ID}
	var factor [3]int
	for axis, spacing := range s.spacing {
		factor[axis] = 1
		if spacing < 2*shortest && s.dims[axis] > 1 {
			factor[axis] = 2
		}
		half.dims[axis] = (s.dims[axis] + factor[axis] - 1) / factor[axis]
		half.spacing[axis] = spacing * float64(factor[axis])
	}
	half.fill(s, func(c [3]int) []int {
		var all []int
		for i := factor[0] * c[0]; i < min(factor[0]*(c[0]+1), s.dims[0]); i++ {
			for j := factor[1] * c[1]; j < min(factor[1]*(c[1]+1), s.dims[1]); j++ {
				for k := factor[2] * c[2]; k < min(factor[2]*(c[2]+1), s.dims[2]); k++ {
					all = append(all, s.index(i, j, k))
				}
			}
		}
		return all
	})
	return half
}

// fill sets the voxels of s to the mean of those of from whose indices of returns, and the masks
// to what at least half of them are.
func (s *Scan) fill(from *Scan, of func(c [3]int) []int) {
	size := s.dims[0] * s.dims[1] * s.dims[2]
	s.image = make([]uint8, size)
	for _, m := range from.masks {
		if m == nil {
			s.masks = append(s.masks, nil)
			continue
		}
		s.masks = append(s.masks, &bits{make([]byte, (size+7)/8)})
	}
	for n := range size {
		c := [3]int{n / (s.dims[1] * s.dims[2]), n / s.dims[2] % s.dims[1], n % s.dims[2]}
		voxels := of(c)
		sum := 0
		for _, v := range voxels {
			sum += int(from.image[v])
		}
		s.image[n] = uint8((sum + len(voxels)/2) / len(voxels))
		for i, m := range from.masks {
			if m == nil {
				continue
			}
			inside := 0
			for _, v := range voxels {
				if m.at(v) {
					inside++
				}
			}
			if 2*inside >= len(voxels) {
				s.masks[i].bytes[n/8] |= 1 << (n % 8)
			}
		}
	}
}

func (s *Scan) index(i, j, k int) int { return (i*s.dims[1]+j)*s.dims[2] + k }

// inAny reports whether a voxel belongs to any mask.
func (s *Scan) inAny(n int) bool {
	for _, m := range s.masks {
		if m != nil && m.at(n) {
			return true
		}
	}
	return false
}

func times(size [3]int) string { return fmt.Sprintf("%d×%d×%d", size[0], size[1], size[2]) }

func millimeters(v [3]float64) string { return fmt.Sprintf("%.3g×%.3g×%.3g", v[0], v[1], v[2]) }
