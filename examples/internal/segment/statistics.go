package segment

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// Statistics returns the statistics of a label, uint8, with which [afl.WithStats] replaces
// those of a part of it in the Scheme's A-FL: those of every nonzero voxel, of X×Y×Z with one
// axis of size 1 in front, in Classes also those of each class. For regions, 1×R×X×Y×Z maps,
// it has those of each region in Classes alone.
func (s Scheme) Statistics(label *tensor.Dense) (afl.LabelStats, error) {
	values, ok := label.Data().([]uint8)
	shape, maps := label.Shape(), 1
	if s.Kind == Regions {
		maps = len(s.Segments)
	}
	if want := map[bool]int{true: 5, false: 4}[s.Kind == Regions]; !ok || len(shape) != want || shape[0] != 1 || want == 5 && shape[1] != maps {
		return afl.LabelStats{}, fmt.Errorf("segment: the label is %v of shape %v, want uint8 1×X×Y×Z, or 1×R×X×Y×Z for R regions", label.Dtype(), []int(shape))
	}
	n := len(values) / maps
	volume := func(i int) *tensor.Dense {
		return tensor.New(tensor.WithShape(shape[len(shape)-3:].Clone()...), tensor.WithBacking(values[i*n:(i+1)*n:(i+1)*n]))
	}
	switch s.Kind {
	case Classes:
		return afl.StatsOfClasses(volume(0), s.Channels(), afl.IgnoreIndex{})
	case Regions:
		var all afl.LabelStats
		for i := range maps {
			one, err := afl.StatsOf(volume(i), afl.IgnoreIndex{})
			if err != nil {
				return all, err
			}
			all.Classes = append(all.Classes, one)
		}
		return all, nil
	}
	return afl.StatsOf(volume(0), afl.IgnoreIndex{})
}
