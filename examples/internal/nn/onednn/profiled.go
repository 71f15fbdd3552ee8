//go:build onednn

package onednn

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// profile accumulates times. The worker adds to it while other goroutines may read
// it.
type profile struct {
	mu    sync.Mutex
	times map[profileKey]*Entry
}

type profileKey struct{ op, shape string }

// timed returns a function that runs f and records its duration.
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

// entries returns the accumulated times, longest first, and resets them.
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

// profiled waits for all queued work and returns its times; see Profile.
func (b *backend) profiled() []Entry {
	if b.profile == nil {
		return nil
	}
	b.worker.wait(func() {})
	return b.profile.entries()
}
