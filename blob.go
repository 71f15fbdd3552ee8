package afl

import (
	"bytes"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/cpu/kernel"
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
// [LogCoshDice], a [Compound] of them, or a [Sum]. The target holds class indices. One
// channel is the lesion's. Of several each but channel 0 is a problem of its own, of the
// lesions of its class, and L is the mean over them. Voxel weights multiply what they do in
// l. Ignored voxels belong to no lesion and take no part. The reduction, class weights and
// the ignore index are those of Blob, with which l has none.
//
// Sums over the background are made once for all lesions, whose own voxels are computed
// apart: the time grows with the voxels of the lesions, not with their number times the size
// of the image.
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
	b := blobSum{hostCall: c, loss: l}
	if err := b.findLesions(neighborhood); err != nil {
		return nil, err
	}
	terms, err := b.terms("Loss", l.Loss, 1)
	if err != nil {
		return nil, err
	}
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

// blobSum is an evaluation.
type blobSum struct {
	*hostCall
	loss    Blob
	images  []blobImage
	scratch *tensor.Dense // the gradient of an image by a term after the first
}

// blobImage is a channel of a sample: a problem of its own.
type blobImage struct {
	batch plan.Batch       // the image with its lesions ignored
	row   int              // of the logits, in N×C
	runs  []components.Run // by lesion
	first []int            // where the runs of each lesion begin, and their end
	voxel []int            // where the voxels of each run begin among all lesions', and their end
	// lesions are the voxels of the lesions alone, one lesion after the other. The rows hold,
	// for each of them, the probability, its complement, the voxel weight, and the pointwise
	// element of a term with its derivative with respect to the logit.
	lesions                           plan.Batch
	p, q, weight, element, derivative []float64
	// alpha is the share of the whole image in the loss, and beta that of each lesion.
	alpha, beta float64
	background  int // voxels that count
}

// findLesions fills in the images.
func (b *blobSum) findLesions(neighborhood components.Neighborhood) error {
	n, c, voxels := b.batch.N, b.batch.C, b.batch.V
	first := min(1, c-1)
	channels := c - first
	if c >= blobIgnored {
		return refuse("channels of logits", c, "at most %d", blobIgnored-1)
	}
	classes := make([]uint8, n*voxels)
	if err := b.kernels.ClassBytes(classes, &b.batch); err != nil {
		return public(err)
	}
	label := classes // of one channel they are the mask
	if c > 1 {
		label = make([]uint8, n*channels*voxels)
		parallel.Each(n*channels, func(i int) {
			class, row := uint8(first+i%channels), label[i*voxels:][:voxels]
			for at, y := range classes[i/channels*voxels:][:voxels] {
				if y == class {
					row[at] = 1
				} else if y == blobIgnored {
					row[at] = blobIgnored
				}
			}
		})
	}
	b.images = make([]blobImage, n*channels)
	with := make([]int, channels) // samples with a lesion
	for i := range b.images {
		image, row := &b.images[i], label[i*voxels:][:voxels]
		image.row = i/channels*c + first + i%channels
		runs, count := components.Find(row, b.batch.Space, neighborhood)
		image.sortRuns(runs, count)
		if count > 0 {
			with[i%channels]++
		}
		for _, r := range runs {
			for at := r.Start; at < r.End; at++ {
				row[at] = blobIgnored
			}
		}
		image.background = bytes.Count(row, []byte{0})
		image.batch = plan.Batch{N: 1, C: 1, V: voxels, Space: b.batch.Space,
			Logits: rowOf(b.batch.Logits, image.row, voxels),
			Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, voxels), tensor.WithBacking(row)), Argument: "target", Ignore: blobIgnored, HasIgnore: true}}
		if w := b.batch.VoxelWeight; w != nil {
			image.batch.VoxelWeight = rowOf(w, i/channels, voxels)
		}
		if count > 0 {
			image.gather()
		}
	}
	for i := range b.images {
		image := &b.images[i]
		image.alpha = b.loss.Alpha / float64(len(b.images))
		if lesions := len(image.first) - 1; lesions > 0 {
			image.beta = b.loss.Beta / float64(channels*with[i%channels]*lesions)
		}
	}
	return nil
}

