package portable

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// RunLoss implements nn.LossRunner: the loss reads the array's own memory, unless the box is a
// part of it, and stores its gradient in that of the result.
func (b *backend[T]) RunLoss(y nn.Array, inside nn.Box, label *tensor.Dense, loss nn.LossFunc) (nn.Array, error) {
	a, err := b.arg("y", y)
	if err == nil {
		err = inside.Check(a.shape)
	}
	if err != nil {
		return nil, fmt.Errorf("portable: RunLoss: %w", err)
	}
	g := b.newArray(a.shape...)
	var scratch []T
	if n := nn.LossScratch(a.shape, inside); n > 0 {
		scratch = b.pool.get(n)
		defer b.pool.put(scratch)
	}
	if err := nn.LossOf(a.data, g.data, scratch, a.shape, inside, label, loss); err != nil {
		b.Release(g)
		return nil, err
	}
	return g, nil
}
