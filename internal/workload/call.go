package workload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// Target is the form of a target.
type Target uint8

// The forms of a target.
const (
	ClassIndices Target = iota // uint8, one for each voxel
	OneHot                     // float32 maps of zeros and ones
	Soft                       // float32 maps between 0 and 1, none of them whole
	ByteMaps                   // uint8 maps of zeros and ones
)

// IsMaps reports whether there is a map for each channel.
func (t Target) IsMaps() bool { return t != ClassIndices }

// Call is a kind of call of a loss: how it differs from one of float32 logits of two
// channels with uint8 class indices that is reduced to a number. The zero value does not
// differ.
type Call struct {
	Name, Title    string
	Target         Target
	VoxelWeight    bool    // float32, from 0.5 to 1.5
	LabelSmoothing float64 // of the cross-entropy
	Unreduced      bool    // ReduceNone, with the gradient of an upstream gradient
	Float64        bool    // logits and gradient
	Channels       int     // 0 for two
	Images         bool    // a batch of 2-D images
}

// Calls are the kinds of calls that differ.
var Calls = []Call{
	{Name: "one-hot", Title: "one-hot float32 target", Target: OneHot},
	{Name: "soft", Title: "soft float32 target", Target: Soft},
	{Name: "uint8-maps", Title: "uint8 maps", Target: ByteMaps},
	{Name: "voxel-weight", Title: "voxel weight", VoxelWeight: true},
	{Name: "label-smoothing", Title: "label smoothing", LabelSmoothing: 0.1},
	{Name: "unreduced", Title: "un-reduced, upstream gradient", Unreduced: true},
	{Name: "float64", Title: "float64 logits", Float64: true},
	{Name: "one-channel", Title: "one channel", Channels: 1},
	{Name: "eight-channels", Title: "eight channels", Channels: 8},
	{Name: "images", Title: "2-D images", Images: true},
}

// ParseCalls reads the value of a flag -calls: all, none, or a list of names of
// [Calls], none of them twice.
func ParseCalls(list string) ([]Call, error) {
	switch list {
	case "all":
		return Calls, nil
	case "none":
		return nil, nil
	}
	var calls []Call
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		named := func(c Call) bool { return c.Name == word }
		i := slices.IndexFunc(Calls, named)
		if i < 0 {
			return nil, fmt.Errorf("-calls has %q, want all, none or a list of %s", word, strings.Join(CallNames(), ", "))
		}
		if slices.ContainsFunc(calls, named) {
			return nil, fmt.Errorf("-calls names %s twice", word)
		}
		calls = append(calls, Calls[i])
	}
	return calls, nil
}

// CallNames returns the names of [Calls].
func CallNames() []string {
	names := make([]string, len(Calls))
	for i, c := range Calls {
		names[i] = c.Name
	}
	return names
}

// lossOfCalls are the losses that are measured with every kind of call. They stand for
// the others: one pointwise loss by sigmoid, one that reads the label's statistics, one
// overlap loss, a sum of both, and one by softmax.
var lossOfCalls = []string{"fl", "afl", "dice", "dice-focal", "ce"}

// Loss returns the name of the loss that the call measures for one of the registry: the
// loss itself, or the one of its kind that takes so many channels. It is empty where the
// loss is not measured, or does not have what the call is about.
func (c Call) Loss(name string) string {
	switch {
	case !slices.Contains(lossOfCalls, name), c.LabelSmoothing > 0 && name != "ce":
		return ""
	case name == "afl" && c.Channels == 1:
		return "afl-paper"
	case name == "afl" && c.Channels > 2:
		return "afl-multiclass"
	case name == "ce" && c.Channels == 1:
		return "bce"
	}
	return name
}

// NewLoss returns the loss of a name with the options of the call.
func (c Call) NewLoss(name string) (afl.Loss, error) {
	l, err := afl.ByName(name)
	if err != nil {
		return nil, err
	}
	if c.LabelSmoothing > 0 {
		ce, ok := l.(afl.CrossEntropy)
		if !ok {
			return nil, fmt.Errorf("loss %s has no label smoothing", name)
		}
		ce.LabelSmoothing = c.LabelSmoothing
		l = ce
	}
	if !c.Unreduced {
		return l, nil
	}
	return afl.SetOptions(l, func(o *afl.Options) { o.Reduction = afl.ReduceNone })
}

