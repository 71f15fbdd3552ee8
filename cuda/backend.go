//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Backend implements [plan.Provider] for package afl, which finds the backend by the
// engine of the logits; see [github.com/x/afl/internal/plan.Backend].
func (e *Engine) Backend() plan.Backend { return backend{e} }

// backend enqueues the kernels of an evaluation on the engine's stream without host
// synchronization between them: label statistics, the parameters of A-FL, and the sums
// and derivatives of an overlap term stay in device memory.
type backend struct{ *Engine }

var _ plan.Remote = backend{}

// LogitsTypes implements [plan.Backend].
func (backend) LogitsTypes() []tensor.Dtype {
	return []tensor.Dtype{tensor.Float32, tensor.Float64, Float16, BFloat16}
}

// NewTensor implements [plan.Backend].
func (k backend) NewTensor(like *tensor.Dense, shape ...int) (*tensor.Dense, error) {
	return k.newTensor(like.Dtype(), shape)
}

// Release implements [plan.Remote].
func (k backend) Release(t *tensor.Dense) error { return k.release(t) }

// newResult returns the value of a new [result] as a scalar.
func (k backend) newResult() (*tensor.Dense, error) {
	address, err := k.alloc(resultBytes)
	if err != nil {
		return nil, err
	}
	k.results.add(address)
	return tensor.NewDense(tensor.Float64, nil, tensor.WithEngine(k.Engine), tensor.FromMemory(address, 8)), nil
}

// Number implements [plan.Remote].
func (k backend) Number(scalar *tensor.Dense) (value float64, err error) {
	address, err := k.address("loss value", scalar)
	switch {
	case err != nil:
		return 0, err
	case k.results.has(address):
		value, err = k.readResult(address)
	default: // made by a loss of another module
		var host *tensor.Dense
		if host, err = k.download(scalar); err == nil {
			value, err = plan.Number(host)
			err = errors.Join(err, k.refusal("target"))
		}
	}
	return value, errors.Join(err, k.release(scalar))
}

// Combine implements [plan.Backend].
func (k backend) Combine(dst *tensor.Dense, a float64, src *tensor.Dense, b float64) error {
	args := k.newArguments()
	to, name, err := k.checkCombined(dst)
	if err != nil {
		return err
	}
	if src == nil && a == 1 {
		return nil
	}
	count := int64(len(dst.Raw)) / int64(dst.Dtype().Size())
	args.combine_type, args.combine_count = elementTypes[dst.Dtype()], C.int64_t(count)
	args.combine_a, args.combine_b = C.double(a), C.double(b)
	point(&args.combine_to, to)
	if src != nil {
		from, _, err := k.checkCombined(src)
		switch {
		case err != nil:
			return err
		case src.Dtype() != dst.Dtype() && !dst.IsScalar():
			return plan.Refuse("type of "+name, src.Dtype(), "that of the one it is added to, %v", dst.Dtype())
		case int64(len(src.Raw)) != count*int64(src.Dtype().Size()):
			return plan.Refuse("shape of "+name, src.Shape(), "that of the one it is added to, %v", dst.Shape())
		}
		point(&args.combine_from, from)
		args.combine_from_type = elementTypes[src.Dtype()]
		switch {
		case !k.results.has(to):
		case k.results.has(from):
			point(&args.verdict, to+verdictOffset)
			point(&args.combine_verdict, from+verdictOffset)
		default: // rejections in the computation of src are unknown
			k.results.remove(to)
		}
	}
	return k.launch("afl_combine", int(min((count+combineElements-1)/combineElements, combineBlocks)), args)
}

const (
	combineElements = 8 * C.AFL_THREADS // per block, at least
	combineBlocks   = 1 << 12           // enough to fill the largest GPU
)

// checkCombined checks an argument of [plan.Backend.Combine] and returns its address and
// its name in errors.
func (k backend) checkCombined(t *tensor.Dense) (address uintptr, name string, err error) {
	name = "gradient"
	if t != nil && t.IsScalar() {
		name = "loss value"
	}
	if address, err = k.address(name, t); err != nil {
		return 0, name, err
	}
	if types := k.LogitsTypes(); !slices.Contains(types, t.Dtype()) {
		return 0, name, plan.Refuse("type of "+name, t.Dtype(), "one of %v", types)
	}
	return address, name, plan.CheckRowMajor(name, t)
}

