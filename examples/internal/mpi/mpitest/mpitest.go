// Package mpitest starts processes under the MPI launchers of this machine, for tests.
package mpitest

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Launcher is an installed launcher.
type Launcher struct {
	// Name is that of the library, OpenMPI or MPICH.
	Name string
	// Family is how package mpi calls the library.
	Family string
	path   string
	flags  []string
	env    []string
}

// launchers are those that tests look for. Two processes on fewer cores, and root, are
// things that Open MPI has to be told to accept.
var launchers = []Launcher{
	{Name: "OpenMPI", Family: "Open MPI", path: "mpirun.openmpi", flags: []string{"--oversubscribe", "--bind-to", "none"}, env: []string{
		"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMPI_MCA_btl_vader_single_copy_mechanism=none", "OMPI_MCA_rmaps_base_oversubscribe=1"}},
	{Name: "MPICH", Family: "MPICH", path: "mpirun.mpich"},
}

// Each runs a subtest with each launcher, and skips the ones that are not installed.
func Each(t *testing.T, run func(t *testing.T, l Launcher)) {
	for _, l := range launchers {
		t.Run(l.Name, func(t *testing.T) {
			if _, err := exec.LookPath(l.path); err != nil {
				t.Skipf("%s is not installed: %s is not there", l.Name, l.path)
			}
			run(t, l)
		})
	}
}

// Command returns a command that starts n processes of a program. They are killed when the
// test ends or takes too long.
func (l Launcher) Command(t *testing.T, n int, program string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	all := append(append([]string{"-n", strconv.Itoa(n)}, l.flags...), program)
	cmd := exec.CommandContext(ctx, l.path, append(all, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // the launcher ends its processes
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), l.env...)
	return cmd
}