// Size is that of the call's batch: the given volume with the call's channels, or the
// given images.
func (c Call) Size(volume, images Size) Size {
	s := volume
	if c.Images {
		s = images
	}
	if c.Channels > 0 {
		s.Channels = c.Channels
	}
	return s
}

// elements are the sizes of the call's numbers.
func (c Call) elements() Elements {
	e := Float32Uint8
	if c.Float64 {
		e.Logit = 8
	}
	if c.Target == OneHot || c.Target == Soft {
		e.Label = 4
	}
	return e
}

// NewBatch makes the input of the call at a size that [Call.Size] returned.
func (c Call) NewBatch(s Size) *Batch {
	b := NewBatch(s)
	if c.Float64 {
		b = b.Float64()
	}
	b.Elements = c.elements()
	if c.Target.IsMaps() {
		b.Labels = c.maps(s, b.Labels.Data().([]uint8))
	}
	if c.VoxelWeight {
		w := make([]float32, s.Voxels())
		for i := range w {
			w[i] = float32(Factor(i))
		}
		b.VoxelWeight = tensor.New(tensor.WithShape(s.LabelShape()...), tensor.WithBacking(w))
	}
	return b
}

// Factor is the voxel weight or upstream gradient of element i: numbers from 0.5 to 1.5
// in mixed order, which float32 holds exactly.
func Factor(i int) float64 { return 0.5 + float64(i*389%1024)/1024 }

// maps returns the target of class indices as maps. Soft ones are the probabilities of
// a network that is never sure.
func (c Call) maps(s Size, labels []uint8) *tensor.Dense {
	v := s.ImageVoxels()
	maps := make([]float32, s.Samples*s.Channels*v)
	rng := rand.New(rand.NewPCG(4, uint64(v)))
	for i, y := range labels {
		at := i/v*s.Channels*v + i%v
		sum := 0.0
		for ch := range s.Channels {
			t := 0.0
			if s.isClass(ch, y) {
				t = 1
			}
			if c.Target == Soft {
				t = math.Exp(3*t + 0.5*rng.NormFloat64())
			}
			sum += t
			maps[at+ch*v] = float32(t)
		}
		if c.Target != Soft {
			continue
		}
		if s.Channels == 1 {
			sum++ // by sigmoid
		}
		for ch := range s.Channels {
			maps[at+ch*v] /= float32(sum)
		}
	}
	shape := tensor.WithShape(s.Shape()...)
	if c.Target != ByteMaps {
		return tensor.New(shape, tensor.WithBacking(maps))
	}
	bytes := make([]uint8, len(maps))
	for i, t := range maps {
		bytes[i] = uint8(t)
	}
	return tensor.New(shape, tensor.WithBacking(bytes))
}

// EvalOptions are the options of the call's evaluations of a loss on a batch. With the
// gradient the un-reduced loss gets an upstream gradient, by [Factor].
func (c Call) EvalOptions(l afl.Loss, b *Batch, gradient bool) ([]afl.EvalOption, error) {
	var options []afl.EvalOption
	if b.VoxelWeight != nil {
		options = append(options, afl.WithVoxelWeight(b.VoxelWeight))
	}
	if !c.Unreduced || !gradient {
		return options, nil
	}
	value, err := l.Eval(b.Logits, b.Labels, nil, options...)
	if err != nil {
		return nil, err
	}
	upstream := tensor.New(tensor.Of(value.Dtype()), tensor.WithShape(value.Shape()...))
	switch u := upstream.Data().(type) {
	case []float32:
		for i := range u {
			u[i] = float32(Factor(i))
		}
	case []float64:
		for i := range u {
			u[i] = Factor(i)
		}
	default:
		return nil, fmt.Errorf("the un-reduced loss is of type %v", value.Dtype())
	}
	return append(options, afl.WithUpstream(upstream)), nil
}
