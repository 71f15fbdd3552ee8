package peer

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func python(t *testing.T) string {
	name, err := Find(t.Context(), "", "json")
	if errors.Is(err, ErrNone) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return name
}

func TestFind(t *testing.T) {
	name := python(t)
	_, err := Find(t.Context(), "", "json", "no_such_module_of_python")
	assert.ErrorIs(t, err, ErrNone)
	assert.ErrorContains(t, err, "no_such_module_of_python")
	_, err = Find(t.Context(), name, "no_such_module_of_python")
	assert.ErrorContains(t, err, "-python "+name)
	_, err = Find(t.Context(), "/nowhere/python3")
	assert.ErrorContains(t, err, "/nowhere/python3")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Find(ctx, "", "json")
	assert.ErrorIs(t, err, context.Canceled)
}

// TestPeer: a script answers requests, its output and exceptions do not disturb the
// protocol, tensors arrive as files, and Close removes them.
func TestPeer(t *testing.T) {
	p, err := Start(t.Context(), python(t), `
class Peer:
    def size(self, times, numbers):
        print("a library says hello")
        with open(numbers, "rb") as f:
            return {"bytes": times * len(f.read())}

    def fail(self):
        raise ValueError("no such loss")
`)
	require.NoError(t, err)
	numbers := tensor.New(tensor.WithBacking([]float32{1, 2, 3}))
	request := map[string]any{"do": "size", "times": 2}
	require.NoError(t, p.Send(request, map[string]*tensor.Dense{"numbers": numbers}))
	var answer struct{ Bytes int }
	require.NoError(t, p.Ask(request, &answer))
	assert.Equal(t, 24, answer.Bytes)
	assert.ErrorContains(t, p.Ask(map[string]any{"do": "fail"}, nil), "ValueError: no such loss")
	assert.ErrorContains(t, p.Ask(map[string]any{"do": "dance"}, nil), "dance")
	require.NoError(t, p.Close())
	_, err = os.Stat(p.folder)
	assert.ErrorIs(t, err, os.ErrNotExist, "the inputs are removed")
}

// TestEveryLossHasAPeer: losses.py has a formula for every loss of the registry, and
// for nothing else.
func TestEveryLossHasAPeer(t *testing.T) {
	source, err := modules.ReadFile("losses.py")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(source), "LOSSES = {\n")
	require.True(t, ok)
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^    "([a-z-]+)":`).FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	assert.ElementsMatch(t, afl.Names(), names, "the losses of the registry, and those of LOSSES in bench/internal/peer/losses.py")
}
