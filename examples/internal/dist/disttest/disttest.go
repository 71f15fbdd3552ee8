// Package disttest runs a group of processes as goroutines, for tests.
package disttest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dist"
)

// Run calls process for each of n processes at the same time, and returns their results by
// rank. A process that waits for another one for ten seconds fails.
func Run(t *testing.T, n int, process func(g *dist.Group) error) []error {
	t.Helper()
	j := &job{size: n, posts: make([]post, n), gate: make(chan struct{})}
	errs := make([]error, n)
	var all sync.WaitGroup
	for rank := range n {
		all.Go(func() { errs[rank] = process(dist.NewGroup(&transport{j, rank})) })
	}
	all.Wait()
	return errs
}

// RequireNoErrors fails the test unless all processes succeeded.
func RequireNoErrors(t *testing.T, errs []error) {
	t.Helper()
	require.NoError(t, errors.Join(errs...))
}

// job is the state of an operation that all processes take part in.
type job struct {
	mu      sync.Mutex
	size    int
	arrived int
	posts   []post
	gate    chan struct{} // closed when all have arrived
}

// post is what one process contributes to an operation.
type post struct {
	operation string
	send      []byte
}

type transport struct {
	job  *job
	rank int
}

func (t *transport) Rank() int              { return t.rank }
func (t *transport) Size() int              { return t.job.size }
func (t *transport) Hurry(bool)             {}
func (t *transport) Alloc(bytes int) []byte { return make([]byte, bytes) }
func (t *transport) Free([]byte)            {}

// errAlone is the error of a process that the others left waiting.
var errAlone = errors.New("disttest: the other processes did not take part")

// meet waits until all processes have called it.
func (t *transport) meet(p *post) error {
	j := t.job
	j.mu.Lock()
	if p != nil {
		j.posts[t.rank] = *p
	}
	gate := j.gate
	if j.arrived++; j.arrived == j.size {
		j.arrived, j.gate = 0, make(chan struct{})
		close(gate)
	}
	j.mu.Unlock()
	select {
	case <-gate:
		return nil
	case <-time.After(10 * time.Second):
		return errAlone
	}
}

// operate posts send, calls receive with what all have posted, and waits for the others.
func (t *transport) operate(operation string, send []byte, receive func(posts []post) error) error {
	if err := t.meet(&post{operation, send}); err != nil {
		return err
	}
	var err error
	for _, p := range t.job.posts {
		if p.operation != operation || len(p.send) != len(send) {
			err = errors.New("disttest: " + operation + " meets " + p.operation + " or another size")
		}
	}
	if err == nil {
		err = receive(t.job.posts)
	}
	return errors.Join(err, t.meet(nil))
}

func (t *transport) Alltoall(send, receive []byte) error {
	return t.operate("all-to-all", send, func(posts []post) error {
		each := len(send) / len(posts)
		for r, p := range posts {
			copy(receive[r*each:(r+1)*each], p.send[t.rank*each:])
		}
		return nil
	})
}

func (t *transport) Allgather(send, receive []byte) error {
	return t.operate("all-gather", send, func(posts []post) error {
		for r, p := range posts {
			copy(receive[r*len(send):], p.send)
		}
		return nil
	})
}

func (t *transport) Broadcast(data []byte) error {
	return t.operate("broadcast", data, func(posts []post) error {
		if t.rank > 0 {
			copy(data, posts[0].send)
		}
		return nil
	})
}
