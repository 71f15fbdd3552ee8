package cudnn

import "fmt"

// Operation is one of a convolution.
type Operation uint8

// The operations: the result of a convolution, and its gradients with respect to x and to the
// weight.
const (
	Forward Operation = iota
	BackwardData
	BackwardFilter
)

// String returns "forward", "backward data" or "backward filter".
func (o Operation) String() string {
	return [...]string{"forward", "backward data", "backward filter"}[o]
}

// Convolution is one of samples × Columns channels, x, to Rows channels, y, both in
// channels-last order, with a weight of Rows × kernel × Columns:
//
//	y[o,r] = Σ_a Σ_c weight[r,a,c] · x[o·Stride + a·Dilation − Padding, c]
type Convolution struct {
	Samples, Rows, Columns            int
	X, Y                              [3]int // spatial sizes
	Kernel, Stride, Padding, Dilation [3]int
}

// String describes the convolution for reports.
func (c Convolution) String() string {
	return fmt.Sprintf("%d×%d→%d, %v→%v, kernel %v, stride %v, padding %v, dilation %v",
		c.Samples, c.Columns, c.Rows, c.X, c.Y, c.Kernel, c.Stride, c.Padding, c.Dilation)
}

// MostWorkspace is the size of the largest scratch memory, in bytes, that a plan may need.
const MostWorkspace = 1 << 30

// Alignment is that of the addresses that plans take, in bytes.
const Alignment = 16
