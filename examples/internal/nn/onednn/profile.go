package onednn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/x/afl/examples/internal/nn"
)

// Entry is the time that one kind of work took on one shape.
type Entry struct {
	// Op is the operation, with what it did where it does several things.
	Op string
	// Shape is what it worked on; for a convolution with the code that oneDNN chose.
	Shape string
	// Calls is how often it ran, Time for how long altogether.
	Calls int
	Time  time.Duration
}

// profile adds up times. The worker writes while others may read.
type profile struct {
	mu    sync.Mutex
	times map[profileKey]*Entry
}

type profileKey struct{ op, shape string }

// timed returns f with its time taken.
func (p *profile) timed(op string, shape fmt.Stringer, f func() error) func() error {
	return func() error {
		start := time.Now()
		err := f()
		took := time.Since(start)
		p.mu.Lock()
		defer p.mu.Unlock()
		key := profileKey{op, shape.String()}
		e := p.times[key]
		if e == nil {
			if p.times == nil {
				p.times = map[profileKey]*Entry{}
			}
			e = &Entry{Op: op, Shape: key.shape}
			p.times[key] = e
		}
		e.Calls++
		e.Time += took
		return err
	}
}

// entries returns what was added up, the longest first, and starts anew.
func (p *profile) entries() []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Entry, 0, len(p.times))
	for _, e := range p.times {
		all = append(all, *e)
	}
	p.times = nil
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Op, b.Op), strings.Compare(a.Shape, b.Shape))
	})
	return all
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
