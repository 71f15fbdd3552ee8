// Package cpu is the backend for tensors in Go memory.
//
// # Two sets of kernels
//
// Float32 logits with a target of class indices are computed in float32, for any
// number of channels up to what a byte can name. Kernels in assembly for AVX-512
// and AVX2 and their plain Go twin give the same bits: they add up in the same
// sixteen lanes, use the same polynomials for exp and log, and fuse the same
// products and sums, which plain Go emulates exactly. A lane's sum is short; it
// is added to a float64 one after every tile.
//
// Everything else is computed in float64 on tiles of a few hundred voxels,
// widened into a worker's own buffers: float64 logits, maps as a target, voxel
// weights, un-reduced losses, label smoothing, a softmax without the background
// or of one channel, and terms of different activations. A chunk of float32
// logits whose loss leaves the range of float32 (logits of some 1e36 and more,
// NaN) is done again that way.
//
// Which of the two computes a call depends on the call alone, never on the
// machine.
//
// # Order
//
// Tiles are summed in order within a chunk and chunks in order within the batch,
// and the chunks depend on the shape alone, so that every result has the same
// bits for any number of goroutines.
package cpu

import (
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// Backend is the CPU backend. Its zero value is ready for use.
type Backend struct{}

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
	tileVoxels = 256 // a tile of 8 channels fits the first-level cache
	maxChunks  = 64  // chunks a sample; bounds the scratch memory of the sums
)

// chunk is a range of voxels of one sample that one goroutine works through.
type chunk struct{ n, lo, hi int }

// chunksPerSample depends on the voxel count alone.
func chunksPerSample(v int) int {
	return min((v+tileVoxels-1)/tileVoxels, maxChunks)
}

// chunkAt returns chunk i of a batch whose samples have v voxels.
func chunkAt(i, v int) chunk {
	per := chunksPerSample(v)
	n, j := i/per, i%per
	tiles := (v + tileVoxels - 1) / tileVoxels
	return chunk{n: n,
		lo: j * tiles / per * tileVoxels,
		hi: min((j+1)*tiles/per*tileVoxels, v)}
}

// units calls work(i, s) for every i below n, each with scratch memory that no
// other call uses at the time, and returns the error of the lowest i.
func units(n int, work func(i int, s *scratch) error) error {
	var lent []*scratch
	defer func() {
		for _, s := range lent {
			scratchPool.Put(s)
		}
	}()
	return parallel.Try(n, func() func(int) error {
		s := scratchPool.Get().(*scratch)
		lent = append(lent, s)
		return func(i int) error { return work(i, s) }
	})
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// scratch is a worker's reusable memory. Its size depends on the channel count
// and, for the label statistics, on the size of an image plane.
type scratch struct {
	tile   tile
	blocks blockTileScratch
	bits   bitScratch
	planes [3]maskPlane
	row    []float64
}

// grow returns s with length n, reusing its memory where it is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func fill(s []float64, v float64) {
	for i := range s {
		s[i] = v
	}
}

var sumsPool = sync.Pool{New: func() any { return new([]float64) }}

// sumChunks runs work over every chunk of a batch, the last one first where
// backwards is set, with width zeroed accumulators for each, and returns the
// accumulators of each sample added up in order: N×width.
func sumChunks(n, v, width int, backwards bool, work func(c chunk, acc []float64, s *scratch) error) ([]float64, error) {
	per := chunksPerSample(v)
	buf := sumsPool.Get().(*[]float64)
	defer sumsPool.Put(buf)
	*buf = grow(*buf, n*per*width)
	acc := *buf
	clear(acc)
	err := units(n*per, func(i int, s *scratch) error {
		if backwards {
			i = n*per - 1 - i
		}
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
