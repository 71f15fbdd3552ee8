package mpi

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Options configures a [World].
type Options struct {
	// Library is the path or the name of the library; empty: the first that is installed, of
	// those that belong to the launcher if possible.
	Library string
	// Timeout is the longest time that an operation may wait for other processes before the
	// job is aborted; 0: any time. A process that hangs would otherwise make all others wait
	// for ever.
	Timeout time.Duration
}

// World is the set of all processes of a job, MPI_COMM_WORLD. Its operations are collective:
// every process must call the same ones in the same order, with the same sizes. They may be
// called from any goroutine, one at a time.
type World struct {
	library   library
	path      string
	rank      int
	size      int
	timeout   time.Duration
	calls     chan func()
	finalized bool
}

// library is an open MPI library. Its methods are called by one thread, except for set.
type library interface {
	init() (rank, size int, err error)
	finalize() error
	abort(code int)
	exit(code int)
	// version is the family of the library and its own description.
	version() (family, text string)
	// start performs an operation; each is the number of bytes from or to each process.
	operate(op operation, send, receive []byte, each int, timeout time.Duration) error
	set(f flag, value bool)
	// forwarded waits until the launcher has read the output of this process, at most 20 s.
	forwarded()
	alloc(bytes int) []byte
	free(memory []byte)
}

type operation int

const (
	alltoall operation = iota
	allgather
	broadcast
)

func (o operation) String() string { return [...]string{"all-to-all", "all-gather", "broadcast"}[o] }

type flag int

const (
	hurry flag = iota
	stop
)

// overdueError is returned by an operation that took longer than its limit.
type overdueError struct{ after time.Duration }

func (e *overdueError) Error() string {
	return fmt.Sprintf("the other processes did not take part within %v", e.after)
}

var opened sync.Mutex

// Open opens the library and initializes MPI, which is possible once in the life of a
// process. The process must end by [World.Exit] or [World.Abort].
func Open(o Options) (*World, error) {
	if !opened.TryLock() {
		return nil, fmt.Errorf("mpi: already opened; MPI can be initialized only once in a process")
	}
	l := findLauncher(os.Getenv)
	names := l.libraries
	if o.Library != "" {
		names = []string{o.Library}
	}
	w := &World{timeout: o.Timeout, calls: make(chan func())}
	go serve(w.calls)
	var err error
	w.do(func() {
		if w.library, w.path, err = openLibrary(names); err != nil {
			opened.Unlock() // another library can be tried
			return
		}
		w.rank, w.size, err = w.library.init()
	})
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	if l.size != w.size && l.size > 1 {
		w.Finalize()
		return nil, fmt.Errorf("mpi: %s started %d processes, but %s (%s) sees a world of %d; start them with the launcher of that library, or name the library of this launcher with -dist mpi:LIBRARY (with srun: choose its --mpi, see srun --mpi=list)",
			l.name, l.size, w.path, w.Library(), w.size)
	}
	return w, nil
}

