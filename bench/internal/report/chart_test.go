package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRatioTicks(t *testing.T) {
	var labels []string
	for _, tick := range (ratioTicks{}).Ticks(-2.5, 3) {
		labels = append(labels, tick.Label)
		assert.Equal(t, math.Trunc(tick.Value), tick.Value)
	}
	assert.Equal(t, []string{"1/4", "1/2", "1", "2", "4", "8"}, labels)
}
