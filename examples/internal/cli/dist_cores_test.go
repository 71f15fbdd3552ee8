package cli

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/dist/disttest"
)

// TestSeats divides the cores of two machines among five processes.
func TestSeats(t *testing.T) {
	seats := []seat{
		{Host: "a", Cores: []int{0, 1, 2, 3}, All: 4},
		{Host: "a", Cores: []int{0, 1, 2, 3}, All: 4},
		{Host: "b", Cores: []int{0}, All: 8},
		{Host: "b", Cores: []int{1, 2, 3, 4, 5, 6, 7}, All: 8},
		{Host: "c", All: 6},
	}
	for i, want := range []int{2, 2, 1, 7, 6} {
		assert.Equal(t, want, threads(seats, i), i)
	}
	assert.Equal(t, 2, countOn(seats, "a"))
	assert.Equal(t, 1, countOn(seats, "c"))
	assert.Equal(t, "Cores: 3 hosts, 1 to 7 threads for each process (GOMAXPROCS overrides it); the launcher has bound none to cores, all share the 4 of their machine.", describeSeats(seats, []string{"a", "b", "c"}))
	assert.Equal(t, "Cores: 1 host, 1 thread for each process (GOMAXPROCS overrides it); the launcher has bound process 0 to 1 of the 8 cores of its machine, fewer than its share: give it more with --bind-to none (Open MPI), -bind-to none (MPICH) or --cpus-per-task (Slurm).", describeSeats(seats[2:3], []string{"b"}))
	crowd := []seat{{Host: "a", Cores: []int{0}, All: 1}, {Host: "a", Cores: []int{0}, All: 1}}
	assert.Contains(t, describeSeats(crowd, []string{"a"}), "; 2 processes on 1 cores: they slow each other down.")
}

// TestProcessesOfAHost gathers the host names of processes, all of which run here.
func TestProcessesOfAHost(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	require.NotEmpty(t, host)
	t.Setenv("GOMAXPROCS", "1") // leave that of the tests alone
	disttest.RequireNoErrors(t, disttest.Run(t, 3, func(g *dist.Group) error {
		text, here, err := shareCores(g)
		assert.Contains(t, text, "Cores: 1 host, ")
		assert.Equal(t, 3, here)
		return err
	}))
}
