package afl

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// BlobMask is what [Blob] does with the voxels of the other lesions.
type BlobMask uint8

const (
	// BlobExclude removes them: they take no part in the loss of a lesion.
	BlobExclude BlobMask = iota
	// BlobProbabilities sets their probability to 0, as the authors' code does with
	// probabilities. It differs from BlobExclude in the number of voxels that a pointwise
	// loss is divided by, which is that of the whole image.
	BlobProbabilities
	// BlobLogits sets their logit to 0 and so their probability to ½, as the authors' code
	// does with logits: every one of them adds a constant to the sums.
	BlobLogits
)

var blobMaskNames = [...]string{"exclude", "probabilities", "logits"}

func (m BlobMask) String() string { return name(blobMaskNames[:], int(m), "BlobMask") }

// Blob is the blob loss over another loss l (Kofler et al., "blob loss: instance imbalance
// aware loss functions for semantic segmentation", 2022), which counts every lesion of a
// sample alike, whatever its size:
//
//	L = Alpha·mean_n l(sample n) + Beta·mean_n mean_i l(lesion i of sample n)
//
// The lesions are the connected components of the target. The loss of a lesion is l on its
// sample, the voxels of the other lesions being masked. The second mean over samples is
// over those that have a lesion; without any it is 0.
//
// l is of the sigmoid: [CrossEntropy], [Focal], [Dice], [Tversky], [FocalTversky],
// [LogCoshDice], a [Compound] of them, or a [Sum]. The target holds class indices or
// one-hot maps. One channel is the lesion's. Of several each but channel 0 is a problem of
// its own, of the lesions of its class, and L is the mean over them. Voxel weights multiply
// what they do in l. Ignored voxels belong to no lesion and take no part. The reduction,
// class weights and the ignore index are those of Blob, with which l has none.
//
// Sums over the background are made once for all lesions, whose own voxels are computed
// apart: the time does not depend on the number of lesions times the size of the image.
type Blob struct {
	Options
	constructed
	// Loss is l.
	Loss Loss
	// Alpha and Beta are at least 0, not both of them 0, and default to 1.
	Alpha, Beta float64
	// Connectivity says which voxels belong to one lesion. Default 0 is Connectivity26 in
	// three dimensions and Connectivity8 in two.
	Connectivity Connectivity
	// Mask is BlobExclude (default), BlobProbabilities or BlobLogits.
	Mask BlobMask
}

// NewBlob returns the blob loss over a loss, with both parts weighted by 1:
//
//	afl.NewBlob(afl.NewCompound(afl.NewBinaryCrossEntropy(), afl.NewDice()))
func NewBlob(l Loss) Blob { return Blob{constructed: constructed{true}, Loss: l, Alpha: 1, Beta: 1} }

func (Blob) constructor() string { return "NewBlob" }

// Eval implements [Loss].
func (l Blob) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	has := support{reductions: []Reduction{ReduceMean}, ignore: true, weights: true}
	c, err := newHostCall(l, has, logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	if err := checkNumber("Alpha", l.Alpha, math.Inf(1)); err != nil {
		return nil, err
	}
	if err := checkNumber("Beta", l.Beta, math.Inf(1)); err != nil {
		return nil, err
	}
	if l.Alpha == 0 && l.Beta == 0 {
		return nil, refuse("Alpha and Beta", "0 and 0", "at least one above 0")
	}
	if l.Mask > BlobLogits {
		return nil, refuse("Mask", l.Mask, "exclude, probabilities or logits")
	}
	connectivity := l.Connectivity
	if connectivity == 0 {
		if connectivity = Connectivity26; len(c.spatial) == 2 {
			connectivity = Connectivity8
		}
	}
	neighborhood, err := connectivity.neighborhood(len(c.spatial))
	if err != nil {
		return nil, err
	}
	b := blobMemory.Get().(*blobSum)
	defer func() {
		b.release()
		blobMemory.Put(b)
	}()
	b.hostCall, b.loss = c, l
	if err := b.findLesions(neighborhood); err != nil {
		return nil, err
	}
	terms, err := b.terms("Loss", l.Loss, 1)
	if err != nil {
		return nil, err
	}
	terms = merged(terms)
	if grad != nil && len(terms) > 1 {
		if b.scratch, err = c.kernels.NewTensor(logits, 1, 1, c.batch.V); err != nil {
			return nil, public(err)
		}
	}
	if grad != nil && c.batch.C > 1 { // the background takes no part
		zeros := make([]float64, c.batch.V)
		for n := range c.batch.N {
			cpu.StoreFloats(grad.Data(), n*c.batch.C*c.batch.V, zeros)
		}
	}
	value := 0.0
	for i := range b.images {
		for k := range terms {
			v, err := b.evaluate(&b.images[i], &terms[k], k == 0)
			if err != nil {
				return nil, err
			}
			value += v
		}
	}
	return plan.FromNumber(value), nil
}