// Eval implements [plan.Backend]. It only enqueues the work.
func (k backend) Eval(b *plan.Batch, l *plan.Loss, c *plan.Call) (*tensor.Dense, error) {
	v, err := k.begin(b)
	if err != nil {
		return nil, err
	}
	defer v.end()

	if err := v.setLoss(l); err != nil {
		return nil, err
	}
	var value *tensor.Dense
	switch {
	case c.Shape == nil:
		value, err = k.newResult()
	case l.Focal != nil:
		value, err = k.newTensor(b.Logits.Dtype(), c.Shape)
	default:
		value, err = k.newTensor(tensor.Float64, c.Shape)
	}
	if err != nil {
		return nil, err
	}
	err = v.setOutputs(l, c, value)
	if err == nil {
		err = v.alone(func() error { return v.run(l, k.kernelOf(b, l, c)) })
	}
	if err != nil {
		return nil, errors.Join(err, k.release(value))
	}
	return value, nil
}

// Stats implements [plan.Backend]. It synchronizes.
func (k backend) Stats(b *plan.Batch, want plan.StatsRequest) (*plan.Stats, error) {
	v, err := k.begin(b)
	if err != nil {
		return nil, err
	}
	defer v.end()
	st := &plan.Stats{K: want.Masks(b.C)}
	v.args.masks = C.int32_t(st.K)
	width := int(C.afl_stats_doubles(C.int64_t(b.C), C.int64_t(st.K)))
	found := make([]float64, b.N*width)
	at, err := v.reserve(8*int64(len(found)) + statusBytes)
	if err != nil {
		return nil, err
	}
	point(&v.args.stats, at)
	point(&v.args.verdict, at+uintptr(8*len(found)))
	if err := v.alone(func() error { return v.statistics(true) }); err != nil {
		return nil, err
	}
	if err := k.readFloat64s(at, found, b.Target.Argument); err != nil {
		return nil, err
	}
	for n := range b.N {
		row := found[n*width:][:width]
		st.Valid = append(st.Valid, row[0])
		st.Foreground = append(st.Foreground, row[1])
		st.Count = append(st.Count, row[2:2+b.C]...)
		for m := range st.K {
			st.Magnitude = append(st.Magnitude, row[2+b.C+2*m])
			st.Boundary = append(st.Boundary, row[2+b.C+2*m+1])
		}
	}
	return st, nil
}

// evaluation holds the arguments and the device memory of one call.
type evaluation struct {
	backend
	b    *plan.Batch
	args *C.AflArguments
	held []uintptr // to be freed at the end
}

const (
	tileVoxels = 2048 // AflArguments.chunk is a multiple of it
	// Maximum number of blocks per sample: enough to fill the largest GPU, and few enough
	// for one block to add up their sums.
	maxChunks = 1024
	// Class bytes can represent this many classes.
	maxByteClasses = 254
	maxBlocks      = math.MaxInt32
)

