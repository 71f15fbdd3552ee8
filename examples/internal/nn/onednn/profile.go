package onednn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/x/afl/examples/internal/nn"
)

// Entry is the time that one kind of work took on one shape.
type Entry struct {
	// Op is the operation, with what it did where it does several things.
	Op string
	// Shape is what it worked on; for a convolution with the code that was chosen.
	Shape string
	// Calls is how often it ran, Time for how long altogether.
	Calls int
	Time  time.Duration
}

// Profile returns the time that each kind of work took on a backend made with
// Config.Profile since the last call, the longest first; nil for any other
// backend.
func Profile(b nn.Backend) []Entry {
	p, ok := b.(interface{ profiled() []Entry })
	if !ok {
		return nil
	}
	return p.profiled()
}

// Table lists entries for a reader: the time of each operation in all, then of
// each operation and shape, both divided by the number of steps.
func Table(entries []Entry, steps int) string {
	perStep := func(d time.Duration) float64 { return 1e3 * d.Seconds() / float64(steps) }
	byOp := map[string]time.Duration{}
	var all time.Duration
	for _, e := range entries {
		byOp[e.Op] += e.Time
		all += e.Time
	}
	ops := slices.SortedFunc(maps.Keys(byOp), func(a, b string) int {
		return cmp.Or(cmp.Compare(byOp[b], byOp[a]), strings.Compare(a, b))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%10.2f ms in operations\n", perStep(all))
	for _, op := range ops {
		fmt.Fprintf(&b, "%10.2f ms %5.1f %%  %s\n", perStep(byOp[op]), 100*byOp[op].Seconds()/all.Seconds(), op)
	}
	b.WriteByte('\n')
	for _, e := range entries {
		fmt.Fprintf(&b, "%10.3f ms %5d×  %s  %s\n", perStep(e.Time), (e.Calls+steps/2)/steps, e.Op, e.Shape)
	}
	return b.String()
}
