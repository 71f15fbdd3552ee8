package dataset

import (
	"context"
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
)

// Loader prepares samples in the background, in parallel, and yields them in a fixed
// order. The zero values of its options select the defaults.
type Loader struct {
	// Source produces the samples; it is required.
	Source Source
	// Workers is the number of samples prepared concurrently. Default 2: more workers
	// would take time from a network that uses every core.
	Workers int
	// Ahead is the maximum number of samples that are ready or in preparation beyond
	// the one that the loop processes or waits for. It bounds the memory. Default 2.
	Ahead int
	// Patches is the number of training samples of each case. Default 1.
	Patches int
	// Skip is the number of training samples at the beginning of an epoch that are left out,
	// because an interrupted training has had them. Default 0.
	Skip int
	// Only says which training samples are yielded, by their position in the epoch from 0;
	// nil: all of them.
	Only func(position int) bool
}

// Train yields Patches samples of every case, in an order drawn from seed and epoch. The
// random draws for a sample depend only on seed, epoch, the case's ID and the sample's
// number among those of the case, not on the order or the number of workers.
//
//	for sample, err := range loader.Train(ctx, set.Train, seed, epoch) {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// The sequence ends after an error, including that of ctx. When the loop ends for any
// reason, the goroutines that serve it have ended too.
func (l Loader) Train(ctx context.Context, cases []Case, seed uint64, epoch int) iter.Seq2[*Sample, error] {
	order := rand.New(rand.NewPCG(seed, uint64(epoch))).Perm(len(cases) * max(l.Patches, 1))
	position := 0
	order = slices.DeleteFunc(order, func(int) bool {
		position++
		return position <= l.Skip || l.Only != nil && !l.Only(position-1)
	})
	return l.sequence(ctx, len(order), func(i int) (*Sample, error) {
		c := cases[order[i]%len(cases)]
		return l.Source.Train(c, sampleSeed(seed, epoch, c.ID, order[i]/len(cases)))
	})
}

// Valid yields every case once, in the order of cases; see [Loader.Train].
func (l Loader) Valid(ctx context.Context, cases []Case) iter.Seq2[*Sample, error] {
	return l.sequence(ctx, len(cases), func(i int) (*Sample, error) { return l.Source.Valid(cases[i]) })
}

// sampleSeed combines everything that a training sample may depend on into one seed.
func sampleSeed(seed uint64, epoch int, id string, patch int) uint64 {
	h := fnv.New64a()
	io.WriteString(h, id) // writing to a hash never fails
	return rand.NewPCG(seed^h.Sum64(), uint64(patch)<<32|uint64(epoch)).Uint64()
}

type result struct {
	sample *Sample
	err    error
}

// sequence yields load(0) … load(n-1) in order. A dispatcher sends one channel per
// sample to a queue whose capacity limits how far it runs ahead, and starts the
// sample's goroutine when a worker is free. Each channel buffers its single result, so
// no goroutine ever waits for the consumer.
func (l Loader) sequence(ctx context.Context, n int, load func(int) (*Sample, error)) iter.Seq2[*Sample, error] {
	workers, ahead := l.Workers, l.Ahead
	if workers < 1 {
		workers = 2
	}
	if ahead < 1 {
		ahead = 2
	}
	return func(yield func(*Sample, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		// load cannot be interrupted, so leaving the loop waits for the calls in
		// progress: at most one per worker.
		defer running.Wait()
		defer cancel()

		queue := make(chan chan result, ahead)
		free := make(chan struct{}, workers)
		running.Go(func() {
			defer close(queue)
			for i := range n {
				select {
				case free <- struct{}{}:
				case <-ctx.Done():
					return
				}
				out := make(chan result, 1)
				select {
				case queue <- out:
				case <-ctx.Done():
					return
				}
				// If ctx is done too, either select may have chosen to continue.
				if ctx.Err() != nil {
					return
				}
				running.Go(func() {
					defer func() { <-free }()
					s, err := load(i)
					out <- result{s, err}
				})
			}
		})

		for range n {
			out, ok := <-queue
			if !ok { // the dispatcher stopped early, which only happens if ctx is done
				yield(nil, ctx.Err())
				return
			}
			select {
			case r := <-out:
				// If ctx is done too, select chooses at random; never yield the sample.
				if ctx.Err() != nil {
					r = result{nil, ctx.Err()}
				}
				if !yield(r.sample, r.err) || r.err != nil {
					return
				}
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}
