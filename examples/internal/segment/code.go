package segment

import "slices"

// Code returns what a label's value is stored as in a training sample: 1 for every nonzero
// label if the scheme is binary, the number of the class from 1 on, or the set of regions
// with bit r for the r-th one. Code 0 is the background, to which a label belongs that no
// class or region has.
func (s Scheme) Code(label int) uint8 {
	if s.Kind == Binary {
		if label != 0 {
			return 1
		}
		return 0
	}
	var code uint8
	for i, g := range s.Segments {
		switch {
		case !g.Has(label):
		case s.Kind == Classes:
			return uint8(i + 1)
		default:
			code |= 1 << i
		}
	}
	return code
}

// Maps returns the target of a loss for the given codes and its number of channels: for
// regions a map of 0 and 1 for each, one after another; for other schemes the codes
// themselves, which are class indices, and 1.
func (s Scheme) Maps(codes []uint8) (maps []uint8, channels int) {
	if s.Kind != Regions {
		return codes, 1
	}
	maps = make([]uint8, len(s.Segments)*len(codes))
	for r := range s.Segments {
		row := maps[r*len(codes):][:len(codes)]
		for i, code := range codes {
			row[i] = code >> r & 1
		}
	}
	return maps, len(s.Segments)
}

// Compose returns the label that is written for each code. The label of a class is its own.
// For a set of regions it is the label that belongs to exactly these. If there is none, as
// for a core predicted outside its tumor, the last of the regions decides, with its first
// label that no later region has: regions are painted in order, each over those before it.
func (s Scheme) Compose() []int {
	switch s.Kind {
	case Classes:
		labels := make([]int, len(s.Segments)+1)
		for i, g := range s.Segments {
			labels[i+1] = g.Labels[0]
		}
		return labels
	case Regions:
		labels := make([]int, 1<<len(s.Segments))
		for r := range s.Segments {
			for code := 1 << r; code < 2<<r; code++ {
				labels[code] = s.own(r)
			}
		}
		// In reverse, so that of several labels with one code the first one is taken.
		for _, g := range slices.Backward(s.Segments) {
			for _, label := range slices.Backward(g.Labels) {
				labels[s.Code(label)] = label
			}
		}
		return labels
	}
	return []int{0, 1}
}
