package editdistance

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"model.0.a", "model.1.a", 1}, {"abcdefgh", "ijklmnop", 5}} {
		assert.Equal(t, c.want, Of(c.a, c.b, 5), "%s %s", c.a, c.b)
		assert.Equal(t, c.want, Of(c.b, c.a, 5), "%s %s", c.b, c.a)
	}
}
