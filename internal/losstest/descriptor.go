package losstest

import (
	"fmt"
	"reflect"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// descriptor is what the suite knows of a type of loss. Each has a file of its own,
// loss_*.go, which registers it: the suite itself is the same for all losses.
type descriptor struct {
	// variants lists the loss with every option of its own.
	variants func(add adder)
	// compared lists what only the comparison of two backends covers besides.
	compared func(add adder)
	// golden builds the losses of kinds of reference numbers for logits of c
	// channels.
	golden map[string]func(o goldenOptions, c int) afl.Loss

	// pointwise says that the loss has elements, which are of the logits' type and
	// of which there is a mean over voxels. Others leave float64 groups.
	pointwise bool
	// labelStatistics says that the loss depends on statistics of the label, in
	// which ignored voxels have a part.
	labelStatistics bool
	// withoutElements reports whether a loss refuses ReduceNone; nil: it does not.
	withoutElements func(l afl.Loss) bool
	// meanOfNothingIsNaN reports whether the mean over no voxels is NaN, as in
	// PyTorch, and not 0; nil: it is 0.
	meanOfNothingIsNaN func(l afl.Loss) bool

	// value is the loss by the formula of its doc comment. register sets it.
	value func(r *definition, l afl.Loss) float64
}

// adder adds a variant to a list. A loss that is not given channel counts to be
// tested with takes any, and is tested with 1, 2 and 3.
type adder func(name string, l afl.Loss, channels ...int)

// fromTwo marks the channel counts 2 and more, for a softmax.
const fromTwo = -2

var descriptors = map[reflect.Type]*descriptor{}

// registered lists the types in the order of their files, for the same tests in
// the same order every time.
var registered []reflect.Type

// register makes the suite know a type of loss.
func register[T afl.Loss](d descriptor, value func(r *definition, l T) float64) struct{} {
	d.value = func(r *definition, l afl.Loss) float64 { return value(r, l.(T)) }
	t := reflect.TypeFor[T]()
	if descriptors[t] != nil {
		panic(fmt.Sprintf("losstest: %v has two descriptors in loss_*.go: a constructor of a type that has one adds a variant there", t))
	}
	descriptors[t] = &d
	registered = append(registered, t)
	return struct{}{}
}

// describe returns what is known of a loss.
func describe(l afl.Loss) *descriptor {
	d := descriptors[reflect.TypeOf(l)]
	if d == nil {
		panic(fmt.Sprintf("losstest: no descriptor of %T", l))
	}
	return d
}

// value is a loss by the formulas of its doc comment, one voxel after the other,
// from probabilities.
func (r *definition) value(l afl.Loss) float64 { return describe(l).value(r, l) }

func (v variant) pointwise() bool       { return describe(v.loss).pointwise }
func (v variant) labelStatistics() bool { return describe(v.loss).labelStatistics }

// takesVoxelMean reports whether the loss takes ReduceVoxelMean, which no overlap
// loss does, nor a term of a compound that is one.
func (v variant) takesVoxelMean() bool {
	return v.pointwise() && !reflect.ValueOf(v.loss).FieldByName("Overlap").IsValid()
}

// hasElements reports whether the loss takes ReduceNone.
func (v variant) hasElements() bool {
	f := describe(v.loss).withoutElements
	return f == nil || !f(v.loss)
}

func (v variant) meanOfNothingIsNaN() bool {
	f := describe(v.loss).meanOfNothingIsNaN
	return f != nil && f(v.loss)
}

// variant is a loss with options.
type variant struct {
	name string
	loss afl.Loss
	// channels are the channel counts it is tested with. It takes others too, from
	// the first on, where any is set.
	channels []int
	any      bool
}

// kind is the type of the loss, in messages and keys.
func (v variant) kind() string { return fmt.Sprintf("%T", v.loss) }

// fit returns the channel count c if the loss takes it, or else one that it does.
func (v variant) fit(c int) int {
	if v.any && c >= v.channels[0] {
		return c
	}
	return v.channels[c%len(v.channels)]
}

// list collects the variants of every registered loss.
func list(of func(*descriptor) func(adder)) []variant {
	var out []variant
	add := func(name string, l afl.Loss, channels ...int) {
		switch {
		case channels == nil:
			out = append(out, variant{name, l, []int{1, 2, 3}, true})
		case slices.Equal(channels, []int{fromTwo}):
			out = append(out, variant{name, l, []int{2, 3}, true})
		default:
			out = append(out, variant{name, l, channels, false})
		}
	}
	for _, t := range registered {
		if f := of(descriptors[t]); f != nil {
			f(add)
		}
	}
	return out
}

// variants lists every loss with every option of its own.
func variants() []variant {
	return list(func(d *descriptor) func(adder) { return d.variants })
}

// compareVariants adds to the variants what only a comparison covers.
func compareVariants() []variant {
	return append(variants(), list(func(d *descriptor) func(adder) { return d.compared })...)
}

// setOptions returns a loss with its shared options changed. Where the background
// is excluded, lists of a number for each of three channels lose the first.
func setOptions(l afl.Loss, set func(*afl.Options)) afl.Loss {
	changed, err := afl.SetOptions(l, set)
	if err != nil {
		panic(err)
	}
	v := reflect.New(reflect.TypeOf(changed)).Elem()
	v.Set(reflect.ValueOf(changed))
	excluded := false
	_, err = afl.SetOptions(changed, func(o *afl.Options) { excluded = excluded || o.ExcludeBackground })
	if err != nil {
		panic(err)
	}
	if excluded {
		eachField(v, func(name string, f reflect.Value) {
			if list, ok := f.Interface().([]float64); ok && name != "Weight" && len(list) == 3 {
				f.Set(reflect.ValueOf(list[1:]))
			}
		})
	}
	return v.Interface().(afl.Loss)
}

// eachField calls do with every exported field of a struct that can be set, and
// with those of the structs in it.
func eachField(v reflect.Value, do func(name string, f reflect.Value)) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.CanSet() {
			do(v.Type().Field(i).Name, f)
			eachField(f, do)
		}
	}
}

// takesProbabilities reports whether a loss of c channels has no activation of its
// own: none at all, or MONAI's softmax of one channel.
func takesProbabilities(l afl.Loss, c int) bool {
	f := reflect.ValueOf(l).FieldByName("Activation")
	if !f.IsValid() {
		return false
	}
	return f.Interface() == any(afl.Identity) || f.Interface() == any(afl.SoftmaxMONAI) && c == 1 && !describe(l).pointwise
}

// testLogits returns random logits that a loss takes: probabilities where it has no
// activation.
func testLogits(l afl.Loss, dt tensor.Dtype, shape []int, salt uint64) *tensor.Dense {
	if takesProbabilities(l, shape[1]) {
		return probabilities(dt, shape, salt)
	}
	return RandomLogits(dt, shape, salt)
}

// withoutSmoothingTerms returns a loss with SmoothNr and SmoothDr 0, where it has
// them, or nil.
func withoutSmoothingTerms(l afl.Loss) afl.Loss {
	v := reflect.New(reflect.TypeOf(l)).Elem()
	v.Set(reflect.ValueOf(l))
	if !v.FieldByName("SmoothNr").IsValid() {
		return nil
	}
	v.FieldByName("SmoothNr").SetFloat(0)
	v.FieldByName("SmoothDr").SetFloat(0)
	return v.Interface().(afl.Loss)
}
