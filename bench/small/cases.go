package main

import (
	"fmt"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/bench/internal/report"
)

// size is a size of images, and what is in them.
type size struct {
	name     string
	shape    [3]int
	contents []content
}

// content is a number of lesions, of as many classes as there are channels but the background's.
type content struct{ lesions, channels int }

func (c content) String() string {
	s := report.Plural(c.lesions, "lesion")
	if c.channels > 2 {
		s += fmt.Sprintf(" in %d channels", c.channels)
	}
	return s
}

var contents = []content{{1, 2}, {50, 2}, {50, 4}, {2000, 2}}

var sizes = []size{
	{"picai", [3]int{160, 128, 24}, contents},
	{"brats", [3]int{224, 224, 144}, contents},
}

// scene is a batch of one image with lesions of 3×3×3 voxels.
type scene struct {
	size size
	content
	logits, target *tensor.Dense
}

// newScene places the lesions in cells of 6×6×6 voxels, evenly over the image, and draws the
// logits from a normal distribution.
func newScene(s size, c content) scene {
	voxels := s.shape[0] * s.shape[1] * s.shape[2]
	labels := make([]uint8, voxels)
	cells := [3]int{s.shape[0] / 6, s.shape[1] / 6, s.shape[2] / 6}
	all := cells[0] * cells[1] * cells[2]
	for k := range c.lesions {
		cell := (2*k + 1) * all / (2 * c.lesions)
		at := [3]int{cell / (cells[1] * cells[2]), cell / cells[2] % cells[1], cell % cells[2]}
		for i := range 27 {
			x, y, z := 6*at[0]+1+i/9, 6*at[1]+1+i/3%3, 6*at[2]+1+i%3
			labels[(x*s.shape[1]+y)*s.shape[2]+z] = uint8(1 + k%(c.channels-1))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, c.channels*voxels)
	for i := range x {
		x[i] = float32(random.NormFloat64())
	}
	shape := s.shape[:]
	return scene{s, c,
		tensor.New(tensor.WithShape(append([]int{1, c.channels}, shape...)...), tensor.WithBacking(x)),
		tensor.New(tensor.WithShape(append([]int{1}, shape...)...), tensor.WithBacking(labels))}
}

// benchmark is a computation of afl and of peer.py, under the same name.
type benchmark struct {
	name, title string
	// relative names the benchmark whose time is the unit of its cost.
	relative string
	// make returns the loss and the options of its calls.
	make func(s scene) (afl.Loss, []afl.EvalOption, error)
	// two measures it in two channels alone.
	two bool
	// many measures it with any number of lesions, and not just with up to 50.
	many bool
	// mostLesions is the largest number with which the peer is measured.
	mostLesions int
}

// mapped makes distance maps once.
type mapped interface {
	afl.Loss
	DistanceMap(logits, target *tensor.Dense) (*tensor.Dense, error)
}

func plain(l afl.Loss) func(scene) (afl.Loss, []afl.EvalOption, error) {
	return func(scene) (afl.Loss, []afl.EvalOption, error) { return l, nil, nil }
}

func of(loss func(s scene) mapped) func(scene) (afl.Loss, []afl.EvalOption, error) {
	return func(s scene) (afl.Loss, []afl.EvalOption, error) { return loss(s), nil, nil }
}

func withMap(loss func(s scene) mapped) func(scene) (afl.Loss, []afl.EvalOption, error) {
	return func(s scene) (afl.Loss, []afl.EvalOption, error) {
		l := loss(s)
		m, err := l.DistanceMap(s.logits, s.target)
		return l, []afl.EvalOption{afl.WithDistanceMap(m)}, err
	}
}

// boundary is the loss of all channels but the background's.
func boundary(s scene) mapped {
	l := afl.NewBoundary()
	l.Channels = nil
	for c := 1; c < s.channels; c++ {
		l.Channels = append(l.Channels, c)
	}
	return l
}

// hausdorff is by the sigmoid of the lesions' channel, or by the softmax of several.
func hausdorff(l afl.HausdorffDT) func(s scene) mapped {
	return func(s scene) mapped {
		own := l
		if s.channels > 2 {
			own.Activation = afl.Softmax
		}
		return own
	}
}

// lesionChannel is a loss of channel 1 alone.
type lesionChannel struct{ afl.Loss }

// inner is the loss that the blob loss is measured with.
func inner() afl.Loss {
	dice := afl.NewDice()
	dice.SquaredPred = false
	return afl.NewCompound(afl.NewBinaryCrossEntropy(), dice)
}

// blob masks logits as the authors' code does.
func blob() afl.Loss {
	l := afl.NewBlob(inner())
	l.Mask = afl.BlobLogits
	return l
}

var benchmarks = []benchmark{
	{name: "ce", title: "cross-entropy", relative: "ce", make: plain(afl.NewCrossEntropy())},
	{name: "unified-focal", title: "unified focal", relative: "ce", make: plain(afl.NewUnifiedFocal()), two: true},
	{name: "boundary", title: "boundary", relative: "ce", make: of(boundary)},
	{name: "boundary-cached", title: "boundary, distances kept", relative: "ce", make: withMap(boundary)},
	{name: "hausdorff", title: "Hausdorff", relative: "ce", make: of(hausdorff(afl.NewHausdorffDT()))},
	{name: "hausdorff-cached", title: "Hausdorff, the label's distances kept", relative: "ce", make: withMap(hausdorff(afl.NewHausdorffDT()))},
	{name: "log-hausdorff", title: "log-Hausdorff", relative: "ce", make: of(hausdorff(afl.NewLogHausdorffDT()))},
	{name: "lovasz", title: "Lovász-Softmax", relative: "ce", make: plain(afl.NewLovaszSoftmax())},
	{name: "topk-ce", title: "top-k cross-entropy", relative: "ce", make: plain(afl.NewTopKCrossEntropy())},
	{name: "log-cosh-dice", title: "log-cosh Dice", relative: "ce", make: plain(afl.NewLogCoshDice())},
	{name: "exponential-log", title: "exponential logarithmic", relative: "ce", make: plain(afl.NewExponentialLogarithmic())},
	{name: "inner", title: "Dice + BCE of one channel", relative: "inner", make: plain(lesionChannel{inner()}), two: true, many: true},
	{name: "blob", title: "blob over Dice + BCE, one channel", relative: "inner", make: plain(lesionChannel{blob()}), two: true, many: true, mostLesions: 50},
}
