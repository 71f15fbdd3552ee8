//go:build !onednn || !cgo

package onednn

import (
	"errors"

	"github.com/x/afl/examples/internal/nn"
)

// Available reports whether this program was built with oneDNN.
const Available = false

// New returns an error: this program was built without oneDNN.
func New(nn.DType, Config) (nn.Backend, error) {
	return nil, errors.New("onednn: this program was built without oneDNN; install libdnnl-dev and build with -tags onednn")
}
