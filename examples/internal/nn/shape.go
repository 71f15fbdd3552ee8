package nn

import (
	"fmt"
	"math"
)

// Normalized returns the spec with all-zero strides and dilations replaced by their default
// of 1, or an error that names an invalid setting.
func (s ConvSpec) Normalized() (ConvSpec, error) {
	if s.Stride == [3]int{} {
		s.Stride = [3]int{1, 1, 1}
	}
	if s.Dilation == [3]int{} {
		s.Dilation = [3]int{1, 1, 1}
	}
	for axis, name := range [3]string{"x", "y", "z"} {
		switch {
		case s.Stride[axis] < 1:
			return s, fmt.Errorf("stride along %s is %d, want at least 1", name, s.Stride[axis])
		case s.Dilation[axis] < 1:
			return s, fmt.Errorf("dilation along %s is %d, want at least 1", name, s.Dilation[axis])
		case s.Padding[axis] < 0:
			return s, fmt.Errorf("padding along %s is %d, want at least 0", name, s.Padding[axis])
		case s.OutputPadding[axis] < 0 || s.OutputPadding[axis] > 0 && s.OutputPadding[axis] >= max(s.Stride[axis], s.Dilation[axis]):
			return s, fmt.Errorf("output padding along %s is %d, want 0 or a number less than the stride %d or the dilation %d",
				name, s.OutputPadding[axis], s.Stride[axis], s.Dilation[axis])
		}
	}
	return s, nil
}

// OutputSize returns the spatial size of a convolution's result,
// ⌊(n + 2·padding − dilation·(k−1) − 1)/stride⌋ + 1 along each axis. The spec must be
// normalized.
func (s ConvSpec) OutputSize(in, kernel [3]int) ([3]int, error) {
	var out [3]int
	for i := range out {
		span := in[i] + 2*s.Padding[i] - s.Dilation[i]*(kernel[i]-1) - 1
		if span < 0 {
			return out, fmt.Errorf("kernel %v with dilation %v does not fit into size %v with padding %v", kernel, s.Dilation, in, s.Padding)
		}
		out[i] = span/s.Stride[i] + 1
	}
	return out, nil
}

// TransposedSize returns the spatial size of a transposed convolution's result,
// (n−1)·stride − 2·padding + dilation·(k−1) + outputPadding + 1 along each axis. The spec
// must be normalized.
func (s ConvSpec) TransposedSize(in, kernel [3]int) ([3]int, error) {
	var out [3]int
	for i := range out {
		out[i] = (in[i]-1)*s.Stride[i] - 2*s.Padding[i] + s.Dilation[i]*(kernel[i]-1) + s.OutputPadding[i] + 1
		if out[i] < 1 {
			return out, fmt.Errorf("padding %v leaves an empty output for size %v", s.Padding, in)
		}
	}
	return out, nil
}

// Normalized returns the spec with an all-zero stride replaced by its default, the kernel
// size, or an error that names an invalid setting.
func (s PoolSpec) Normalized() (PoolSpec, error) {
	if s.Stride == [3]int{} {
		s.Stride = s.Kernel
	}
	for axis, name := range [3]string{"x", "y", "z"} {
		switch {
		case s.Kernel[axis] < 1:
			return s, fmt.Errorf("kernel along %s is %d, want at least 1", name, s.Kernel[axis])
		case s.Stride[axis] < 1:
			return s, fmt.Errorf("stride along %s is %d, want at least 1", name, s.Stride[axis])
		case s.Padding[axis] < 0 || s.Padding[axis] > s.Kernel[axis]/2:
			return s, fmt.Errorf("padding along %s is %d, want 0 to %d, half the kernel", name, s.Padding[axis], s.Kernel[axis]/2)
		}
	}
	return s, nil
}

// OutputSize returns the spatial size of a pooling's result,
// ⌊(n + 2·padding − kernel)/stride⌋ + 1 along each axis. The spec must be normalized.
func (s PoolSpec) OutputSize(in [3]int) ([3]int, error) {
	var out [3]int
	for i := range out {
		span := in[i] + 2*s.Padding[i] - s.Kernel[i]
		if span < 0 {
			return out, fmt.Errorf("kernel %v does not fit into size %v with padding %v", s.Kernel, in, s.Padding)
		}
		out[i] = span/s.Stride[i] + 1
	}
	return out, nil
}

// SizeError reports a volume size that a network does not accept.
type SizeError struct {
	// Network is the name of the network.
	Network string
	// Size is the spatial size X, Y, Z of the volume.
	Size [3]int
	// Multiple holds the numbers of which the axes must be positive multiples.
	Multiple [3]int
}

// Error states the size and the numbers of which it must be a multiple.
func (e *SizeError) Error() string {
	return fmt.Sprintf("%s: volume size %d×%d×%d: every axis must be a positive multiple of %d×%d×%d",
		e.Network, e.Size[0], e.Size[1], e.Size[2], e.Multiple[0], e.Multiple[1], e.Multiple[2])
}

// CheckMultiple returns a *SizeError unless each axis of size is a positive multiple of the
// corresponding entry of multiple.
func CheckMultiple(network string, size, multiple [3]int) error {
	for i := range size {
		if size[i] <= 0 || size[i]%multiple[i] != 0 {
			return &SizeError{Network: network, Size: size, Multiple: multiple}
		}
	}
	return nil
}

// Elements returns the number of elements of an array with the given shape, 1 for a scalar.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// CheckShape returns an error unless every axis of shape has a positive length and the number
// of elements fits into an int32.
func CheckShape(shape []int) error {
	n := 1
	for _, d := range shape {
		if d < 1 || n > math.MaxInt32/d {
			return fmt.Errorf("shape %v is invalid or too large", shape)
		}
		n *= d
	}
	return nil
}
