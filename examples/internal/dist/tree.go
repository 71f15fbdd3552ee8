package dist

import "math/bits"

// Half returns the number of samples in the first half of n, ⌈n/2⌉. It defines the order in
// which gradients are summed.
func Half(n int) int { return (n + 1) / 2 }

// Share returns the samples [from, to) of a step of n samples that a process computes. A power
// of two of processes is split along the tree of the samples; the share can be empty. Others
// get equal shares up to one sample.
func Share(n, rank, size int) (from, to int) {
	if bits.OnesCount(uint(size)) != 1 {
		return rank * n / size, (rank + 1) * n / size
	}
	to = n
	for size > 1 {
		size /= 2
		half := from + Half(to-from)
		if rank < size {
			to = half
		} else {
			rank -= size
			from = half
		}
	}
	return from, to
}

// sumTree adds vectors of equal length by the tree and stores the sum in the first. It
// overwrites the others.
func sumTree(vectors [][]float32) {
	if len(vectors) == 1 {
		return
	}
	half := Half(len(vectors))
	sumTree(vectors[:half])
	sumTree(vectors[half:])
	a, b := vectors[0], vectors[half]
	b = b[:len(a)]
	for i := range a {
		a[i] += b[i]
	}
}