// blobSum is an evaluation. It keeps the memory of the images for the next one.
type blobSum struct {
	*hostCall
	loss    Blob
	images  []blobImage
	finder  components.Finder
	masks   cpu.Masks     // of the lesions
	scratch *tensor.Dense // the gradient of an image by a term after the first
}

var blobMemory = sync.Pool{New: func() any { return new(blobSum) }}

// release lets go of all tensors.
func (b *blobSum) release() {
	for i := range b.images {
		m := &b.images[i]
		m.batch, m.regions.Batch, m.regions.Plan = plan.Batch{}, nil, nil
	}
	b.hostCall, b.loss, b.scratch = nil, Blob{}, nil
}

// blobImage is a channel of a sample: a problem of its own.
type blobImage struct {
	batch   plan.Batch // the image with its lesions ignored
	row     int        // of the logits, in N×C
	regions cpu.Regions
	lesions int
	slopes  []cpu.RegionSlope
	labels  []uint8 // memory of the target
	// alpha is the share of the whole image in the loss, and beta that of each lesion.
	alpha, beta float64
	voxels      int // that are not ignored
}

// findLesions fills in the images.
func (b *blobSum) findLesions(neighborhood components.Neighborhood) error {
	n, c, voxels := b.batch.N, b.batch.C, b.batch.V
	if err := b.checkByteClasses(); err != nil {
		return err
	}
	channels := []int{0} // of a single one the class is 1
	if c > 1 {
		channels = channels[:0]
		for k := 1; k < c; k++ {
			channels = append(channels, k)
		}
	}
	if err := b.kernels.StoreTargetMasks(&b.masks, &b.batch, channels); err != nil {
		return public(err)
	}
	var ignored *cpu.Masks
	if b.batch.Target.HasIgnore {
		var err error
		if ignored, err = b.kernels.IgnoredMasks(&b.batch); err != nil {
			return public(err)
		}
	}
	// In the target of an image 1 is ignored: the lesion, and voxels that are ignored
	// anyway.
	labels, asIs := b.batch.Target.Tensor.Data().([]uint8)
	asIs = asIs && c == 1 && ignored == nil
	images := n * len(channels)
	b.images = slices.Grow(b.images[:0], images)[:images]
	with := make([]int, len(channels)) // samples with a lesion
	for i := range b.images {
		image, mask := &b.images[i], b.masks.At(i)
		sample := i / len(channels)
		image.row = sample*c + channels[i%len(channels)]
		image.regions.Runs, image.lesions = b.finder.FindBits(image.regions.Runs, mask, b.batch.Space, neighborhood)
		if image.lesions > 0 {
			with[i%len(channels)]++
		}
		image.voxels = voxels
		if ignored != nil {
			for k, w := range ignored.At(sample) {
				mask[k] |= w
				image.voxels -= bits.OnesCount64(w)
			}
		}
		var row []uint8
		if asIs {
			row = labels[i*voxels:][:voxels]
		} else {
			image.labels = cpu.Grow(image.labels, voxels)
			row = image.labels
			b.kernels.Unpack(row, mask)
		}
		image.batch = plan.Batch{N: 1, C: 1, V: voxels, Space: b.batch.Space,
			Logits: rowOf(b.batch.Logits, image.row, voxels),
			Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, voxels), tensor.WithBacking(row)), Argument: "target", Ignore: 1, HasIgnore: true}}
		if w := b.batch.VoxelWeight; w != nil {
			image.batch.VoxelWeight = rowOf(w, sample, voxels)
		}
		image.regions.Batch = &image.batch
	}
	for i := range b.images {
		image := &b.images[i]
		image.alpha = b.loss.Alpha / float64(len(b.images))
		if image.lesions > 0 {
			image.beta = b.loss.Beta / float64(len(channels)*with[i%len(channels)]*image.lesions)
		}
	}
	return nil
}

