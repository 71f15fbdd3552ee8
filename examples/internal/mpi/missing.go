//go:build !cgo || !linux

package mpi

import (
	"errors"
	"runtime"
)

func serve(calls <-chan func()) {
	for f := range calls {
		f()
	}
}

func openLibrary([]string) (library, string, error) {
	if runtime.GOOS != "linux" {
		return nil, "", errors.New("supported on Linux only, not on " + runtime.GOOS)
	}
	return nil, "", errors.New("this program was built without cgo, which is needed to open an MPI library; build it with CGO_ENABLED=1 and a C compiler")
}