// begin starts an evaluation and fills in the batch.
func (k backend) begin(b *plan.Batch) (*evaluation, error) {
	v := &evaluation{backend: k, b: b, args: k.newArguments()}
	a := v.args
	if b.N > math.MaxInt32 || b.C > math.MaxInt32 {
		return nil, plan.Refuse("shape of logits", fmt.Sprintf("%d samples of %d channels", b.N, b.C), "at most %d of each", math.MaxInt32)
	}
	a.samples, a.channels, a.voxels = C.int32_t(b.N), C.int32_t(b.C), C.int64_t(b.V)
	for i, s := range b.Space {
		if s > math.MaxInt32 {
			return nil, plan.Refuse("spatial shape", b.Space, "axes of at most %d", math.MaxInt32)
		}
		a.space[i] = C.int32_t(s)
	}
	err := errors.Join(
		address(v, &a.logits, "logits", b.Logits),
		address(v, &a.target, b.Target.Argument, b.Target.Tensor),
		address(v, &a.voxel_weight, "voxel weight", b.VoxelWeight))
	if err != nil {
		return nil, err
	}
	if b.Logits != nil {
		a.logits_type = elementTypes[b.Logits.Dtype()]
	}
	a.target_type = elementTypes[b.Target.Tensor.Dtype()]
	if a.target_type == C.AFL_BOOL {
		a.target_type = C.AFL_UINT8 // the bytes are 0 or 1
	}
	a.dense, a.has_ignore, a.binarize = truth(b.Target.Dense), truth(b.Target.HasIgnore), truth(b.Target.Binarize)
	a.ignore = C.int64_t(b.Target.Ignore)
	a.limit = C.int32_t(b.Classes())
	if b.VoxelWeight != nil {
		a.voxel_weight_type = elementTypes[b.VoxelWeight.Dtype()]
	}

	tiles := (b.V + tileVoxels - 1) / tileVoxels
	chunk := (tiles + maxChunks - 1) / maxChunks * tileVoxels
	chunks := (b.V + chunk - 1) / chunk
	if chunk > math.MaxInt32 || b.N > maxBlocks/chunks {
		return nil, plan.Refuse("shape of logits", fmt.Sprintf("%d samples of %d voxels", b.N, b.V), "a batch that %d blocks of threads can process", maxBlocks)
	}
	a.chunk, a.chunks = C.int32_t(chunk), C.int32_t(chunks)
	return v, nil
}

// end frees the evaluation's memory, which stream order allows to be reused at once.
// That fails only if the engine is closed or lost, and all of its memory with it.
func (v *evaluation) end() {
	for _, at := range v.held {
		v.free(at)
	}
}

// reserve allocates device memory until the end of the evaluation.
func (v *evaluation) reserve(bytes int64) (uintptr, error) {
	at, err := v.alloc(bytes)
	if err == nil {
		v.held = append(v.held, at)
	}
	return at, err
}

// setLoss fills in the loss.
func (v *evaluation) setLoss(l *plan.Loss) error {
	a := v.args
	channels := make([]C.AflChannel, v.b.C)
	a.scale = 1
	if w := l.Focal; w != nil {
		a.pointwise = 1
		a.activation = C.int32_t(w.Activation)
		a.first, a.softmax_from, a.per_voxel = C.int32_t(w.First), C.int32_t(w.SoftmaxFrom), truth(w.PerVoxel)
		a.smoothing, a.scale = C.double(w.Smoothing), C.double(w.Scale)
		a.focal = truth(isFocal(w))
		a.denominator = C.int32_t(w.Denominator)
		if w.Denominator != plan.LabelWeight && w.Denominator != plan.One && !v.b.Target.HasIgnore {
			a.scale /= C.double(v.b.N * v.b.V) // all voxels are valid
			a.denominator = C.AFL_DIVIDE_BY_ONE
		}
		for c := range channels {
			k := &channels[c]
			k.pos, k.neg, k.ce, k.gamma = C.double(w.Pos[c]), C.double(w.Neg[c]), C.double(w.CE[c]), C.double(w.Gamma[c])
		}
		if f := w.Adaptive; f != nil {
			a.form = C.AFL_FORM_RELEASED + C.int32_t(f.Form)
			a.stats_mode, a.smoothness = C.int32_t(f.Stats), C.int32_t(f.Smoothness)
			if f.Given != nil {
				a.form = C.AFL_FORM_GIVEN
			}
		}
	}
	if o := l.Overlap; o != nil {
		a.overlap = C.AFL_OVERLAP_DICE + C.int32_t(o.Kind)
		a.overlap_activation = C.int32_t(o.Activation)
		a.overlap_first = C.int32_t(o.First)
		a.squared, a.jaccard, a.batch, a.mean = truth(o.Squared), truth(o.Jaccard), truth(o.Batch), truth(o.Mean)
		a.weighting, a.log_cosh = C.int32_t(o.Weighting), truth(o.LogCosh)
		a.alpha, a.beta = C.double(o.Alpha), C.double(o.Beta)
		a.nr, a.dr, a.overlap_scale = C.double(o.Nr), C.double(o.Dr), C.double(o.Scale)
		for c, weight := range o.Weight {
			k := &channels[o.First+c]
			k.overlap, k.exponent = C.double(weight), 1
			if o.Exponent != nil {
				k.exponent = C.double(o.Exponent[c])
			}
		}
	}
	if len(channels) <= C.AFL_INLINE_CHANNELS {
		copy(a.channel[:], channels)
		return nil
	}
	at, err := v.reserve(int64(len(channels)) * int64(unsafe.Sizeof(channels[0])))
	if err != nil {
		return err
	}
	point(&a.far, at)
	return v.writeConstants(at, unsafe.Slice((*float64)(unsafe.Pointer(&channels[0])), len(channels)*doublesPerChannel))
}

