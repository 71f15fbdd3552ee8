package dist_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/dist/disttest"
)

func TestGatherAndBroadcast(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		disttest.RequireNoErrors(t, disttest.Run(t, n, func(g *dist.Group) error {
			for _, size := range []int{0, 1, 200, 209, 1000, 70000} {
				message := func(rank int) []byte { return bytes.Repeat([]byte{byte(rank + size)}, size*(rank+1)/(n+1)) }
				all, err := g.Gather("messages", message(g.Rank()))
				if err != nil {
					return err
				}
				for r := range n {
					if !bytes.Equal(all[r], message(r)) {
						return fmt.Errorf("message of %d in %d differs", r, g.Rank())
					}
				}
				data, err := g.Broadcast("data", message(g.Rank()), nil)
				if err != nil || !bytes.Equal(data, message(0)) {
					return fmt.Errorf("broadcast in %d: %w", g.Rank(), err)
				}
			}
			if n != 2 {
				return nil
			}
			large := bytes.Repeat([]byte{7, 8, 9}, 6<<20) // in several parts
			if !g.Root() {
				large = nil
			}
			data, err := g.Broadcast("large", large, nil)
			if err != nil || len(data) != 18<<20 || data[len(data)-1] != 9 {
				return fmt.Errorf("large broadcast: %d bytes, %w", len(data), err)
			}
			return nil
		}))
	}
}

func TestAgree(t *testing.T) {
	mine := errors.New("disk full")
	errs := disttest.Run(t, 4, func(g *dist.Group) error {
		if err := g.Agree("fine", nil); err != nil {
			return fmt.Errorf("not agreed: %w", err)
		}
		var own error
		if g.Rank() >= 2 {
			own = mine
		}
		return g.Agree("step", own)
	})
	for rank, err := range errs {
		require.Error(t, err)
		assert.True(t, dist.Agreed(err))
		assert.Equal(t, rank >= 2, errors.Is(err, mine))
		assert.Equal(t, map[bool]string{false: "process 2: disk full", true: "disk full"}[rank >= 2], err.Error())
	}

	errs = disttest.Run(t, 3, func(g *dist.Group) error {
		return g.Do("write", func() error { return fmt.Errorf("written by %d", g.Rank()) })
	})
	assert.EqualError(t, errs[0], "written by 0")
	assert.EqualError(t, errs[2], "process 0: written by 0")

	errs = disttest.Run(t, 2, func(g *dist.Group) error {
		_, err := g.Broadcast("file", nil, fmt.Errorf("no file in %d", g.Rank()))
		return err
	})
	assert.EqualError(t, errs[0], "no file in 0")
	assert.EqualError(t, errs[1], "process 0: no file in 0")
}

func TestOutOfStep(t *testing.T) {
	errs := disttest.Run(t, 2, func(g *dist.Group) error {
		return g.Agree([]string{"step", "validation"}[g.Rank()], nil)
	})
	assert.EqualError(t, errs[0], `dist: the processes are out of step: process 0 is at "step", process 1 at "validation"`)
	assert.False(t, dist.Agreed(errs[0]), "the others may be elsewhere")
	assert.Error(t, errs[1])
}

// TestNoGroup uses a nil Group, a single process.
func TestNoGroup(t *testing.T) {
	var g *dist.Group
	assert.Equal(t, []any{0, 1, true}, []any{g.Rank(), g.Size(), g.Root()})
	all, err := g.Gather("x", []byte("y"))
	assert.Equal(t, [][]byte{[]byte("y")}, all)
	assert.NoError(t, err)
	mine := errors.New("mine")
	assert.Equal(t, mine, g.Agree("x", mine))
	assert.Equal(t, mine, g.Do("x", func() error { return mine }))
	data, err := g.Broadcast("x", []byte("z"), nil)
	assert.Equal(t, "z", string(data))
	assert.NoError(t, err)
}
