// Package mpi opens an MPI library at run time and offers the few operations that
// data-parallel training needs. A program that uses it builds without MPI: it needs neither
// a header nor a build tag, and says what is missing when it is told to use MPI.
//
// # Libraries
//
// MPI standardizes C source code, not binaries: MPI_COMM_WORLD is the address of an object in
// Open MPI, an integer in MPICH and its relatives (Intel MPI, MVAPICH, Cray MPICH), and
// another integer in the binary interface that MPI 5 defines. [Open] tells them apart by their
// symbols. Only bytes are moved, so the handles of the world and of the type byte are all
// that differs; sums are computed in package dist, in an order that no library promises.
//
// The launcher and the library must belong together. A process that was started by the
// launcher of another library finds itself alone in its world; Open compares the size of the
// world with the number of processes that the launcher announces in the environment.
//
// # Threads
//
// All calls are made by one locked thread (MPI_THREAD_FUNNELED), which starts nonblocking
// operations and tests for their end. It therefore notices when an operation takes too long,
// and can abort the job; see [Options.Timeout]. Between tests it sleeps, so that it takes no
// core from the computation, unless the computation waits for it; see [World.Hurry].
//
// # Signals
//
// UCX and Open MPI install handlers for SIGSEGV, SIGBUS, SIGFPE and others when they are
// opened. Go needs its own: they turn an access through a nil pointer into a panic that can be
// recovered. Open restores the handlers of all signals.
//
// # Memory
//
// A network adapter reads and writes registered memory. Libraries keep registrations and
// intercept munmap and madvise in the C library to drop them, but the Go runtime makes these
// system calls itself, so that a registration of memory of the Go heap can outlive it. All
// buffers therefore come from [World.Alloc], which allocates outside the Go heap.
package mpi