// blobIgnored marks voxels that take no part, of which those of lesions are computed apart.
const blobIgnored = kernel.NoClass

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

// sortRuns stores the runs by lesion, each in raster order.
func (m *blobImage) sortRuns(runs []components.Run, count int) {
	m.first = make([]int, count+1)
	for _, r := range runs {
		m.first[r.Label]++
	}
	for i := range count {
		m.first[i+1] += m.first[i]
	}
	next := append([]int(nil), m.first...)
	m.runs = make([]components.Run, len(runs))
	for _, r := range runs {
		m.runs[next[r.Label-1]] = r
		next[r.Label-1]++
	}
	m.voxel = make([]int, len(runs)+1)
	for i, r := range m.runs {
		m.voxel[i+1] = m.voxel[i] + r.End - r.Start
	}
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

// blobPart is a set of voxels: their sums, and how many there are.
type blobPart struct {
	pointwise, i, p, g float64
	weight             float64 // the sum of the voxel weights
	voxels             float64
}

func (a *blobPart) add(o blobPart) {
	a.pointwise += o.pointwise
	a.i += o.i
	a.p += o.p
	a.g += o.g
	a.weight += o.weight
	a.voxels += o.voxels
}

// blobSlope is the derivative of the loss with respect to the sums of a part.
type blobSlope struct{ pointwise, t, p float64 }

func (a *blobSlope) add(o blobSlope, factor float64) {
	a.pointwise += float64(factor * o.pointwise)
	a.t += float64(factor * o.t)
	a.p += float64(factor * o.p)
}

func (a *blobSlope) scale(s float64) { *a = blobSlope{a.pointwise * s, a.t * s, a.p * s} }

// value returns the loss of a term on voxels with the given sums, a pointwise mean being
// over so many, and its derivative.
func (t *blobTerm) value(s blobPart, voxels float64) (value float64, slope blobSlope) {
	if t.pointwise != nil {
		slope.pointwise = t.scale
		if t.mean {
			slope.pointwise /= max(voxels, 1)
		}
		value = float64(slope.pointwise * s.pointwise)
	}
	if o := t.overlap; o != nil {
		g := o.Groups(&plan.Sums{I: []float64{s.i}, P: []float64{s.p}, G: []float64{s.g}}, 1, 1)
		coefT, coefP := o.Coefficients(g, nil, 1, 1)
		value += o.Total(g)
		slope.t, slope.p = coefT[0], coefP[0]
	}
	return value, slope
}

// evaluate returns an image's part in the loss by a term, and stores its gradient, or adds
// it to that of the terms before.
func (b *blobSum) evaluate(m *blobImage, t *blobTerm, firstTerm bool) (float64, error) {
	p := &plan.Plan{Pointwise: t.pointwise, Overlap: t.overlap}
	var grad, out *tensor.Dense
	if b.grad != nil {
		grad = rowOf(b.grad, m.row, b.batch.V)
		if out = grad; !firstTerm {
			out = b.scratch
		}
	}
	sums, err := b.kernels.Reduce(&m.batch, p, nil, out)
	if err != nil {
		return 0, public(err)
	}
	background := blobPart{pointwise: sums.Pointwise, voxels: float64(m.background)}
	if t.overlap != nil {
		background.p = sums.P[0]
	}
	lesions, err := b.lesionSums(m, t)
	if err != nil {
		return 0, err
	}
	all := background
	for _, s := range lesions {
		all.add(s)
	}
	var whole blobSlope
	value := 0.0
	if m.alpha > 0 {
		v, slope := t.value(all, all.voxels)
		value += float64(m.alpha * v)
		whole.add(slope, m.alpha)
	}
	slopes, rest := make([]blobSlope, len(lesions)), whole // of each lesion, of the background
	for i, s := range lesions {
		slopes[i] = whole
		if m.beta == 0 {
			continue
		}
		one := background
		one.add(s)
		voxels := one.voxels
		if b.loss.Mask != BlobExclude {
			voxels = all.voxels
		}
		if b.loss.Mask == BlobLogits {
			one.addMasked(t, all.weight-s.weight)
		}
		v, slope := t.value(one, voxels)
		value += float64(m.beta * v)
		slopes[i].add(slope, m.beta)
		rest.add(slope, m.beta)
	}
	if grad == nil {
		return value, nil
	}
	rest.scale(b.cfg.GradScale)
	for i := range slopes {
		slopes[i].scale(b.cfg.GradScale)
	}
	q := *p
	o := &plan.Output{Grad: out, Reduced: true}
	if t.pointwise != nil {
		scaled := *t.pointwise
		scaled.Scale = rest.pointwise
		q.Pointwise = &scaled
	}
	if t.overlap != nil {
		o.CoefT, o.CoefP = []float64{rest.t}, []float64{rest.p}
	}
	if _, err := b.kernels.Gradient(&m.batch, &q, o); err != nil {
		return 0, public(err)
	}
	m.lesionGradients(t, slopes, out.Data())
	if out != grad {
		err = public(b.kernels.Combine(grad, 1, out, 1))
	}
	return value, err
}

// addMasked adds voxels of a weight whose logit is 0, outside the lesion.
func (a *blobPart) addMasked(t *blobTerm, weight float64) {
	if w := t.pointwise; w != nil {
		a.pointwise += float64(weight * w.Neg[0] * math.Ln2 * cpu.Power(0.5, w.Gamma[0]))
	}
	if t.overlap != nil {
		p := 0.5
		if t.overlap.Squared {
			p = 0.25
		}
		a.p += float64(weight * p)
	}
}

// blobUnit is the work of one goroutine at a time: voxels [lo,hi) of all lesions' voxels,
// which belong to one lesion.
type blobUnit struct{ lesion, lo, hi int }

func (m *blobImage) units() []blobUnit {
	const voxels = 1 << 12
	var units []blobUnit
	for lesion := range len(m.first) - 1 {
		end := m.voxel[m.first[lesion+1]]
		for lo := m.voxel[m.first[lesion]]; lo < end; lo += voxels {
			units = append(units, blobUnit{lesion, lo, min(lo+voxels, end)})
		}
	}
	return units
}

// eachRun calls f, concurrently, for every run of the lesions and the place of its first
// voxel among all lesions' voxels.
func (m *blobImage) eachRun(f func(r components.Run, first int)) {
	const part = 1 << 8
	parallel.Each((len(m.runs)+part-1)/part, func(i int) {
		for k := i * part; k < min((i+1)*part, len(m.runs)); k++ {
			f(m.runs[k], m.voxel[k])
		}
	})
}

// gather makes a batch of the lesions' voxels, lesion by lesion.
func (m *blobImage) gather() {
	n := m.voxel[len(m.runs)]
	shape := tensor.WithShape(1, 1, n)
	copied := func(t *tensor.Dense) *tensor.Dense {
		to := tensor.New(shape, tensor.Of(t.Dtype()))
		switch from := t.Data().(type) {
		case []float32:
			dst := to.Data().([]float32)
			m.eachRun(func(r components.Run, first int) { copy(dst[first:], from[r.Start:r.End]) })
		case []float64:
			dst := to.Data().([]float64)
			m.eachRun(func(r components.Run, first int) { copy(dst[first:], from[r.Start:r.End]) })
		}
		return to
	}
	m.lesions = plan.Batch{N: 1, C: 1, V: n, Space: [3]int{1, 1, n}, Logits: copied(m.batch.Logits),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, n), tensor.Of(tensor.Uint8)), Argument: "target"}}
	if w := m.batch.VoxelWeight; w != nil {
		m.lesions.VoxelWeight = copied(w)
	}
	for _, row := range []*[]float64{&m.p, &m.q, &m.weight, &m.element, &m.derivative} {
		*row = make([]float64, n)
	}
}

