package mpi

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/mpi/mpitest"
)

// roleKey is the environment variable that makes this test a process of a job.
const roleKey = "AFL_MPI_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleKey); role != "" {
		os.Exit(process(role))
	}
	os.Exit(m.Run())
}

// process is what each process of a job does.
func process(role string) int {
	o := Options{Library: os.Getenv("AFL_MPI_TEST_LIBRARY")}
	if strings.HasPrefix(role, "hang") {
		o.Timeout = time.Second
	}
	w, err := Open(o)
	if err != nil {
		fmt.Println(err)
		return 3
	}
	last := w.Rank() == w.Size()-1
	send, receive := w.Alloc(8*w.Size()), w.Alloc(8*w.Size())
	switch {
	case role == "moves":
		if err := moves(w); err != nil {
			fmt.Println("WRONG:", err)
			w.Abort(4)
		}
		if _, err := Open(o); err == nil {
			fmt.Println("WRONG: opened twice")
		}
		fmt.Printf("rank %d of %d in %s: right\n", w.Rank(), w.Size(), w.Library())
	case !last:
		if role == "hang, slow launcher" {
			// The launcher then finds the message and the request to abort at the same time.
			pause := fmt.Sprintf("kill -STOP %[1]d; sleep 2; kill -CONT %[1]d", os.Getppid())
			if err := exec.Command("sh", "-c", pause).Start(); err != nil {
				fmt.Println("not paused:", err)
			}
		}
		err := w.Alltoall(send, receive) // without the last process
		fmt.Println("ended:", err)
	case strings.HasPrefix(role, "hang"):
		time.Sleep(time.Minute)
	case role == "kill":
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		fmt.Println("not killed:", err)
	case role == "abort":
		w.Abort(7)
	case role == "panic":
		panic("a bug")
	}
	w.Exit(0)
	return 5 // not reached
}

// moves compares every operation with its definition, and checks that Go still handles a
// segmentation fault.
func moves(w *World) error {
	value := func(from, to, i int) uint64 { return uint64(from)<<40 | uint64(to)<<20 | uint64(i) }
	for _, each := range []int{1, 3, 1 << 12, 1<<16 + 1} { // words for each process
		send, receive := w.Alloc(8*each*w.Size()), w.Alloc(8*each*w.Size())
		for to := range w.Size() {
			for i := range each {
				binary.LittleEndian.PutUint64(send[8*(to*each+i):], value(w.Rank(), to, i))
			}
		}
		w.Hurry(each == 3)
		if err := w.Alltoall(send, receive); err != nil {
			return err
		}
		for from := range w.Size() {
			for i := range each {
				if got := binary.LittleEndian.Uint64(receive[8*(from*each+i):]); got != value(from, w.Rank(), i) {
					return fmt.Errorf("all-to-all of %d words: word %d from %d is %x", each, i, from, got)
				}
			}
		}
		own := send[:8*each] // value(rank, 0, i)
		if err := w.Allgather(own, receive); err != nil {
			return err
		}
		for from := range w.Size() {
			for i := range each {
				if got := binary.LittleEndian.Uint64(receive[8*(from*each+i):]); got != value(from, 0, i) {
					return fmt.Errorf("all-gather of %d words: word %d from %d is %x", each, i, from, got)
				}
			}
		}
		if err := w.Broadcast(own); err != nil {
			return err
		}
		for i := range each {
			if got := binary.LittleEndian.Uint64(own[8*i:]); got != value(0, 0, i) {
				return fmt.Errorf("broadcast of %d words: word %d is %x", each, i, got)
			}
		}
	}
	if w.Alltoall(make([]byte, w.Size()), nil) == nil || w.Allgather(make([]byte, 1), nil) == nil {
		return fmt.Errorf("sizes that do not fit are no error")
	}
	return recoverable()
}

// recoverable returns an error unless an access through a nil pointer is a panic.
func recoverable() (err error) {
	defer func() {
		if recover() == nil {
			err = fmt.Errorf("no panic")
		}
	}()
	var p *int
	*p = 1
	return nil
}

