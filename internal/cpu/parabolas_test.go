package cpu

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestParabolaKernels compares the kernels with plain Go, with few and many rows on either
// side, near and far ones.
func TestParabolaKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		parabolaCases(t, impl.parabolas32)
		parabolaCases(t, impl.parabolas64)
	})
}

func parabolaCases[T real](t *testing.T, kernel func(dst []T, p *Parabolas[T])) {
	r := rand.New(rand.NewPCG(12, 13))
	for range 300 {
		n := ParabolaBlock[T]() * (1 + r.IntN(9))
		rows := 1 + r.IntN(20)
		p := Parabolas[T]{Pitch: n + r.IntN(5), Row: r.IntN(rows+1) - 1}
		p.Heights = make([]T, (rows-1)*p.Pitch+n)
		scale := []float64{0, 1, 30, 1000}[r.IntN(4)]
		for i := range p.Heights {
			p.Heights[i] = T(scale * r.Float64())
		}
		squares := func(n int) (s []T) {
			step := r.Float64() * 3
			for i := range n {
				s = append(s, T(float64(i*i)*step))
			}
			return s
		}
		p.SquaresBefore, p.SquaresAfter = squares(p.Row+1), squares(rows-1-p.Row)
		want, got := make([]T, n), make([]T, n+1)
		got[n] = canary
		parabolasGo(want, &p)
		kernel(got[:n], &p)
		require.Equal(t, T(canary), got[n])
		require.Equal(t, want, got[:n], "%d rows, %d of them before", rows, p.Row+1)
	}
}

func TestParabolasByDefinition(t *testing.T) {
	block := ParabolaBlock[float32]()
	p := NewParabolas[float32]()
	p.Heights, p.Pitch, p.Row = make([]float32, 4*block), block, 1
	p.SquaresBefore, p.SquaresAfter = []float32{1, 4}, []float32{0, 1}
	for i := range block {
		p.Heights[i], p.Heights[block+i], p.Heights[2*block+i], p.Heights[3*block+i] = 0, float32(i), 9, 7
	}
	dst := make([]float32, block)
	p.Lowest(dst)
	assert.Equal(t, []float32{1, 2, 3, 4, 4, 4}, dst[:6])
	p.SquaresBefore[1] = 100
	p.Lowest(dst)
	assert.Equal(t, []float32{1, 2, 3, 4, 5, 6, 7, 8, 8, 8}, dst[:10])
	p.Row = 2
	assert.Panics(t, func() { p.Lowest(dst) }, "a row after the last")
	p.Row = 0
	assert.Panics(t, func() { p.Lowest(dst) }, "a row before the first")
	p.Row = 1
	assert.Panics(t, func() { p.Lowest(make([]float32, block+1)) })
}