// lesionSums returns the sums of each lesion, in which the target is 1, and keeps for
// lesionGradients what they are sums of.
func (b *blobSum) lesionSums(m *blobImage, t *blobTerm) ([]blobPart, error) {
	lesions := make([]blobPart, len(m.first)-1)
	if len(lesions) == 0 {
		return nil, nil
	}
	_, err := b.kernels.Visit(&cpu.Visit{Batch: &m.lesions, Activation: plan.Sigmoid, Logs: t.pointwise != nil, Scratch: 1,
		Do: func(tile *cpu.Tile, _ []float64) error {
			copy(m.p[tile.Lo:], tile.P[0])
			copy(m.q[tile.Lo:], tile.Q[0])
			copy(m.weight[tile.Lo:], tile.Weight)
			if a := t.pointwise; a != nil {
				pointwiseInside(a, tile, m.element[tile.Lo:tile.Hi], m.derivative[tile.Lo:tile.Hi])
			}
			return nil
		}})
	if err != nil {
		return nil, public(err)
	}
	units := m.units()
	parts := make([]blobPart, len(units))
	parallel.Each(len(units), func(i int) {
		s := &parts[i]
		for k := units[i].lo; k < units[i].hi; k++ {
			w, p := m.weight[k], m.p[k]
			s.weight += w
			s.voxels++
			if w == 0 {
				continue
			}
			s.pointwise += float64(w * m.element[k])
			s.i += float64(w * p)
			s.g += w
			if t.overlap != nil && t.overlap.Squared {
				p *= p
			}
			s.p += float64(w * p)
		}
	})
	for i, u := range units {
		lesions[u.lesion].add(parts[i])
	}
	return lesions, nil
}

