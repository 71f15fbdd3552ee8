package afl

import "strings"

// LossTable is the README's table of losses.
func LossTable() string {
	var b strings.Builder
	b.WriteString("| Constructor | Name for `afl.ByName` | What it is |\n|---|---|---|\n")
	for _, e := range registry {
		names := "`" + e.name + "`"
		for _, alias := range e.aliases {
			names += ", `" + alias + "`"
		}
		b.WriteString("| `" + e.constructor + "` | " + names + " | " + e.summary + " |\n")
	}
	return b.String()
}
