// Package statistics compares two methods by their values on the same cases.
//
// The cases are the units of every test and interval here. Values of one case that differ
// only in the seed of a training are not independent: they must be averaged first.
package statistics
