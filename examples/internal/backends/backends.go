// Package backends opens the backends of the training engine by name.
package backends

import (
	"fmt"
	"strings"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// Options configures a backend.
type Options struct {
	// Profile measures the time of each operation; only onednn supports it. See
	// [onednn.Profile].
	Profile bool
}

// Names returns the names that [Open] accepts.
func Names() []string { return []string{"onednn", "portable"} }

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
	if name == "onednn" {
		return cost.NewFused(create)
	}
	return cost.New(create)
}

// Open returns the float32 backend with the given name. If the backend was not built
// into this program, the error says how to build with it.
func Open(name string, o Options) (nn.Backend, error) {
	switch name {
	case "onednn":
		return onednn.New(nn.Float32, onednn.Config{Profile: o.Profile})
	case "portable":
		if o.Profile {
			return nil, fmt.Errorf("backend %q does not support profiling", name)
		}
		return portable.New(nn.Float32)
	}
	return nil, fmt.Errorf("unknown backend %q, want %s", name, strings.Join(Names(), " or "))
}
