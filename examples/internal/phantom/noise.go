package phantom

import "math"

// field is smooth spatial noise: random values in -1 … 1 on a cubic lattice with the
// given pitch in millimeters, interpolated with a smoothstep (value noise). It is a
// function of position and can be sampled on any grid.
type field struct {
	seed  uint64
	pitch float64
}

func (f field) at(p point) float64 {
	var cell [3]int64
	var t [3]float64
	for i, x := range p {
		x /= f.pitch
		lo := math.Floor(x)
		u := x - lo
		cell[i], t[i] = int64(lo), u*u*(3-2*u)
	}
	var sum float64
	for corner := range int64(8) {
		dx, dy, dz := corner&1, corner>>1&1, corner>>2
		w := weight(t[0], dx) * weight(t[1], dy) * weight(t[2], dz)
		sum += w * f.lattice(cell[0]+dx, cell[1]+dy, cell[2]+dz)
	}
	return sum
}

func weight(t float64, upper int64) float64 {
	if upper == 1 {
		return t
	}
	return 1 - t
}

// octaves adds two more fields, each with half the pitch and half the amplitude of the
// one before, scaled to remain within -1 … 1.
func (f field) octaves(p point) float64 {
	half, quarter := field{f.seed + 1, f.pitch / 2}, field{f.seed + 2, f.pitch / 4}
	return (4*f.at(p) + 2*half.at(p) + quarter.at(p)) / 7
}

// lattice hashes a lattice point to -1 … 1 with the finalizer of SplitMix64.
func (f field) lattice(x, y, z int64) float64 {
	h := f.seed
	for _, v := range [...]int64{x, y, z} {
		h = mix(h ^ uint64(v))
	}
	return float64(h>>11)/(1<<52) - 1
}

func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
