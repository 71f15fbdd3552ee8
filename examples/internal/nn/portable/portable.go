// Package portable is the training engine's backend in Go alone: it needs no C
// library and runs wherever Go does. Arrays are plain row-major memory.
//
// Results have the same bits on every machine and for every number of
// goroutines: sums are taken in a fixed order, and the vector kernels compute
// the same as their plain Go twins.
package portable
