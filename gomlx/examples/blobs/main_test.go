package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDiceRises(t *testing.T) {
	var out strings.Builder
	dice, err := run(&out, 2, 18)
	require.NoError(t, err)
	require.Len(t, dice, 2)
	assert.Greater(t, dice[1], dice[0]+0.01)
	assert.Greater(t, dice[1], 0.8)
	assert.Equal(t, 2, strings.Count(out.String(), "Dice 0."))
}
