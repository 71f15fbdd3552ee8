// Package backends opens the backends of the training engine by name.
package backends

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// Options configures a backend.
type Options struct {
	// Profile measures the time of each operation; only onednn supports it. See
	// [onednn.Profile].
	Profile bool
	// Convolutions is the name of a [cuda.Convolutions]; empty means own, the only one that
	// other backends have.
	Convolutions string
}

// Names returns the names of the backends. The name cuda may be followed by the index of a
// device and by the precision of the products in convolutions, as in cuda:1/tf32; see
// [cuda.Precision].
func Names() []string { return []string{"onednn", "portable", "cuda"} }

// Check returns an error unless name is that of a backend.
func Check(name string) error {
	_, err := split(name)
	return err
}

// parts is what a name stands for.
type parts struct {
	backend   string
	device    int
	precision cuda.Precision
}

func split(name string) (parts, error) {
	rest, precision, precise := strings.Cut(name, "/")
	backend, device, indexed := strings.Cut(rest, ":")
	if !slices.Contains(Names(), backend) || (indexed || precise) && backend != "cuda" {
		return parts{}, fmt.Errorf("unknown backend %q, want %s", name, strings.Join(Names(), " or "))
	}
	p := parts{backend: backend}
	if indexed {
		var err error
		if p.device, err = strconv.Atoi(device); err != nil || p.device < 0 {
			return parts{}, fmt.Errorf("backend %q: the device is %q, want its index, from 0", name, device)
		}
	}
	if precise {
		var err error
		if p.precision, err = cuda.ParsePrecision(precision); err != nil {
			return parts{}, fmt.Errorf("backend %q: %w", name, err)
		}
	}
	return p, nil
}

// GPU returns the index of the device and the precision that a name stands for, and whether it
// names the backend on GPUs.
func GPU(name string) (device int, precision cuda.Precision, ok bool) {
	p, err := split(name)
	return p.device, p.precision, err == nil && p.backend == "cuda"
}

// Default returns the name of the fastest backend built into this program.
func Default() string {
	if onednn.Available {
		return "onednn"
	}
	return "portable"
}

// Counter returns a counter of the resources that the network made by create needs on the
// backend with the given name.
func Counter(name string, create func(nn.Backend) (nn.Network, error)) (*cost.Counter, error) {
	if _, _, gpu := GPU(name); gpu || name == "onednn" {
		return cost.NewFused(create)
	}
	return cost.New(create)
}

// Open returns the float32 backend with the given name. If the backend was not built
// into this program, the error says how to build with it; if there is no GPU to run it, what
// is missing.
func Open(name string, o Options) (nn.Backend, error) {
	p, err := split(name)
	if err != nil {
		return nil, err
	}
	if o.Profile && p.backend != "onednn" {
		return nil, fmt.Errorf("backend %q does not support profiling", name)
	}
	if o.Convolutions == "" {
		o.Convolutions = cuda.Own.String()
	}
	convolutions, err := cuda.ParseConvolutions(o.Convolutions)
	if err != nil {
		return nil, err
	}
	if convolutions != cuda.Own && p.backend != "cuda" {
		return nil, fmt.Errorf("backend %q computes convolutions by itself, so that %v convolutions have no effect", name, convolutions)
	}
	switch p.backend {
	case "onednn":
		return onednn.New(nn.Float32, onednn.Config{Profile: o.Profile})
	case "cuda":
		b, err := cuda.New(nn.Float32, p.device)
		if err != nil {
			return nil, err
		}
		if err := cuda.SetPrecision(b, p.precision); err != nil {
			return nil, err
		}
		return b, cuda.SetConvolutions(b, convolutions)
	}
	return portable.New(nn.Float32)
}

// Convolutions returns lines for a report of what computes a backend's convolutions, none if it
// has no choice; see [cuda.DescribeConvolutions].
func Convolutions(b nn.Backend) []string { return cuda.DescribeConvolutions(b) }

// Steps returns a line for a report of how a backend on a device launched training steps, ""
// if it ran none; see [cuda.DescribeSteps].
func Steps(b nn.Backend) string { return cuda.DescribeSteps(b) }

// LoadedKernels returns the number of modules of kernels that a driver has loaded for a backend,
// and the time that this took; see [cuda.LoadedKernels].
func LoadedKernels(b nn.Backend) (modules int, took time.Duration) { return cuda.LoadedKernels(b) }

// DeviceMemory returns the number of bytes of memory of the device in whose memory the arrays
// of a backend are, or 0 if that is the memory of the machine.
func DeviceMemory(b nn.Backend) int64 {
	if d, ok := b.(interface{ DeviceMemory() int64 }); ok {
		return d.DeviceMemory()
	}
	return 0
}
