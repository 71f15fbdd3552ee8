package nn

import "errors"

// SizeMultiple returns the numbers of which the axes of a network's volumes must be
// multiples, or 1 if the network accepts any size. It obtains them from the [SizeError] for
// an invalid size.
func SizeMultiple(net Network) [3]int {
	var size *SizeError
	if errors.As(net.CheckSize([3]int{}), &size) {
		return size.Multiple
	}
	return [3]int{1, 1, 1}
}
