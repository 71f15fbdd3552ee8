package nn

import "errors"

// SizeMultiple returns what each axis of a network's volumes must be a multiple
// of, which its error about a size that is none tells; 1 where it takes any.
func SizeMultiple(net Network) [3]int {
	var size *SizeError
	if errors.As(net.CheckSize([3]int{}), &size) {
		return size.Multiple
	}
	return [3]int{1, 1, 1}
}
