package report

import (
	"strings"
	"unicode/utf8"
)

// Table is a Markdown table. Its first column is set to the left, the others
// to the right, and the cells are padded so that it reads well as plain text.
type Table struct {
	Header []string
	Rows   [][]string
	// MoreLabels is the number of columns, after the first, that are set to the left
	// too.
	MoreLabels int
}

// String returns the table as Markdown, with a line break at its end. A row
// shorter than the header is filled with empty cells.
func (t Table) String() string {
	width := make([]int, len(t.Header))
	for i, h := range t.Header {
		// "--:" is the shortest rule that sets a column to the right.
		width[i] = max(utf8.RuneCountInString(escape(h)), 3)
	}
	for _, row := range t.Rows {
		for i := range min(len(row), len(width)) {
			width[i] = max(width[i], utf8.RuneCountInString(escape(row[i])))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		b.WriteByte('|')
		for i, w := range width {
			cell := ""
			if i < len(cells) {
				cell = escape(cells[i])
			}
			pad := strings.Repeat(" ", w-utf8.RuneCountInString(cell))
			if i <= t.MoreLabels {
				cell += pad
			} else {
				cell = pad + cell
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteByte('\n')
	}
	line(t.Header)
	rule := make([]string, len(width))
	for i, w := range width {
		rule[i] = strings.Repeat("-", w)
		if i > t.MoreLabels {
			rule[i] = strings.Repeat("-", w-1) + ":"
		}
	}
	line(rule)
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}

func escape(cell string) string { return strings.ReplaceAll(cell, "|", `\|`) }