// rowOf returns a row of so many elements of a tensor as a tensor of its own, in the same
// memory.
func rowOf(t *tensor.Dense, row, n int) *tensor.Dense {
	shape := tensor.WithShape(1, 1, n)
	switch data := t.Data().(type) {
	case []float32:
		return tensor.New(shape, tensor.WithBacking(data[row*n:(row+1)*n:(row+1)*n]))
	case []float64:
		return tensor.New(shape, tensor.WithBacking(data[row*n:(row+1)*n:(row+1)*n]))
	}
	return nil
}

// blobTerm is a term of l: a pointwise and an overlap loss, of which one may be nil.
type blobTerm struct {
	pointwise *plan.Pointwise // Scale is 1
	scale     float64         // of the pointwise sum
	mean      bool            // divided by the number of voxels that count
	overlap   *plan.Overlap
}

// terms returns those of a loss times a weight.
func (b *blobSum) terms(argument string, l Loss, weight float64) ([]blobTerm, error) {
	if err := checkLoss(argument, l); err != nil {
		return nil, err
	}
	if sum, ok := l.(Sum); ok {
		var all []blobTerm
		for i, t := range sum.Terms {
			terms, err := b.terms(fmt.Sprintf("%s.Terms[%d].Loss", argument, i), t.Loss, weight*t.Weight)
			if err != nil {
				return nil, err
			}
			all = append(all, terms...)
		}
		if len(all) == 0 {
			return nil, refuse(argument, "a Sum without terms", "at least one term")
		}
		return all, nil
	}
	const want = "a CrossEntropy, Focal, Dice, Tversky, FocalTversky or LogCoshDice, a Compound of them, or a Sum"
	p, ok := l.(planner)
	if !ok {
		return nil, refuse(argument, fmt.Sprintf("a %T", l), want)
	}
	if err := checkConstructed(p); err != nil {
		return nil, err
	}
	if o := p.options(); o.Reduction != ReduceMean || o.Weight != nil || o.IgnoreIndex.Set || o.ExcludeBackground {
		return nil, refuse("Options of "+argument, fmt.Sprintf("%+v", o), "the zero value: the options are those of the Blob")
	}
	in := &input{batch: b.images[0].batch, spatial: b.spatial, backend: b.backend}
	described, err := p.plan(in)
	if err != nil {
		return nil, err
	}
	t := blobTerm{overlap: described.Overlap}
	if o := t.overlap; o != nil {
		if o.Kind == plan.GeneralizedDice || o.Activation != plan.Sigmoid {
			return nil, refuse(argument, fmt.Sprintf("a %T without the sigmoid, or of generalized Dice", l), want)
		}
		o.Scale *= weight
	}
	if f := described.Focal; f != nil {
		if f.Adaptive != nil || f.Activation != plan.Sigmoid {
			return nil, refuse(argument, fmt.Sprintf("a %T", l), want+", with the sigmoid")
		}
		t.scale, t.mean = f.Scale*weight, f.Denominator != plan.One
		f.Scale, f.Denominator = 1, plan.One
		t.pointwise = (&plan.Loss{Focal: f}).Plan(&in.batch, nil).Pointwise
	}
	return []blobTerm{t}, nil
}

// merged puts pointwise and overlap losses of different terms together, which then share their
// passes over the image.
func merged(terms []blobTerm) []blobTerm {
	var all []blobTerm
	for _, t := range terms {
		i := slices.IndexFunc(all, func(o blobTerm) bool {
			return (o.pointwise == nil || t.pointwise == nil) && (o.overlap == nil || t.overlap == nil)
		})
		if i < 0 {
			all = append(all, t)
			continue
		}
		if t.pointwise != nil {
			all[i].pointwise, all[i].scale, all[i].mean = t.pointwise, t.scale, t.mean
		}
		if t.overlap != nil {
			all[i].overlap = t.overlap
		}
	}
	return all
}

// blobPart holds the sums of a set of voxels. That of the weights is over the voxels of lesions
// alone.
type blobPart struct{ cpu.RegionSums }

// blobSlope is the derivative of the loss with respect to the sums of a part.
type blobSlope cpu.RegionSlope

func (a *blobSlope) add(o blobSlope, factor float64) {
	a.Pointwise += float64(factor * o.Pointwise)
	a.T += float64(factor * o.T)
	a.P += float64(factor * o.P)
}

func (a *blobSlope) scale(s float64) { *a = blobSlope{a.Pointwise * s, a.T * s, a.P * s} }

