package report

import (
	"strings"
	"unicode/utf8"
)

// wrap breaks text at spaces into lines of at most width characters where words allow it.
// The second line and those after it begin with indent.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	length := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case length+1+n > width:
			b.WriteString("\n" + indent)
			length = utf8.RuneCountInString(indent)
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += n
	}
	return b.String()
}
