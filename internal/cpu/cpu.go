// Package cpu is the backend for tensors in Go memory.
//
// # Three sets of kernels
//
// The fused kernels compute what training calls most: float32 logits with a target of
// class indices that a byte can name or of maps of zeros and ones, by softmax a single
// one for each voxel, reduced, all terms of one activation, with float32 voxel weights or
// none. One call of a kernel reads logits, labels and weights and writes sums or the
// gradient. Maps are read as bits a chunk at a time, which finds out what they are.
//
// The tile kernels compute the same losses of float32 logits of single channels by sigmoid,
// or of two by softmax, where the fused ones do not: chunks of soft maps, which they read in
// place, un-reduced losses, label smoothing, and other voxel weights.
//
// The row kernels compute everything else: float64 logits, the same calls of three or more
// channels by softmax, a softmax that leaves out the background
// or has only one channel, probabilities in place of logits, and terms of different
// activations. Each is a short loop over one row, a channel of a tile, and hands its
// intermediates on to the next through the first-level cache. Of tile and row kernels target
// and weights become rows of the logits' type, so that no kernel depends on their types; a
// voxel that takes no part has weight 0, and its logits are not looked at.
//
// All compute in the type of the logits. A chunk of float32 logits whose loss or
// gradient exceeds the range of float32 (logits of about 1e36 and more, NaN), or whose
// weights are so small or large that products with them could, is computed again by the
// row kernels of float64. A loss whose own constants are that small or large is computed
// so throughout.
//
// The AVX-512, AVX2 and NEON kernels, which are in assembly, and their plain Go twins give
// the same bits: they sum in the same lanes, sixteen of float32 or eight of float64, use
// the same polynomials for exp and log, and fuse the same products and sums, which plain
// Go emulates exactly where it has no fused multiply-add of float32. A lane sums at most
// the voxels of one strip before it is added to a float64 sum. In plain Go on amd64, whose
// compiler has a fused multiply-add of float64 alone, float32 takes from 0.7 to 1.7 times as
// long as float64: rounding each sum to float32 costs that much. On 386 it takes a tenth at
// most and in WebAssembly less than half, as the fused multiply-add of float64 is emulated
// there too, for more. BenchmarkPrecision measures it.
//
// Which kernels compute a chunk depends on the call alone, never on the machine.
//
// # Sizes
//
// A chunk is a range of voxels of one sample, the work of one goroutine at a time. The
// fused kernels divide it into strips of 1024 voxels, the others into tiles of 512.
// A kernel's length is a multiple of a block of 64 voxels: what is left of a strip is
// copied to a block of its own, and a tile that ends within a block is padded by voxels
// of weight 0.
//
// # Losses that are no plan
//
// [Backend.Fields], [Backend.Binary], [Backend.LabelPower] and [Backend.ReduceRegions] make the
// passes of such losses by row kernels, in the type of the logits and with the same second
// computation in float64. [Backend.Margins] and [PassAbove] leave out the voxels whose margin
// or element is small. [Backend.Visit] is for the rest: it makes tiles of probabilities in float64,
// whatever the logits' type, and calls a function of the loss on them. Exponentials and
// logarithms are made by the row kernels, the rest is plain Go.
//
// # Order
//
// Strips are summed in order within a chunk and chunks in order within
// the batch. Chunks depend on the shape alone, so a result has the same bits
// whatever the number of goroutines.
package cpu

