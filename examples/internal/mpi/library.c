//go:build cgo && linux

#define _GNU_SOURCE
#include "library.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

char *afl_mpi_open(AflMPI *m, const char *path, const char **missing) {
	*missing = NULL;
	// The plug-ins of Open MPI look up symbols of the library in the global scope. The library
	// is never closed: it keeps threads of its own.
	void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (!library) {
		const char *why = dlerror();
		return strdup(why ? why : "unknown error");
	}
#define LOOK_UP(name) \
	*(void **)&m->name = dlsym(library, "MPI_" #name); \
	if (!m->name && !*missing) *missing = "MPI_" #name;
	LOOK_UP(Init_thread)
	LOOK_UP(Finalize)
	LOOK_UP(Get_library_version)
	LOOK_UP(Comm_rank)
	LOOK_UP(Comm_size)
	LOOK_UP(Abort)
	LOOK_UP(Test)
	LOOK_UP(Ialltoall)
	LOOK_UP(Iallgather)
	LOOK_UP(Ibcast)
	if (*missing) return NULL;
	// A library of MPI 5 may have this function without having the interface, and then sets
	// the version to -1.
	int (*abi)(int *, int *) = NULL;
	*(void **)&abi = dlsym(library, "MPI_Abi_get_version");
	int major = -1, minor = -1;
	AflHandle world = dlsym(library, "ompi_mpi_comm_world");
	if (world) {
		m->family = "Open MPI";
		m->world = world;
		m->byte = dlsym(library, "ompi_mpi_byte");
		m->funneled = 1;
		if (!m->byte) *missing = "ompi_mpi_byte";
	} else if (abi && !abi(&major, &minor) && major > 0) {
		m->family = "MPI 5 ABI";
		m->world = (AflHandle)0x101;
		m->byte = (AflHandle)0x247;
		m->funneled = 1024;
	} else {
		m->family = "MPICH";
		m->world = (AflHandle)0x44000000;
		m->byte = (AflHandle)0x4c00010d;
		m->funneled = 1;
	}
	return NULL;
}

int afl_mpi_init(AflMPI *m, int *level, int *rank, int *size) {
	prctl(PR_SET_TIMERSLACK, 1000UL); // of this thread: short sleeps end in time
	int code = m->Init_thread(NULL, NULL, m->funneled, level);
	if (!code) code = m->Comm_rank(m->world, rank);
	return code ? code : m->Comm_size(m->world, size);
}

int afl_mpi_finalize(AflMPI *m) { return m->Finalize(); }

int afl_mpi_abort(AflMPI *m, int code) { return m->Abort(m->world, code); }

void afl_mpi_version(AflMPI *m, char *text) {
	int length = 0;
	if (m->Get_library_version(text, &length)) text[0] = 0;
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

// An operation that ends within this time is awaited without sleeping.
enum { SPIN = 20000, SLEEP = 20000 }; // nanoseconds

static int wait(AflMPI *m, int code, uint64_t *request, int64_t timeout) {
	if (code) return code;
	uint64_t status[32]; // larger than any MPI_Status
	for (const int64_t start = now();;) {
		int done = 0;
		code = m->Test(request, &done, status);
		if (code || done) return code;
		if (__atomic_load_n(&m->stop, __ATOMIC_RELAXED)) return AFL_MPI_STOPPED;
		const int64_t waited = now() - start;
		if (timeout > 0 && waited > timeout) return AFL_MPI_OVERDUE;
		if (waited < SPIN) continue;
		if (__atomic_load_n(&m->hurry, __ATOMIC_RELAXED)) {
			sched_yield();
		} else {
			nanosleep(&(struct timespec){.tv_nsec = SLEEP}, NULL);
		}
	}
}

int afl_mpi_alltoall(AflMPI *m, const void *send, void *receive, int bytes, int64_t timeout) {
	uint64_t request = 0;
	return wait(m, m->Ialltoall(send, bytes, m->byte, receive, bytes, m->byte, m->world, &request), &request, timeout);
}

int afl_mpi_allgather(AflMPI *m, const void *send, void *receive, int bytes, int64_t timeout) {
	uint64_t request = 0;
	return wait(m, m->Iallgather(send, bytes, m->byte, receive, bytes, m->byte, m->world, &request), &request, timeout);
}

int afl_mpi_broadcast(AflMPI *m, void *data, int bytes, int64_t timeout) {
	uint64_t request = 0;
	return wait(m, m->Ibcast(data, bytes, m->byte, 0, m->world, &request), &request, timeout);
}

void afl_mpi_set(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_RELAXED); }

struct AflSignals {
	struct sigaction action[NSIG];
	int known[NSIG];
};

AflSignals *afl_signals_save(void) {
	AflSignals *s = calloc(1, sizeof *s);
	for (int i = 1; s && i < NSIG; i++) s->known[i] = !sigaction(i, NULL, &s->action[i]);
	return s;
}

void afl_signals_restore(AflSignals *s) {
	if (!s) return;
	for (int i = 1; i < NSIG; i++)
		if (s->known[i] && i != SIGKILL && i != SIGSTOP) sigaction(i, &s->action[i], NULL);
	free(s);
}