// job runs this test as a job and returns its output and exit code.
func job(t *testing.T, l mpitest.Launcher, n int, role string, env ...string) (string, int) {
	t.Helper()
	cmd := l.Command(t, n, os.Args[0])
	cmd.Env = append(append(cmd.Env, roleKey+"="+role), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		require.NotNil(t, cmd.ProcessState, "%v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestOperations(t *testing.T) {
	mpitest.Each(t, func(t *testing.T, l mpitest.Launcher) {
		for _, n := range []int{1, 3} {
			out, code := job(t, l, n, "moves")
			require.Equal(t, 0, code, out)
			for rank := range n {
				assert.Contains(t, out, fmt.Sprintf("rank %d of %d in %s", rank, n, l.Family))
			}
			assert.Equal(t, n, strings.Count(out, ": right\n"), out)
		}
	})
}

// TestFailures makes one process fail in all the ways that leave the others waiting. The job
// must end with an error.
func TestFailures(t *testing.T) {
	mpitest.Each(t, func(t *testing.T, l mpitest.Launcher) {
		roles := []string{"hang", "hang, slow launcher", "kill", "abort", "panic"}
		if testing.Short() {
			roles = roles[:3]
		}
		for _, role := range roles {
			t.Run(role, func(t *testing.T) {
				start := time.Now()
				out, code := job(t, l, 2, role)
				assert.NotEqual(t, 0, code, out)
				assert.NotContains(t, out, "ended: <nil>")
				assert.Less(t, time.Since(start), time.Minute)
				switch role {
				case "hang", "hang, slow launcher":
					assert.Contains(t, out, "mpi: process 0 of 2: all-to-all of 8 bytes: the other processes did not take part within 1s; aborting the job")
				case "panic":
					assert.Contains(t, out, "panic: a bug")
				}
			})
		}
	})
}

// TestOtherLauncher starts processes with the launcher of another library than the one that
// they open.
func TestOtherLauncher(t *testing.T) {
	other := map[string][]string{"OpenMPI": mpich, "MPICH": openMPI}
	mpitest.Each(t, func(t *testing.T, l mpitest.Launcher) {
		for _, name := range other[l.Name] {
			out, code := job(t, l, 2, "moves", "AFL_MPI_TEST_LIBRARY="+name)
			if strings.Contains(out, "no MPI library found") {
				continue
			}
			assert.NotEqual(t, 0, code, out)
			assert.Contains(t, out, "started 2 processes, but "+name)
			assert.Contains(t, out, "sees a world of 1")
			return
		}
		t.Skip("the other library is not installed")
	})
}

func TestNoLibrary(t *testing.T) {
	_, err := Open(Options{Library: "/nowhere/libmpi.so"})
	require.ErrorContains(t, err, "mpi: no MPI library found; tried /nowhere/libmpi.so: cannot open shared object file")
	assert.ErrorContains(t, err, "install Open MPI (Debian: openmpi-bin) or MPICH (mpich)")
	// A library that is no MPI library.
	_, err = Open(Options{Library: "libdl.so.2"})
	require.ErrorContains(t, err, "libdl.so.2 has no MPI_Init_thread")
}

func TestFindLauncher(t *testing.T) {
	for _, test := range []struct {
		env        string
		name       string
		rank, size int
		first      string
	}{
		{"", "", 0, 1, standard[0]},
		{"OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4 SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1", "Open MPI", 2, 4, openMPI[0]},
		{"PMI_RANK=0 PMI_SIZE=2", "MPICH or another launcher with PMI", 0, 2, mpich[0]},
		{"SLURM_PROCID=7 SLURM_STEP_NUM_TASKS=8", "Slurm", 7, 8, standard[0]},
		{"PMI_RANK=2 PMI_SIZE=2", "", 0, 1, standard[0]},
		{"PMI_RANK=x PMI_SIZE=2", "", 0, 1, standard[0]},
	} {
		l := findLauncher(func(name string) string {
			for _, s := range strings.Fields(test.env) {
				if value, ok := strings.CutPrefix(s, name+"="); ok {
					return value
				}
			}
			return ""
		})
		assert.Equal(t, test.name, l.name, test.env)
		assert.Equal(t, [2]int{test.rank, test.size}, [2]int{l.rank, l.size}, test.env)
		assert.Equal(t, test.first, l.libraries[0], test.env)
		assert.Len(t, l.libraries, 7)
	}
}
