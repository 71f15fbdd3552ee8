package cpu

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// Visit is a pass over a batch for losses that are no [plan.Plan]: it makes the
// probabilities of a tile, in float64 whatever the logits' type, and calls a function of
// the loss on them.
type Visit struct {
	Batch      *plan.Batch
	Activation plan.Activation
	// Targets asks for [Tile.Target].
	Targets bool
	// Scratch is how many rows of scratch memory Do wants.
	Scratch int
	// Sums is how many numbers Do sums for each sample.
	Sums int
	// Grad is nil, or receives the gradient with respect to the logits that Do leaves in
	// [Tile.Pull], times GradScale.
	Grad *tensor.Dense
	// GradScale is positive; 0 means 1.
	GradScale float64
	// Do is called for every tile, concurrently, and adds to sums.
	Do func(t *Tile, sums []float64) error
}

// Tile is a range of voxels of one sample, at most tileVoxels.
type Tile struct {
	Sample, Lo, Hi int // voxels [Lo,Hi) of the sample
	// Class holds the class indices of a target of indices, −1 where a voxel is ignored.
	Class []int32
	// Target holds the target by channel, where the visit asks for it: its maps, or 1 and 0
	// for class indices, the class of a single channel being 1.
	Target [][]float64
	// Weight holds the voxel weights: 1 where the batch has none, 0 where a voxel is ignored.
	Weight []float64
	// P and Q hold the probabilities by channel and their complements, both to full relative
	// precision. Without an activation P holds the logits and Q their complements.
	P, Q [][]float64
	// Pull is the derivative with respect to the logarithm of the probability, p·∂L/∂p, or
	// ∂L/∂p without an activation. It is 0 at first, and nil without a gradient.
	Pull [][]float64
	// Factor is what ∂L/∂p is multiplied by to become Pull: P, or 1 without an activation.
	Factor [][]float64
	// Scratch holds rows of scratch memory.
	Scratch [][]float64

	memory   []float64
	rows     [][]float64
	index    [tileVoxels]int32
	args     rowArgs[float64] // of the row kernels
	logistic []float64        // their results, rows of kernel.Tile numbers
	kernels  *rowKernels[float64]
}

// Power returns x to the power e for x ≥ 0 and e > 0, with the same bits on every
// architecture. It is 0 below 1e-300.
func Power(x, e float64) float64 {
	switch {
	case e == 1, !(x <= math.MaxFloat64): // NaN and infinity stay
		return x
	case x < 1e-300:
		return 0
	case e == 2:
		return float64(x * x)
	}
	return exp64(float64(e * logNormal64(x)))
}

// reserve returns n rows of tileVoxels numbers.
func (t *Tile) reserve(n int) {
	if cap(t.memory) < n*tileVoxels {
		t.memory = alignedOf[float64](n * tileVoxels)
	}
	if t.logistic == nil {
		t.logistic = alignedOf[float64](3 * kernel.Tile)
	}
	t.rows = t.rows[:0]
	for i := range n {
		t.rows = append(t.rows, t.memory[i*tileVoxels:(i+1)*tileVoxels])
	}
}

// take returns the next n rows, of a width.
func (t *Tile) take(n, width int) [][]float64 {
	rows := t.rows[:n:n]
	t.rows = t.rows[n:]
	for i := range rows {
		rows[i] = rows[i][:width]
	}
	return rows
}

// Visit makes a pass and returns the sums, by sample.
func (k Backend) Visit(v *Visit) ([]float64, error) {
	b := open(v.Batch)
	return sumChunks(b.N, b.V, v.Sums, parallel.Forwards, func(ch chunk, acc []float64, s *scratch) error {
		for lo := ch.lo; lo < ch.hi; lo += tileVoxels {
			t := &s.tile
			if err := v.load(t, b, &k.kernels().rows64, ch.n, lo, min(lo+tileVoxels, ch.hi)); err != nil {
				return err
			}
			if err := v.Do(t, acc); err != nil {
				return err
			}
			if v.Grad != nil {
				v.store(t, b)
			}
		}
		return nil
	})
}

