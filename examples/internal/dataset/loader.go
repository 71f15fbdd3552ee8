package dataset

import (
	"context"
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
)

// Loader prepares samples in the background, in parallel, and hands them out in
// a fixed order. The zero value of its options is ready to use.
type Loader struct {
	// Source makes the samples; it is required.
	Source Source
	// Workers is how many samples are prepared at a time. Default 2: beside a
	// network that uses every core, more only take time from it.
	Workers int
	// Ahead is how many samples may be ready or in preparation beyond the one
	// that the loop works on or waits for; it bounds the memory. Default 2.
	Ahead int
}

// Train gives every case once, in an order drawn from seed and epoch. What is
// drawn for a sample depends on seed, epoch and the case's ID only, not on the
// order or the number of workers.
//
//	for sample, err := range loader.Train(ctx, set.Train, seed, epoch) {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// After an error, that of ctx included, the sequence ends. When the loop ends,
// in whatever way, the goroutines behind it have ended too.
func (l Loader) Train(ctx context.Context, cases []Case, seed uint64, epoch int) iter.Seq2[*Sample, error] {
	order := rand.New(rand.NewPCG(seed, uint64(epoch))).Perm(len(cases))
	return l.sequence(ctx, len(cases), func(i int) (*Sample, error) {
		c := cases[order[i]]
		return l.Source.Train(c, sampleSeed(seed, epoch, c.ID))
	})
}

// Valid gives every case once, in the order of cases; see Train.
func (l Loader) Valid(ctx context.Context, cases []Case) iter.Seq2[*Sample, error] {
	return l.sequence(ctx, len(cases), func(i int) (*Sample, error) { return l.Source.Valid(cases[i]) })
}

// sampleSeed mixes what a training sample may depend on into one seed.
func sampleSeed(seed uint64, epoch int, id string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, id) // a hash never fails to write
	return rand.NewPCG(seed^h.Sum64(), uint64(epoch)).Uint64()
}

type result struct {
	sample *Sample
	err    error
}

// sequence yields load(0) … load(n-1) in order. A dispatcher puts one channel
// per sample in a queue whose capacity bounds how far it runs ahead, and starts
// the sample's goroutine when a worker is free; each channel holds its one
// result, so no goroutine ever waits for the consumer.
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
		// A load cannot be interrupted, so the end of the loop waits for those
		// that have begun: at most one per worker.
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
				// Where ctx ended too, either select may have chosen to go on.
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
			if !ok { // the dispatcher stopped early: only ctx makes it
				yield(nil, ctx.Err())
				return
			}
			select {
			case r := <-out:
				// A sample that was ready at the same moment as the end of ctx
				// must not win by chance.
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
