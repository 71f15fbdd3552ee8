package train

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestClock(t *testing.T) {
	c := clock{epochs: 3, steps: 10, cases: 4, lossesLeft: 1, whole: "run"}
	c.step(6 * time.Second)
	// Without a timed validation case, a case counts as a third of a step: 9 steps of 6 s
	// and 4 cases of 2 s.
	assert.Equal(t, "left: epoch 1m02s, run 6m58s", c.left(1, 1, 0))
	c.step(6 * time.Second)
	c.valid(time.Second)
	// Epoch: 8·6 + 4; run: + 2 epochs of 64 + 4 for the final pass, + 3·64 + 4 for the next
	// loss.
	assert.Equal(t, "left: epoch 52s, run 6m20s", c.left(1, 2, 0))
	// The final pass of the last loss.
	c.lossesLeft = 0
	assert.Equal(t, "left: epoch 1s, run 1s", c.left(4, 10, 3))
}