// load reads a tile and makes its probabilities.
func (v *Visit) load(t *Tile, b *batch, kernels *rowKernels[float64], n, lo, hi int) error {
	t.Sample, t.Lo, t.Hi = n, lo, hi
	width, c := hi-lo, b.C
	t.reserve(7*c + 2 + v.Scratch) // all that is taken below
	t.kernels, t.Scratch = kernels, t.take(v.Scratch, width)
	t.Weight = t.take(1, width)[0]
	t.P, t.Q = nil, nil
	t.Class, t.Target, t.Pull, t.Factor = nil, nil, nil, nil
	if v.Grad != nil {
		t.Pull = t.take(c, width)
		for _, row := range t.Pull {
			clear(row)
		}
	}
	if b.Target.Dense {
		t.Target = t.take(b.C, width)
		for ch, row := range t.Target {
			if err := maps(b, n, ch, lo, hi, row); err != nil {
				return err
			}
		}
	} else {
		t.Class = t.index[:width]
		if err := classes(b, n, lo, hi, t.Class); err != nil {
			return err
		}
	}
	if b.weight != nil {
		if err := voxelWeights(b, n, lo, hi, t.Weight); err != nil {
			return err
		}
	} else {
		for i := range t.Weight {
			t.Weight[i] = 1
		}
	}
	if b.Target.HasIgnore {
		for i, y := range t.Class {
			if y == ignored {
				t.Weight[i] = 0
			}
		}
	}
	if v.Targets && !b.Target.Dense {
		t.Target = t.take(c, width)
		for ch, row := range t.Target {
			class := int32(ch)
			if c == 1 {
				class = 1
			}
			for i, y := range t.Class {
				row[i] = oneIf(y == class)
			}
		}
	}
	t.P, t.Q = t.take(c, width), t.take(c, width)
	for ch, row := range t.P {
		if err := widenAny(b.logits, (n*b.C+ch)*b.V+lo, row); err != nil {
			return err
		}
		if b.weight == nil && !b.Target.HasIgnore {
			continue
		}
		for i, w := range t.Weight {
			if w == 0 {
				row[i] = 0 // the logits of a voxel that takes no part may be anything
			}
		}
	}
	switch {
	case v.Activation == plan.None:
		t.Factor = t.take(c, width)
		for ch := range t.P {
			for i, p := range t.P[ch] {
				t.Q[ch][i] = 1 - p
				t.Factor[ch][i] = 1
			}
		}
		return nil
	case v.Activation == plan.Sigmoid:
		for ch := range t.P {
			p, q := t.P[ch], t.Q[ch]
			t.logistics(p)
			t.probabilities(p, p, q)
		}
	default:
		if c == 2 {
			v.softmaxPair(t)
		} else {
			v.softmax(t, t.take(1, width)[0])
		}
	}
	t.Factor = t.P
	return nil
}

// logistics computes e^−|x| and 1/(1+e^−|x|) by the row kernels.
func (t *Tile) logistics(x []float64) {
	n := padded(len(x))
	t.args.row[kernel.ArgX], t.args.row[kernel.ArgWeight] = x[:n], ones64[:n]
	t.args.row[kernel.ArgLogistic] = t.logistic
	t.kernels[kernel.RowExp](&t.args, n)
}

// padded returns the length of a kernel's arguments for so many voxels.
func padded(n int) int { return (n + kernel.Block - 1) / kernel.Block * kernel.Block }

// ones64 are the weights of voxels that count.
var ones64 = func() []float64 {
	row := alignedOf[float64](tileVoxels)
	for i := range row {
		row[i] = 1
	}
	return row
}()

// result returns a row of what logistics computed.
func (t *Tile) result(row, n int) []float64 { return t.logistic[row*kernel.Tile:][:n] }

// probabilities stores the sigmoid of x and its complement, after logistics.
func (t *Tile) probabilities(x, p, q []float64) {
	e, r := t.result(kernel.BufExp, len(x)), t.result(kernel.BufReciprocal, len(x))
	for i, x := range x {
		both := [2]float64{r[i], e[i] * r[i]}
		side := math.Float64bits(x) >> 63 // an index in place of a branch that is taken at random
		p[i], q[i] = both[side], both[side^1]
	}
}

// oneIf returns 1 or 0.
func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// softmax replaces the logits by probabilities. rest is scratch memory.
func (v *Visit) softmax(t *Tile, rest []float64) {
	for i := range rest {
		top := 0
		for c := range t.P {
			if t.P[c][i] > t.P[top][i] {
				top = c
			}
		}
		largest, others := t.P[top][i], 0.0
		for c := range t.P {
			x := t.P[c][i] - largest
			if c != top {
				t.P[c][i] = exp64(x)
				others += t.P[c][i]
			}
		}
		sum := 1 + others
		for c := range t.P {
			if c == top {
				t.P[c][i], t.Q[c][i] = 1/sum, others/sum
			} else {
				e := t.P[c][i]
				t.P[c][i], t.Q[c][i] = e/sum, (sum-e)/sum
			}
		}
	}
}

// softmaxPair is softmax for two channels, the sigmoid of their difference.
func (v *Visit) softmaxPair(t *Tile) {
	x0, x := t.P[0], t.P[1]
	for i := range x {
		x[i] -= x0[i]
	}
	t.logistics(x)
	t.probabilities(x, t.P[1], t.P[0])
	copy(t.Q[0], t.P[1])
	copy(t.Q[1], t.P[0])
}

// store turns the derivatives of a tile into the gradient with respect to the logits.
func (v *Visit) store(t *Tile, b *batch) {
	switch {
	case v.Activation == plan.None:
	case v.Activation == plan.Sigmoid:
		for c, row := range t.Pull {
			for i := range row {
				row[i] *= t.Q[c][i]
			}
		}
	case len(t.Pull) == 2:
		a0, a1, p0, p1 := t.Pull[0], t.Pull[1], t.P[0], t.P[1]
		for i := range a0 {
			d := float64(a1[i]*p0[i]) - float64(p1[i]*a0[i])
			a0[i], a1[i] = -d, d
		}
	default:
		pull := t.take(len(t.Pull), 1) // of one voxel
		for i := range t.Weight {
			for c, row := range t.Pull {
				pull[c][0] = row[i]
			}
			for c, row := range t.Pull {
				others := 0.0 // not as a difference, which would cancel
				for o := range pull {
					if o != c {
						others += pull[o][0]
					}
				}
				row[i] = float64(row[i]*t.Q[c][i]) - float64(t.P[c][i]*others)
			}
		}
	}
	data := v.Grad.Data()
	for c, row := range t.Pull {
		if v.GradScale != 0 && v.GradScale != 1 {
			for i := range row {
				row[i] *= v.GradScale
			}
		}
		StoreFloats(data, (t.Sample*b.C+c)*b.V+t.Lo, row)
	}
}
