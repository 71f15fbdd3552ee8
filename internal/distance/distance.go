// Package distance compares distances with tolerances.
package distance

// Slack is the part of a tolerance by which a distance may exceed it and still
// count as within. Spacings are often stored in single precision and distances
// carry a few roundings, so a distance that equals the tolerance on paper may be
// computed slightly above it: a step of float32(1.2) is 4e-8 relative above 1.2.
const Slack = 1e-6

// Within reports whether a distance exceeds the tolerance by at most [Slack] of
// it. Of a tolerance of 0 only the distance 0 is within.
func Within(distance, tolerance float64) bool {
	return distance-tolerance <= Slack*tolerance
}