// pointwiseInside stores the pointwise elements of a tile in which the target is 1, and their
// derivatives with respect to the logits.
func pointwiseInside(a *plan.Pointwise, tile *cpu.Tile, element, derivative []float64) {
	gamma, factor := a.Gamma[0], a.Pos[0]*a.CE[0]
	p, q, logP, power := tile.P[0], tile.Q[0], tile.Log[0], tile.Scratch[0]
	for i, l := range tile.LogQ[0] {
		power[i] = float64(gamma * l)
	}
	if gamma != 0 {
		tile.Exp(power)
	} else {
		for i := range power {
			power[i] = 1
		}
	}
	for i := range element {
		f := factor * power[i]
		element[i] = -float64(f * logP[i])
		derivative[i] = f * (float64(float64(gamma*p[i])*logP[i]) - q[i])
	}
}

// lesionGradients stores the gradient at the voxels of the lesions, after lesionSums.
func (m *blobImage) lesionGradients(t *blobTerm, slopes []blobSlope, grad any) {
	if len(slopes) == 0 {
		return
	}
	units := m.units()
	parallel.Each(len(units), func(i int) {
		u := units[i]
		slope := slopes[u.lesion]
		for k := u.lo; k < u.hi; k++ {
			g := 0.0
			if t.pointwise != nil {
				g = float64(slope.pointwise * m.derivative[k])
			}
			if o := t.overlap; o != nil {
				d := slope.t + slope.p
				if o.Squared {
					d = slope.t + float64(2*slope.p*m.p[k])
				}
				g += float64(d * m.p[k] * m.q[k])
			}
			m.element[k] = 0 // of a voxel without weight, whatever its logit
			if w := m.weight[k]; w != 0 {
				m.element[k] = w * g
			}
		}
	})
	m.eachRun(func(r components.Run, first int) {
		cpu.StoreFloats(grad, r.Start, m.element[first:first+r.End-r.Start])
	})
}
