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
	// Op is the name of the operation, followed by the name of the part if the
	// operation has several parts.
	Op string
	// Shape describes the operands. For a convolution it ends with the implementation.
	Shape string
	// Calls is the number of runs and Time their total duration.
	Calls int
	Time  time.Duration
}

// Profile returns the time that each kind of work took since the last call,
// longest first. The backend must have been created with Config.Profile set; for
// any other backend Profile returns nil.
func Profile(b nn.Backend) []Entry {
	p, ok := b.(interface{ profiled() []Entry })
	if !ok {
		return nil
	}
	return p.profiled()
}

// Table formats entries as text: the total time of each operation, then the time
// of each operation and shape, both divided by the number of steps.
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
