package mpi

import (
	"slices"
	"strconv"
)

// launcher is what the program that started this process says in the environment.
type launcher struct {
	name string // "" if there was none
	// rank and size are those in the job.
	rank, size int
	// libraries is the order in which to look for a library: those that belong to the
	// launcher come first.
	libraries []string
}

// Names under which the libraries are installed. libmpi.so without a version is the symbolic
// link of a development package.
var (
	openMPI  = []string{"libmpi.so.40", "libmpi.so.80"}
	mpich    = []string{"libmpi.so.12", "libmpich.so.12"}
	standard = []string{"libmpi_abi.so.1", "libmpi_abi.so.0"}
	unnamed  = []string{"libmpi.so"}
)

// findLauncher reads the environment. Slurm announces its number of tasks also to processes
// that Open MPI or MPICH started, so it comes last.
func findLauncher(getenv func(string) string) launcher {
	for _, l := range []struct {
		name, rank, size string
		libraries        []string
	}{
		{"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", slices.Concat(openMPI, standard, unnamed, mpich)},
		{"MPICH or another launcher with PMI", "PMI_RANK", "PMI_SIZE", slices.Concat(mpich, standard, unnamed, openMPI)},
		{"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", slices.Concat(standard, openMPI, mpich, unnamed)},
	} {
		rank, err1 := strconv.Atoi(getenv(l.rank))
		size, err2 := strconv.Atoi(getenv(l.size))
		if err1 == nil && err2 == nil && rank >= 0 && rank < size {
			return launcher{l.name, rank, size, l.libraries}
		}
	}
	return launcher{size: 1, libraries: slices.Concat(standard, openMPI, mpich, unnamed)}
}