// isFocal reports whether the gamma of any channel that takes part may be nonzero.
func isFocal(w *plan.Focal) bool {
	return w.Adaptive != nil || slices.ContainsFunc(w.Gamma[w.First:], func(gamma float64) bool { return gamma != 0 })
}

// doublesPerChannel is the number of constants of a channel.
const doublesPerChannel = int(unsafe.Sizeof(C.AflChannel{}) / unsafe.Sizeof(C.double(0)))

// writeConstants enqueues kernels that write numbers to device memory, each as many as
// its arguments hold. Unlike a copy from host memory this can be captured into a graph.
func (e *Engine) writeConstants(at uintptr, x []float64) error {
	a := e.newArguments()
	inline := unsafe.Slice((*float64)(unsafe.Pointer(&a.channel[0])), C.AFL_INLINE_DOUBLES)
	for len(x) > 0 {
		n := copy(inline, x)
		point(&a.constants, at)
		a.constant_count = C.int32_t(n)
		if err := e.launch("afl_constants", 1, a); err != nil {
			return err
		}
		x, at = x[n:], at+uintptr(n)*unsafe.Sizeof(x[0])
	}
	return nil
}

// setOutputs fills in the outputs that the call requests.
func (v *evaluation) setOutputs(l *plan.Loss, c *plan.Call, value *tensor.Dense) error {
	a := v.args
	err := address(v, &a.grad, "grad", c.Grad)
	a.grad_scale = C.double(c.Scale())
	switch {
	case c.Shape == nil:
		point(&a.verdict, value.Uintptr()+verdictOffset)
		return errors.Join(err, address(v, &a.value, "value", value))
	case l.Focal != nil:
		return errors.Join(err, address(v, &a.elements, "value", value), address(v, &a.upstream, "upstream", c.Upstream))
	}
	return errors.Join(err, address(v, &a.groups, "value", value), address(v, &a.groups_upstream, "upstream", c.Upstream))
}

// run enqueues the passes of a loss, by the given kernels.
func (v *evaluation) run(l *plan.Loss, k kernelName) error {
	a, n, c := v.args, int64(v.b.N), int64(v.b.C)
	want, needed := l.Request(v.b)
	given := a.form == C.AFL_FORM_GIVEN
	if needed || given {
		at, err := v.reserve(8 * (1 + 3*n*c))
		if err != nil {
			return err
		}
		point(&a.factors, at)
		if given {
			if err := v.writeConstants(at, givenFactors(l.Focal, v.b, float64(a.scale))); err != nil {
				return err
			}
		}
	}
	if needed {
		a.masks = C.int32_t(want.Masks(v.b.C))
		if err := v.statistics(false); err != nil {
			return err
		}
	} else if err := v.reservePartials(); err != nil {
		return err
	}
	if !v.b.Target.Dense && v.b.C <= maxByteClasses {
		if err := v.classBytes(); err != nil {
			return err
		}
	}
	if k.general {
		at, err := v.reserve(8 * int64(v.blocks()) * int64(C.afl_scratch_doubles(C.int64_t(c))))
		if err != nil {
			return err
		}
		point(&a.scratch, at)
	}
	writes := a.grad != nil || a.elements != nil
	if l.Overlap != nil && writes {
		at, err := v.reserve(8 * 3 * n * c)
		if err != nil {
			return err
		}
		point(&a.coefficients, at)
	}
	a.last = 1
	if l.Overlap != nil || !writes {
		if err := v.launch("afl_reduce_"+k.name, v.blocks(), a); err != nil {
			return err
		}
		a.status = nil // the reduce pass has recorded bad elements
	}
	if writes {
		return v.launch("afl_gradient_"+k.name, v.blocks(), a)
	}
	return nil
}