import (
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// Backend is the CPU backend. Its zero value runs the fastest kernels that the
// processor supports, a value of [New] those of one instruction set. Backends that
// run the same kernels are equal.
type Backend struct {
	forced *kernels // nil for the fastest
}

var (
	_ plan.Backend = Backend{}
	_ plan.Kernels = Backend{}
)

// LogitsTypes implements [plan.Backend].
func (Backend) LogitsTypes() []tensor.Dtype { return []tensor.Dtype{tensor.Float32, tensor.Float64} }

// Eval implements [plan.Backend].
func (k Backend) Eval(b *plan.Batch, l *plan.Loss, c *plan.Call) (*tensor.Dense, error) {
	return plan.Evaluate(k, b, l, c)
}

// NewTensor implements [plan.Backend] and [plan.Kernels].
func (Backend) NewTensor(like *tensor.Dense, shape ...int) (*tensor.Dense, error) {
	engine := like.Engine()
	// A tensor may have the engine of another type, but cannot be made with it.
	switch engine.(type) {
	case tensor.Float32Engine:
		if like.Dtype() != tensor.Float32 {
			engine = tensor.StdEng{}
		}
	case tensor.Float64Engine:
		if like.Dtype() != tensor.Float64 {
			engine = tensor.StdEng{}
		}
	}
	return tensor.New(tensor.Of(like.Dtype()), tensor.WithShape(shape...), tensor.WithEngine(engine)), nil
}

const (
	tileVoxels = 256 // chunks are of whole tiles
	maxChunks  = 64  // per sample; bounds the memory of the chunks' sums
)

// chunk is voxels [lo,hi) of sample n, and chunk i of the batch.
type chunk struct{ n, lo, hi, i int }

// chunksPerSample is the number of chunks of a sample of v voxels.
func chunksPerSample(v int) int {
	return min((v+tileVoxels-1)/tileVoxels, maxChunks)
}

// chunkAt returns chunk i of a batch whose samples have v voxels.
func chunkAt(i, v int) chunk {
	per := chunksPerSample(v)
	n, j := i/per, i%per
	tiles := (v + tileVoxels - 1) / tileVoxels
	return chunk{i: i, n: n,
		lo: j * tiles / per * tileVoxels,
		hi: min((j+1)*tiles/per*tileVoxels, v)}
}

// units calls work(i, s) for every i below n, in parallel, with scratch memory that
// no concurrent call uses, and returns the error of the lowest i.
func units(n int, work func(i int, s *scratch) error) error {
	return unitsInOrder(n, parallel.Forwards, work)
}

// unitsInOrder is units in an order.
func unitsInOrder(n int, order parallel.Order, work func(i int, s *scratch) error) error {
	return unitsOf(n, order, func(*scratch) {}, work)
}

// unitsOf is units in an order. begin is called for the scratch memory of each goroutine, one
// after the other, before any unit.
func unitsOf(n int, order parallel.Order, begin func(s *scratch), work func(i int, s *scratch) error) error {
	var used []*scratch
	defer func() {
		for _, s := range used {
			scratchPool.Put(s)
		}
	}()
	return parallel.TryInOrder(n, order, func() func(int) error {
		s := scratchPool.Get().(*scratch)
		used = append(used, s)
		begin(s)
		return func(i int) error { return work(i, s) }
	})
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// scratch is the reusable memory of a goroutine. Its size depends on the number of
// channels and, for the statistics of the label, on the size of an image plane.
type scratch struct {
	labels labelTile
	strip  stripScratch
	rows32 rowScratch[float32]
	rows64 rowScratch[float64]
	bits   bitScratch
	tile   Tile
	planes [3]maskPlane
	row    []float64
	soft   softScratch
	places []int32 // of regions among the parts of a unit; zeros between units

	margins marginScratch
}

// Grow returns s with length n, in the same memory if that is large enough.
func Grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

var sumsPool = sync.Pool{New: func() any { return new([]float64) }}

// sumChunks calls work for every chunk of a batch in an order, each with width accumulators
// that are zero, and returns the sums of the accumulators over the chunks of each sample, added
// in order: N×width.
func sumChunks(n, v, width int, order parallel.Order, work func(c chunk, acc []float64, s *scratch) error) ([]float64, error) {
	per := chunksPerSample(v)
	buf := sumsPool.Get().(*[]float64)
	defer sumsPool.Put(buf)
	*buf = Grow(*buf, n*per*width)
	acc := *buf
	clear(acc)
	err := unitsInOrder(n*per, order, func(i int, s *scratch) error {
		return work(chunkAt(i, v), acc[i*width:(i+1)*width], s)
	})
	if err != nil {
		return nil, err
	}
	out := make([]float64, n*width)
	for i := range n * per {
		sample := out[i/per*width:]
		for k := range width {
			sample[k] += acc[i*width+k]
		}
	}
	return out, nil
}
