package measure

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/surface"
)

// Reference describes a label, whose foreground is all that is to be segmented. The
// smoothness is [afl.LabelStats.Boundary].
func Reference(label surface.Mask) (outcome.Reference, error) {
	if err := label.Check(); err != nil {
		return outcome.Reference{}, fmt.Errorf("measure: label: %w", err)
	}
	d := label.Dims
	stats, err := afl.StatsOf(tensor.New(tensor.WithShape(d[0], d[1], d[2]), tensor.WithBacking(label.Voxels)), afl.IgnoreIndex{})
	if err != nil {
		return outcome.Reference{}, fmt.Errorf("measure: label: %w", err)
	}
	return outcome.Reference{Volume: label.Volume() / 1000, Smoothness: stats.Boundary}, nil
}
