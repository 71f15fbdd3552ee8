package report

import (
	"strings"
	"unicode/utf8"
)

// Table is a Markdown table. The first column is left-aligned and the others are
// right-aligned; cells are padded so that the table is also readable as plain text.
type Table struct {
	Header []string
	Rows   [][]string
	// MoreLabels is the number of columns after the first that are also left-aligned.
	MoreLabels int
}

// String returns the table as Markdown, including the final line break. A row shorter
// than the header is filled with empty cells.
func (t Table) String() string {
	width := make([]int, len(t.Header))
	for i, h := range t.Header {
		// "--:" is the shortest separator that right-aligns a column.
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
	separator := make([]string, len(width))
	for i, w := range width {
		separator[i] = strings.Repeat("-", w)
		if i > t.MoreLabels {
			separator[i] = strings.Repeat("-", w-1) + ":"
		}
	}
	line(separator)
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}

func escape(cell string) string { return strings.ReplaceAll(cell, "|", `\|`) }
