//go:build onednn

package onednn

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
)

func TestBackend(t *testing.T) { nntest.Run(t, float32Backend) }

func TestNewRejectsOtherTypes(t *testing.T) {
	_, err := New(nn.Float64, Config{})
	assert.ErrorContains(t, err, "float64")
}
