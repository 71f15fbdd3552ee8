package cli

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/train"
)

// windowFlags holds the values of the flags that say how a network predicts a volume.
type windowFlags struct {
	window  sizeOrWhole
	overlap float64
	blend   choice
	mirror  mirrorAxes
}

// addTo defines the flags in f. what is the subject of a sentence about what is predicted, and
// empty says what an empty -window means.
func (w *windowFlags) addTo(f *flag.FlagSet, what, empty string) {
	w.blend = choice{value: string(infer.Constant), of: []string{string(infer.Constant), string(infer.Gaussian)}}
	f.Var(&w.window, "window", "`X,Y,Z` voxels of the sliding window, rounded up to a size that the network accepts, or whole;\n"+empty)
	f.Float64Var(&w.overlap, "overlap", infer.DefaultOverlap, "`fraction` of a window that the next one overlaps")
	f.Var(&w.blend, "blend", "`weights` of overlapping windows: constant, or gaussian, which favors the middle of a window")
	f.Var(&w.mirror, "mirror", "`axes` to mirror, such as xyz: "+what+" also predicted in every combination of mirrored axes, eight for\nxyz, and the probabilities are averaged; for networks trained on flipped scans, as in this project")
}

// check returns an error for the first invalid value.
func (w *windowFlags) check() error {
	if !(w.overlap >= 0 && w.overlap < 1) {
		return usageErrorf("-overlap is %v; it must be at least 0 and less than 1", w.overlap)
	}
	return nil
}

// checkWindows returns an error for flags of a training program that have no effect.
func (o *options) checkWindows(flags *flag.FlagSet) error {
	if err := o.windows.check(); err != nil {
		return err
	}
	var idle error
	flags.Visit(func(g *flag.Flag) {
		if (g.Name == "overlap" || g.Name == "blend") && o.windows.window.size == (triple{}) && !o.resume {
			idle = usageErrorf("-%s has no effect without -window, because validation cases are then predicted whole", g.Name)
		}
	})
	return idle
}

// setIn sets the fields of the job.
func (w *windowFlags) setIn(j *train.Job) { j.Window, j.Mirror = w.of(w.window.size), w.mirror }

// predicts reports whether cases are predicted otherwise than whole and in one pass.
func (w *windowFlags) predicts() bool { return w.window.size != (triple{}) || len(w.mirror) > 0 }

// fact describes how validation cases are predicted.
func (w *windowFlags) fact() string {
	var how []string
	if w.window.size != (triple{}) {
		how = append(how, fmt.Sprintf("with a sliding window of %s voxels, overlap %g, %s weights", times(w.window.size), w.overlap, w.blend.value))
	}
	if len(w.mirror) > 0 {
		how = append(how, fmt.Sprintf("as the mean of %d predictions, mirrored along %s", 1<<len(w.mirror), w.mirror.String()))
	}
	if how == nil {
		return "Prediction: validation and reported cases whole, in one pass of the network."
	}
	return "Prediction of validation and reported cases: " + strings.Join(how, ", ") + "."
}

// of returns windows of the given size.
func (w *windowFlags) of(size [3]int) infer.Window {
	return infer.Window{Size: size, Overlap: w.overlap, Blend: infer.Blend(w.blend.value)}
}

// sizeOrWhole is the value of -window and -patch: a size, or zero for the whole volume. It may
// be empty.
type sizeOrWhole struct {
	size triple
	set  bool
}

func (w *sizeOrWhole) String() string {
	if w.set && w.size == (triple{}) {
		return "whole"
	}
	return w.size.String()
}

func (w *sizeOrWhole) Set(s string) error {
	w.size, w.set = triple{}, true
	if s == "whole" {
		return nil
	}
	if err := w.size.Set(s); err != nil {
		return fmt.Errorf("%w, or whole", err)
	}
	return nil
}

// mirrorAxes is the value of -mirror: axes numbered from 0, ascending.
type mirrorAxes []int

func (m *mirrorAxes) String() string {
	text := ""
	for _, axis := range *m {
		text += string("xyz"[axis])
	}
	return text
}

func (m *mirrorAxes) Set(s string) error {
	*m = nil
	for _, letter := range strings.ToLower(s) {
		axis := strings.IndexRune("xyz", letter)
		if axis < 0 || slices.Contains(*m, axis) {
			return errors.New("want one or more of the letters x, y and z")
		}
		*m = append(*m, axis)
	}
	slices.Sort(*m)
	return nil
}
