package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
)

func TestParseLosses(t *testing.T) {
	names, err := ParseLosses("dice, afl")
	require.NoError(t, err)
	assert.Equal(t, []string{"dice", "afl"}, names)
	names, err = ParseLosses("all")
	require.NoError(t, err)
	assert.Equal(t, afl.Names(), names)
	for _, bad := range []string{"", "dise", "afl,dice,afl", "none"} {
		_, err := ParseLosses(bad)
		assert.ErrorContains(t, err, "-losses", bad)
	}
}