// givenFactors returns AflArguments.factors for an adaptive term with given statistics.
// If the scale depends on the label, the statistics kernel overwrites it.
func givenFactors(w *plan.Focal, b *plan.Batch, scale float64) []float64 {
	all := b.N * b.C
	x := make([]float64, 1+3*all)
	x[0] = scale
	gamma, pos, neg := x[1:][:all], x[1+all:][:all], x[1+2*all:]
	for n := range b.N {
		q := w.Adaptive.Factors(w.Adaptive.Given, n, b.C)
		for c := range b.C {
			i := n*b.C + c
			gamma[i], pos[i], neg[i] = q.Gamma[c], w.Pos[c]*q.Positive[c], w.Neg[c]*q.Negative[c]
		}
	}
	return x
}

// alone enqueues the evaluation's kernels with no other evaluation's in between.
func (v *evaluation) alone(kernels func() error) error {
	v.evaluating.Lock()
	defer v.evaluating.Unlock()
	err := kernels()
	if err != nil {
		// The kernel that resets the status was not enqueued.
		err = errors.Join(err, v.do(func(s session) error { return zero(s, v.Engine.status, statusBytes) }))
	}
	return err
}

func (v *evaluation) blocks() int { return int(v.args.samples) * int(v.args.chunks) }

func (v *evaluation) reservePartials() error {
	width := int64(C.afl_partials_width(C.int64_t(v.b.C), C.int64_t(v.args.masks)))
	at, err := v.reserve(8 * int64(v.blocks()) * width)
	point(&v.args.partials, at)
	return err
}

// statistics enqueues the kernels of the label's statistics. last says that they end the
// evaluation.
func (v *evaluation) statistics(last bool) error {
	if err := v.reservePartials(); err != nil {
		return err
	}
	kernel := "afl_stats_general"
	if !v.b.Target.Dense && v.b.C <= maxByteClasses {
		kernel = "afl_stats_classes"
		if err := v.classBytes(); err != nil {
			return err
		}
	}
	v.args.last = truth(last)
	return v.launch(kernel, v.blocks(), v.args)
}

// classBytes enqueues the conversion of class indices to bytes, if it is needed.
func (v *evaluation) classBytes() error {
	a := v.args
	if a.target_type == C.AFL_UINT8 || a.classes != nil {
		return nil
	}
	at, err := v.reserve(int64(v.b.N) * int64(v.b.V))
	if err != nil {
		return err
	}
	point(&a.classes, at)
	return v.launch("afl_classes", v.blocks(), a)
}

// typeSuffixes are the suffixes of kernels by type of logits.
var typeSuffixes = map[tensor.Dtype]string{tensor.Float32: "_f32", tensor.Float64: "_f64", Float16: "_f16", BFloat16: "_bf16"}

// bfloat16Major is the compute capability whose instructions the passes over bfloat16 logits
// need. Older devices compute such logits by the general passes.
const bfloat16Major = 8

// kernelName names the kernels of a call, without afl_reduce_ or afl_gradient_.
type kernelName struct {
	name    string
	general bool
}

// kernelOf returns the kernels of a call. The choice depends on the call and the device alone.
func (k backend) kernelOf(b *plan.Batch, l *plan.Loss, c *plan.Call) kernelName {
	suffix := typeSuffixes[b.Logits.Dtype()]
	general := kernelName{"general" + suffix, true}
	if b.Logits.Dtype() == BFloat16 && k.device.ComputeMajor < bfloat16Major {
		return general
	}
	if b.Logits.Dtype() == tensor.Float64 || b.Target.Dense || b.C > maxByteClasses || b.VoxelWeight != nil || c.Shape != nil && l.Focal != nil {
		return general
	}
	activation := plan.None
	if o := l.Overlap; o != nil {
		activation = o.Activation
	}
	if w := l.Focal; w != nil {
		if l.Overlap != nil && activation != w.Activation || w.Smoothing != 0 || w.SoftmaxFrom != 0 {
			return general
		}
		activation = w.Activation
	}
	switch {
	case activation == plan.Sigmoid:
		return kernelName{name: "sigmoid" + suffix}
	case activation == plan.Softmax && b.C >= 2 && b.C <= 4:
		return kernelName{name: fmt.Sprintf("softmax%d%s", b.C, suffix)}
	case activation == plan.Softmax && b.C > 4:
		return kernelName{name: "softmax" + suffix}
	}
	return general
}

