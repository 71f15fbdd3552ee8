package selection

// Rank returns the number that has the index i in ascending order. It reorders the numbers, none
// of which is NaN.
func Rank[T float32 | float64](numbers []T, i int) T {
	for {
		// Of three, so that sorted numbers take no longer.
		a, b, c := numbers[0], numbers[len(numbers)/2], numbers[len(numbers)-1]
		pivot := max(min(a, b), min(max(a, b), c))
		less, equal := partition(numbers, pivot)
		switch {
		case i < less:
			numbers = numbers[:less]
		case i < less+equal:
			return pivot
		default:
			numbers, i = numbers[less+equal:], i-less-equal
		}
	}
}

// partition moves the numbers less than the pivot to the front, and those equal to it behind
// them. It returns how many both are.
func partition[T float32 | float64](numbers []T, pivot T) (less, equal int) {
	for i, v := range numbers {
		numbers[i], numbers[less] = numbers[less], v // in any case, which takes no branch at random
		if v < pivot {
			less++
		}
	}
	rest := numbers[less:]
	for i, v := range rest {
		if v == pivot {
			rest[i], rest[equal] = rest[equal], v
			equal++
		}
	}
	return less, equal
}
