package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// unwrapped undoes the wrapping of notes.
func unwrapped(markdown string) string { return strings.ReplaceAll(markdown, "\n  ", " ") }

func TestWrap(t *testing.T) {
	assert.Equal(t, "- é b\n  cc d\n  longer-than-that\n  e", wrap("- é b cc d longer-than-that e", 6, "  "))
	assert.Equal(t, "short", wrap("short", 80, "  "))
	assert.Empty(t, wrap("", 80, "  "))
	text := strings.Repeat("word ", 40) + "end"
	for line := range strings.SplitSeq(wrap(text, 30, "  "), "\n") {
		assert.LessOrEqual(t, len(line), 30)
	}
	assert.Equal(t, text, unwrapped(wrap(text, 30, "  ")), "nothing else changes")
}