// elementTypes maps the types of tensors to AflType.
var elementTypes = map[tensor.Dtype]C.int32_t{
	tensor.Float32: C.AFL_FLOAT32, tensor.Float64: C.AFL_FLOAT64, Float16: C.AFL_FLOAT16, BFloat16: C.AFL_BFLOAT16,
	tensor.Uint8: C.AFL_UINT8, tensor.Int8: C.AFL_INT8, tensor.Uint16: C.AFL_UINT16, tensor.Int16: C.AFL_INT16,
	tensor.Uint32: C.AFL_UINT32, tensor.Int32: C.AFL_INT32, tensor.Uint64: C.AFL_UINT64, tensor.Int64: C.AFL_INT64,
	tensor.Uint: C.AFL_UINT64, tensor.Int: C.AFL_INT64, tensor.Bool: C.AFL_BOOL,
}

// The plan's constants equal C's, or are in the same order: an index other than 0 does
// not compile.
var (
	_ = [1]struct{}{}[plan.None-C.AFL_IDENTITY]
	_ = [1]struct{}{}[plan.Sigmoid-C.AFL_SIGMOID]
	_ = [1]struct{}{}[plan.Softmax-C.AFL_SOFTMAX]
	_ = [1]struct{}{}[plan.One-C.AFL_DIVIDE_BY_ONE]
	_ = [1]struct{}{}[plan.Valid-C.AFL_DIVIDE_BY_VALID]
	_ = [1]struct{}{}[plan.ValidOrNaN-C.AFL_DIVIDE_BY_VALID_NAN]
	_ = [1]struct{}{}[plan.LabelWeight-C.AFL_DIVIDE_BY_LABEL_WEIGHT]
	_ = [1]struct{}{}[C.AFL_FORM_RELEASED+plan.Released-C.AFL_FORM_RELEASED]
	_ = [1]struct{}{}[C.AFL_FORM_RELEASED+plan.Scalar-C.AFL_FORM_SCALAR]
	_ = [1]struct{}{}[C.AFL_FORM_RELEASED+plan.Balanced-C.AFL_FORM_BALANCED]
	_ = [1]struct{}{}[C.AFL_FORM_RELEASED+plan.Multiclass-C.AFL_FORM_MULTICLASS]
	_ = [1]struct{}{}[plan.StatsReleased-C.AFL_STATS_RELEASED]
	_ = [1]struct{}{}[plan.StatsPooled-C.AFL_STATS_POOLED]
	_ = [1]struct{}{}[plan.StatsPerSample-C.AFL_STATS_PER_SAMPLE]
	_ = [1]struct{}{}[plan.WholeImage-C.AFL_SMOOTHNESS_WHOLE_IMAGE]
	_ = [1]struct{}{}[plan.Boundary-C.AFL_SMOOTHNESS_BOUNDARY]
	_ = [1]struct{}{}[C.AFL_OVERLAP_DICE+plan.Dice-C.AFL_OVERLAP_DICE]
	_ = [1]struct{}{}[C.AFL_OVERLAP_DICE+plan.GeneralizedDice-C.AFL_OVERLAP_GENERALIZED_DICE]
	_ = [1]struct{}{}[C.AFL_OVERLAP_DICE+plan.Tversky-C.AFL_OVERLAP_TVERSKY]
	_ = [1]struct{}{}[plan.WeightSquare-C.AFL_WEIGHT_SQUARE]
	_ = [1]struct{}{}[plan.WeightSimple-C.AFL_WEIGHT_SIMPLE]
	_ = [1]struct{}{}[plan.WeightUniform-C.AFL_WEIGHT_UNIFORM]
)

func truth(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

// point stores a device address in a pointer field of the arguments.
func point[P any](field *P, at uintptr) { *(*uintptr)(unsafe.Pointer(field)) = at }

// address stores the device address of a tensor's memory in a pointer field, or leaves
// it null if there is no tensor.
func address[P any](v *evaluation, field *P, name string, t *tensor.Dense) error {
	if t == nil {
		return nil
	}
	at, err := v.address(name, t)
	if err == nil {
		point(field, at)
	}
	return err
}
