package portable

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPoolReusesAndLetsGo(t *testing.T) {
	var p pool[float32]
	held := func() (n int) {
		for _, list := range p.free {
			n += len(list)
		}
		return n
	}
	a, b, other := p.get(1000), p.get(1000), p.get(5000)
	p.put(a)
	p.put(b)
	p.put(other)
	p.endStep()
	assert.Equal(t, 3, held())
	for range 3 * patience {
		again := p.get(990) // a little smaller, from the same list
		assert.Same(t, &b[0], &again[0], "the last one used")
		p.put(again)
		p.endStep()
	}
	assert.Equal(t, 1, held(), "what no step wanted is gone")
	for range 2 * patience {
		p.endStep()
	}
	assert.Zero(t, held())

	for _, n := range []int{1, 64, 65, 1000, 1 << 20, 1<<20 + 1} {
		assert.GreaterOrEqual(t, capacity(n), n)
		assert.LessOrEqual(t, capacity(n), max(64, n+n/8+1), "at most an eighth more")
	}
}
