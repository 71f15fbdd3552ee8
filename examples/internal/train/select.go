package train

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/outcome"
)

// SelectLast as Job.Select takes the weights of the last epoch, without looking at the
// validation.
const SelectLast = "last"

// selectable are the measures by which the best weights can be selected.
var selectable = []outcome.Measure{outcome.SoftDice, outcome.SoftIoU, outcome.Dice, outcome.IoU}

// Selections returns the values of Job.Select. The first is the paper's.
func Selections() []string {
	var names []string
	for _, m := range selectable {
		names = append(names, m.String())
	}
	return append(names, SelectLast)
}

// better reports whether the weights of epoch e replace those of the epoch best, which is
// nil for the first epoch. Equal values keep the earlier epoch.
func better(selection string, e, best *outcome.Epoch) (bool, error) {
	if selection == SelectLast {
		return true, nil
	}
	i := slices.IndexFunc(selectable, func(m outcome.Measure) bool { return m.String() == selection })
	if i < 0 {
		return false, fmt.Errorf("train: Job.Select is %q, want %s", selection, strings.Join(Selections(), ", "))
	}
	value := e.Valid[selectable[i]].Value
	switch {
	case !value.Defined():
		return false, fmt.Errorf("train: the weights cannot be selected by %s: no validation case has a value for it, because none has anything to segment", selection)
	case best == nil:
		return true, nil
	}
	return value > best.Valid[selectable[i]].Value, nil
}
