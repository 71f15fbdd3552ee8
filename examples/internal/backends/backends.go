// Package backends lists the backends of the training engine that a program can
// name.
package backends

import (
	"fmt"
	"strings"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// Options are what some backends take beside their name.
type Options struct {
	// Profile takes the time of each operation, where the backend can; see
	// onednn.Profile.
	Profile bool
}

// Names returns the names that Open accepts.
func Names() []string { return []string{"onednn", "portable"} }

// Default returns the name of the fastest backend that this program was built
// with.
func Default() string {
	if onednn.Available {
		return "onednn"
	}
	return "portable"
}

// Open returns the backend of that name, in float32. One that this program was
// built without is an error that says how to build with it.
func Open(name string, o Options) (nn.Backend, error) {
	switch name {
	case "onednn":
		return onednn.New(nn.Float32, onednn.Config{Profile: o.Profile})
	case "portable":
		if o.Profile {
			return nil, fmt.Errorf("the backend %q takes no times", name)
		}
		return portable.New(nn.Float32)
	}
	return nil, fmt.Errorf("no backend is called %q; there are %s", name, strings.Join(Names(), ", "))
}
