// Package dist divides a training among processes: it sums gradients, gathers results and
// makes the processes agree on errors. The arithmetic is that of this package; a [Transport],
// such as the world of package mpi, only moves bytes.
//
// # Sums
//
// The gradient of a step is the sum over its samples in the order of a binary tree that splits
// n samples into the first ⌈n/2⌉ and the others, and so on; see [Half]. [Share] splits the
// processes along the same tree. Every process computes the part of the tree that lies within
// its own samples, and [Reducer] the part above. With a power of two of processes, the sum
// therefore has the same bits as that of a single process. Any other number of processes gets
// samples in equal shares, and the sum has bits of its own, the same in every run.
//
// A sum is moved as a reduce-scatter and an all-gather: process r receives part r of the
// vectors of all processes, adds them and sends the result to all. Each process sends and
// receives 2·(p−1)/p vectors, the least there is.
//
// # Agreement
//
// All processes take the same decisions, from results that all of them have. What happens in
// one process alone, an error or a signal, is exchanged before any of them acts on it
// ([Group.Gather], [Group.Agree]), so that none is left waiting. Every exchange is labeled, and
// one in which the labels differ is an error.
package dist
