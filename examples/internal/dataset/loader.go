package dataset

import (
	"context"
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
)

// Loader prepares samples in the background, in parallel, and yields them in a fixed
// order. The zero values of its options select the defaults.
type Loader struct {
	// Source produces the samples; it is required.
	Source Source
	// Workers is the number of samples prepared concurrently. Default [DefaultWorkers].
	Workers int
	// Ahead is the maximum number of samples that are ready or in preparation beyond
	// the one that the loop processes or waits for. It bounds the memory. Default: Workers.
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

// DefaultWorkers is the default of Loader.Workers: more of them would take time from a network
// that uses every core.
const DefaultWorkers = 2

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
	return sequence(func() *Ahead[*Sample] { return TrainAhead(ctx, l, cases, seed, epoch, same, nil) })
}

// Valid yields every case once, in the order of cases; see [Loader.Train].
func (l Loader) Valid(ctx context.Context, cases []Case) iter.Seq2[*Sample, error] {
	return sequence(func() *Ahead[*Sample] {
		workers, ahead := l.limits()
		return startAhead(ctx, len(cases), workers, ahead, func(i int) (*Sample, error) { return l.Source.Valid(cases[i]) }, nil)
	})
}

// TrainAhead is the sequence of l.Train after finish, which prepares each sample further and is
// called concurrently, as part of the sample's preparation. It starts at once, and the caller
// closes it. discard, which may be nil, is called for samples that were prepared but not read.
func TrainAhead[T any](ctx context.Context, l Loader, cases []Case, seed uint64, epoch int, finish func(*Sample) (T, error), discard func(T)) *Ahead[T] {
	order := rand.New(rand.NewPCG(seed, uint64(epoch))).Perm(len(cases) * max(l.Patches, 1))
	position := 0
	order = slices.DeleteFunc(order, func(int) bool {
		position++
		return position <= l.Skip || l.Only != nil && !l.Only(position-1)
	})
	workers, ahead := l.limits()
	return startAhead(ctx, len(order), workers, ahead, func(i int) (finished T, err error) {
		c := cases[order[i]%len(cases)]
		s, err := l.Source.Train(c, sampleSeed(seed, epoch, c.ID, order[i]/len(cases)))
		if err != nil {
			return finished, err
		}
		return finish(s)
	}, discard)
}

func same(s *Sample) (*Sample, error) { return s, nil }

// limits returns the numbers of workers and of samples ahead.
func (l Loader) limits() (workers, ahead int) {
	if workers = l.Workers; workers < 1 {
		workers = DefaultWorkers
	}
	if ahead = l.Ahead; ahead < 1 {
		ahead = workers
	}
	return workers, ahead
}

// sequence yields the values of what start returns.
func sequence(start func() *Ahead[*Sample]) iter.Seq2[*Sample, error] {
	return func(yield func(*Sample, error) bool) {
		a := start()
		defer a.Close()
		for {
			s, err, ok := a.Next()
			if !ok || !yield(s, err) {
				return
			}
		}
	}
}

// sampleSeed combines everything that a training sample may depend on into one seed.
func sampleSeed(seed uint64, epoch int, id string, patch int) uint64 {
	h := fnv.New64a()
	io.WriteString(h, id) // writing to a hash never fails
	return rand.NewPCG(seed^h.Sum64(), uint64(patch)<<32|uint64(epoch)).Uint64()
}
