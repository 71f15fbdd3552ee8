package train

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestClock(t *testing.T) {
	c := clock{networks: make([]timing, 1)}
	// Three epochs of ten steps and four cases, each training ends with another pass over
	// the cases, and another loss follows.
	follows := []amount{{0, 20, 8 + 4}, {0, 30, 12 + 4}}
	assert.Equal(t, "left: epoch 0s, run 0s", c.left(amount{0, 10, 4}, follows), "nothing is known yet")
	c.sample(6 * time.Second)
	// Without a timed validation case, a case counts as a third of a step: 9 steps of 6 s
	// and 4 cases of 2 s; then 20·6 + 12·2 and 30·6 + 16·2.
	assert.Equal(t, "left: epoch 1m02s, run 6m58s", c.left(amount{0, 9, 4}, follows))
	c.sample(6 * time.Second)
	c.valid(time.Second)
	// Epoch: 8·6 + 4; run: + 20·6 + 12, + 30·6 + 16.
	assert.Equal(t, "left: epoch 52s, run 6m20s", c.left(amount{0, 8, 4}, follows))
	// The final pass of the last loss.
	assert.Equal(t, "left: epoch 1s, run 1s", c.left(amount{0, 0, 1}, nil))
	// A session that begins with the final evaluation has timed no step.
	c = clock{networks: make([]timing, 1)}
	c.valid(time.Second)
	assert.Equal(t, "left: epoch 2s, run 33s", c.left(amount{0, 0, 2}, []amount{{0, 10, 1}}))
}

func TestClockOfSeveralNetworks(t *testing.T) {
	c := clock{networks: []timing{{sampleCost: 30, caseCost: 10}, {sampleCost: 300, caseCost: 50}, {}}}
	c.sample(2 * time.Second)
	c.valid(time.Second)
	// The second network costs ten and five times as much; the cost of the third is unknown.
	assert.Equal(t, "left: epoch 10s, run 3m25s", c.left(amount{0, 4, 2}, []amount{{1, 9, 1}, {2, 4, 2}}))
	c.current = 1
	c.sample(5 * time.Second)
	// Now the second network's own steps count, and the third is taken to be like it.
	assert.Equal(t, "left: epoch 25s, run 31s", c.left(amount{1, 5, 0}, []amount{{2, 1, 1}}))
}
