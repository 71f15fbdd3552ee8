package portable

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPoolReusesAndLetsGo(t *testing.T) {
	var p pool[float32]
	pooled := func() (n int) {
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
	assert.Equal(t, 3, pooled())
	for range 3 * maxIdleSteps {
		again := p.get(990) // a little smaller, from the same list
		assert.Same(t, &b[0], &again[0], "the most recently used one")
		p.put(again)
		p.endStep()
	}
	assert.Equal(t, 1, pooled(), "idle slices are dropped")
	for range 2 * maxIdleSteps {
		p.endStep()
	}
	assert.Zero(t, pooled())

	assert.Equal(t, 64, cap(p.get(1)))
	assert.Equal(t, 1024, cap(p.get(1000)))
	assert.Equal(t, 1<<20+1<<17, cap(p.get(1<<20+1)))
}
