#include <stddef.h>
#include <stdint.h>

// A handle is a pointer in Open MPI and in the interface of MPI 5, and an int in MPICH. All
// supported architectures pass both in the same register, of which MPICH reads the lower half.
typedef void *AflHandle;

// AflMPI is an open MPI library. Its calls are made by one thread, except that any thread may
// set hurry and stop.
typedef struct {
	const char *family;
	AflHandle world, byte;
	int funneled; // MPI_THREAD_FUNNELED
	int (*Init_thread)(int *, char ***, int, int *);
	int (*Finalize)(void);
	int (*Get_library_version)(char *, int *);
	int (*Comm_rank)(AflHandle, int *);
	int (*Comm_size)(AflHandle, int *);
	int (*Abort)(AflHandle, int);
	int (*Test)(uint64_t *request, int *flag, void *status);
	int (*Ialltoall)(const void *, int, AflHandle, void *, int, AflHandle, AflHandle, uint64_t *request);
	int (*Iallgather)(const void *, int, AflHandle, void *, int, AflHandle, AflHandle, uint64_t *request);
	int (*Ibcast)(void *, int, AflHandle, int, AflHandle, uint64_t *request);
	int hurry; // test without sleeping
	int stop;  // end the wait
} AflMPI;

// What afl_mpi_wait and the operations return besides the codes of MPI, which are not negative.
enum { AFL_MPI_OVERDUE = -1, AFL_MPI_STOPPED = -2 };

// afl_mpi_open opens the library and looks up its functions. It returns NULL or a text to be
// freed; missing is the name of a function that the library does not have.
char *afl_mpi_open(AflMPI *m, const char *path, const char **missing);

int afl_mpi_init(AflMPI *m, int *level, int *rank, int *size);
int afl_mpi_finalize(AflMPI *m);
int afl_mpi_abort(AflMPI *m, int code);
void afl_mpi_version(AflMPI *m, char *text); // 8192 bytes

// The operations wait for their end, or until timeout nanoseconds have passed (0: no limit).
// bytes is the size of what goes to or comes from each process.
int afl_mpi_alltoall(AflMPI *m, const void *send, void *receive, int bytes, int64_t timeout);
int afl_mpi_allgather(AflMPI *m, const void *send, void *receive, int bytes, int64_t timeout);
int afl_mpi_broadcast(AflMPI *m, void *data, int bytes, int64_t timeout);

void afl_mpi_set(int *flag, int value);

// AflSignals holds the handlers of all signals.
typedef struct AflSignals AflSignals;
AflSignals *afl_signals_save(void);
void afl_signals_restore(AflSignals *s); // and free