// do calls f on the thread that makes all calls of MPI.
func (w *World) do(f func()) {
	done := make(chan struct{})
	w.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Rank returns the number of this process, from 0.
func (w *World) Rank() int { return w.rank }

// Size returns the number of processes.
func (w *World) Size() int { return w.size }

// Library returns the kind and the version of the library, in one line.
func (w *World) Library() string {
	var family, text string
	w.do(func() { family, text = w.library.version() })
	line, _, _ := strings.Cut(text, "\n")
	line, _, _ = strings.Cut(line, ",") // Open MPI adds the package that it was built as
	line = strings.Join(strings.Fields(line), " ")
	if strings.HasPrefix(line, family) {
		return line
	}
	return family + ": " + line
}

// Path returns the name by which the library was found.
func (w *World) Path() string { return w.path }

// SetTimeout replaces Options.Timeout, while no operation is in progress.
func (w *World) SetTimeout(timeout time.Duration) { w.timeout = timeout }

// Alloc returns zeroed memory for the other operations, outside the Go heap.
func (w *World) Alloc(bytes int) []byte { return w.library.alloc(bytes) }

// Free frees memory of Alloc; nil is no error.
func (w *World) Free(memory []byte) { w.library.free(memory) }

// Hurry says whether the computation waits for the end of an operation. The thread of MPI
// then tests for it without sleeping.
func (w *World) Hurry(on bool) { w.library.set(hurry, on) }

// Alltoall sends block r of send to process r, and stores the block of process r in block r of
// receive. The blocks have equal sizes.
func (w *World) Alltoall(send, receive []byte) error {
	if len(send) != len(receive) || len(send)%w.size != 0 {
		return fmt.Errorf("mpi: Alltoall: send has %d bytes and receive %d, want equal multiples of the %d processes", len(send), len(receive), w.size)
	}
	return w.operate(alltoall, send, receive, len(send)/w.size)
}

// Allgather stores send of process r in block r of receive, in every process.
func (w *World) Allgather(send, receive []byte) error {
	if len(receive) != len(send)*w.size {
		return fmt.Errorf("mpi: Allgather: receive has %d bytes, want %d times the %d of send", len(receive), w.size, len(send))
	}
	return w.operate(allgather, send, receive, len(send))
}

// Broadcast copies the data of process 0 to the others.
func (w *World) Broadcast(data []byte) error { return w.operate(broadcast, data, data, len(data)) }

// operate performs an operation, and aborts the job if it is overdue.
func (w *World) operate(op operation, send, receive []byte, each int) (err error) {
	if each == 0 {
		return nil
	}
	if each > maxBytes {
		return fmt.Errorf("mpi: %v of %d bytes for each process, want at most %d", op, each, maxBytes)
	}
	w.do(func() { err = w.library.operate(op, send, receive, each, w.timeout) })
	if overdue, ok := err.(*overdueError); ok {
		fmt.Fprintf(os.Stderr, "mpi: process %d of %d: %v of %d bytes: %v; aborting the job\n", w.rank, w.size, op, each, overdue)
		w.Abort(1)
	}
	if err != nil {
		return fmt.Errorf("mpi: %v: %w", op, err)
	}
	return nil
}

// maxBytes is the largest number of bytes in one message: MPI counts them by an int.
const maxBytes = 1<<31 - 1

// Abort ends all processes of the job with the given exit code, this one included. It does
// not return.
func (w *World) Abort(code int) {
	w.library.set(stop, true) // an operation in progress keeps the thread
	w.library.forwarded()
	time.AfterFunc(10*time.Second, func() { os.Exit(code) })
	w.do(func() { w.library.abort(code) })
	os.Exit(code)
}

// Exit finalizes MPI and ends the process with the given exit code, or with 1 if that fails.
// It ends by the exit of the C library, whose handlers close the connection to the launcher:
// MPICH 5 takes a process that ends without them for one that failed.
func (w *World) Exit(code int) {
	if err := w.Finalize(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	w.do(func() { w.library.exit(code) })
}

// Finalize ends the use of MPI, which can wait for the other processes: they must finalize
// too. A process that ends without it can make the launcher end the others, even without an
// error. If it takes longer than the timeout, the process exits with code 1, which makes the
// launcher end the job.
func (w *World) Finalize() (err error) {
	if w.finalized {
		return nil
	}
	w.finalized = true
	if w.timeout > 0 {
		defer time.AfterFunc(w.timeout, func() {
			fmt.Fprintf(os.Stderr, "mpi: process %d of %d: the other processes did not end within %v\n", w.rank, w.size, w.timeout)
			w.library.forwarded()
			os.Exit(1)
		}).Stop()
	}
	w.do(func() { err = w.library.finalize() })
	if err != nil {
		return fmt.Errorf("mpi: %w", err)
	}
	return nil
}