// value returns the loss of a term on voxels with the given sums, a pointwise mean being
// over so many, and its derivative.
func (t *blobTerm) value(s *blobPart, voxels int) (value float64, slope blobSlope) {
	if t.pointwise != nil {
		slope.Pointwise = t.scale
		if t.mean {
			slope.Pointwise /= float64(max(voxels, 1))
		}
		value = float64(slope.Pointwise * s.Pointwise)
	}
	if o := t.overlap; o != nil {
		v, dI, dP := o.Group(0, s.I, s.P, s.Weight)
		value += float64(o.Scale * v)
		slope.T, slope.P = o.Scale*dI, o.Scale*dP
	}
	return value, slope
}

// evaluate returns an image's part in the loss by a term, and stores its gradient, or adds
// it to that of the terms before.
func (b *blobSum) evaluate(m *blobImage, t *blobTerm, firstTerm bool) (float64, error) {
	m.regions.Plan = &plan.Plan{Pointwise: t.pointwise, Overlap: t.overlap}
	var grad, out *tensor.Dense
	if b.grad != nil {
		grad = rowOf(b.grad, m.row, b.batch.V)
		if out = grad; !firstTerm {
			out = b.scratch
		}
	}
	sums, lesions, err := b.kernels.ReduceRegions(&m.regions, m.lesions, out)
	if err != nil {
		return 0, public(err)
	}
	background := blobPart{cpu.RegionSums{Pointwise: sums.Pointwise}}
	if t.overlap != nil {
		background.P = sums.P[0]
	}
	all := background
	for i := range lesions {
		all.Add(lesions[i])
	}
	background.Voxels = m.voxels - all.Voxels
	all.Voxels = m.voxels
	var whole blobSlope
	value := 0.0
	if m.alpha > 0 {
		v, slope := t.value(&all, all.Voxels)
		value += float64(m.alpha * v)
		whole.add(slope, m.alpha)
	}
	m.slopes = cpu.Grow(m.slopes, len(lesions))
	slopes := m.slopes
	v, rest := b.lesionValues(m, t, background, all, lesions, whole, slopes)
	value += v
	if grad == nil {
		return value, nil
	}
	q := *m.regions.Plan
	o := &plan.Output{Grad: out, Reduced: true}
	if t.pointwise != nil {
		scaled := *t.pointwise
		scaled.Scale = rest.Pointwise
		q.Pointwise = &scaled
	}
	if t.overlap != nil {
		o.CoefT, o.CoefP = []float64{rest.T}, []float64{rest.P}
	}
	if err := b.kernels.RegionGradient(&m.regions, &q, o, slopes); err != nil {
		return 0, public(err)
	}
	if out != grad {
		err = public(b.kernels.Combine(grad, 1, out, 1))
	}
	return value, err
}

// lesionValues returns the sum of the values of the lesions by a term, of the sums given, and
// stores the slopes at their voxels. whole is the slope that the whole image has at every voxel;
// rest is that of the background.
func (b *blobSum) lesionValues(m *blobImage, t *blobTerm, background, all blobPart, lesions []cpu.RegionSums, whole blobSlope, slopes []cpu.RegionSlope) (value float64, rest blobSlope) {
	const part = 1 << 8
	type partial struct {
		value float64
		rest  blobSlope
	}
	parts := make([]partial, (len(lesions)+part-1)/part)
	parallel.Each(len(parts), func(k int) {
		var sum partial
		for i := k * part; i < min((k+1)*part, len(lesions)); i++ {
			own := whole
			if m.beta > 0 {
				one := background
				one.Add(lesions[i])
				voxels := one.Voxels
				if b.loss.Mask != BlobExclude {
					voxels = all.Voxels
				}
				if b.loss.Mask == BlobLogits {
					one.addMasked(t, all.Weight-lesions[i].Weight)
				}
				v, slope := t.value(&one, voxels)
				sum.value += float64(m.beta * v)
				own.add(slope, m.beta)
				sum.rest.add(slope, m.beta)
			}
			own.scale(b.cfg.GradScale)
			slopes[i] = cpu.RegionSlope(own)
		}
		parts[k] = sum
	})
	rest = whole
	for i := range parts {
		value += parts[i].value
		rest.add(parts[i].rest, 1)
	}
	rest.scale(b.cfg.GradScale)
	return value, rest
}

// addMasked adds voxels of a weight whose logit is 0, outside the lesion.
func (a *blobPart) addMasked(t *blobTerm, weight float64) {
	if w := t.pointwise; w != nil {
		a.Pointwise += float64(weight * w.Neg[0] * math.Ln2 * cpu.Power(0.5, w.Gamma[0]))
	}
	if t.overlap != nil {
		p := 0.5
		if t.overlap.Squared {
			p = 0.25
		}
		a.P += float64(weight * p)
	}
}
