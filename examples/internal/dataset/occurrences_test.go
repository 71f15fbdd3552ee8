package dataset

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestListedProblems(t *testing.T) {
	assert.Equal(t, "a; b", listed([]string{"a", "b"}))
	assert.Equal(t, "a"+resampleHint, listed([]string{"a" + resampleHint}))
	assert.Equal(t, "a; b; c; d"+fillHint+resampleHint, listed([]string{"a" + resampleHint, "b", "c" + fillHint, "d" + resampleHint}))
	var many []string
	for i := range 23 {
		many = append(many, fmt.Sprint(i)+fillHint)
	}
	assert.Equal(t, "0; 1; 2; 3; 4; 5; 6; 7; 8; 9; 10; 11; 12; 13; 14; 15; 16; 17; 18; 19; and 3 more"+fillHint, listed(many))
	assert.Equal(t, "0"+fillHint, many[0], "the list is not changed")
}

func TestOccurrences(t *testing.T) {
	m := map[string]*occurrences{}
	for _, id := range []string{"a", "b", "c"} {
		note(m, "x", id)
	}
	note(m, "y", "b")
	assert.Equal(t, "all 3 cases", m["x"].of(3))
	assert.Equal(t, "3 of 4 cases (the first is a)", m["x"].of(4))
	assert.Equal(t, "1 of 3 cases (the first is b)", m["y"].of(3))
	assert.Equal(t, "case b", m["y"].of(1))
	assert.Equal(t, "1 of 9 cases is wrong: ", wrongCases(1, 9))
	assert.Equal(t, "2 of 9 cases are wrong: ", wrongCases(2, 9))
}
