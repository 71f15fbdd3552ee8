package dist

import (
	"fmt"
	"math"
	"time"
	"unsafe"
)

// bucketBytes is the size at which gradients are sent: large enough that the latency of a
// message does not count, and small enough that the exchange starts early in the backward pass.
const bucketBytes = 4 << 20

// BuffersPerGradient is the number of copies of a network's gradients that a Reducer holds.
const BuffersPerGradient = 2

// Reducer sums the gradients of a network over the processes, while a backward pass still
// computes others. Gradients are sent in buckets of consecutive parameters, the last
// parameter of the network first, because its gradient is the first to be known.
//
// Each step is a call of Put for some of the parameters, followed by Finish. A process that has
// no gradient, or fails, calls Finish alone: it takes part in all exchanges of the step.
type Reducer struct {
	group   *Group
	places  []place // by parameter
	buckets []*bucket
	next    int // the first bucket that is not sent
	put     []bool

	// Waited is the time in which Finish has waited for other processes and for the exchange,
	// and Exchanged that of the exchanges, which overlap with the computation.
	Waited, Exchanged time.Duration
	// Bytes is the number of bytes of gradients in a step, of one process.
	Bytes int
}

// place is where the gradient of a parameter is in a bucket.
type place struct {
	bucket         *bucket
	from, to, flag int
}

// bucket holds gradients, followed by a flag for each parameter: absent, or 1 for every process
// that has a gradient.
type bucket struct {
	used    int // floats
	params  int
	missing int // parameters not put yet in this step
	send    []float32
	receive []float32
	raw     [2][]byte
	done    chan error
	took    time.Duration
}

// absent is the gradient that is added for none: −0, which changes no number, not even +0.
var absent = math.Float32frombits(1 << 31)

// NewReducer returns a Reducer for parameters with the given numbers of elements. All
// processes must have the same.
func NewReducer(g *Group, sizes []int) (*Reducer, error) {
	if err := g.Same("parameters", fmt.Sprint(sizes)); err != nil {
		return nil, err
	}
	return newReducer(g, sizes, bucketBytes), nil
}

func newReducer(g *Group, sizes []int, limit int) *Reducer {
	r := &Reducer{group: g, places: make([]place, len(sizes)), put: make([]bool, len(sizes))}
	var b *bucket
	for i := len(sizes) - 1; i >= 0; i-- {
		if b == nil || b.used > 0 && 4*(b.used+sizes[i]) > limit {
			b = &bucket{done: make(chan error, 1)}
			r.buckets = append(r.buckets, b)
		}
		r.places[i] = place{bucket: b, from: b.used, to: b.used + sizes[i], flag: b.params}
		b.used += sizes[i]
		b.params++
		r.Bytes += 4 * sizes[i]
	}
	for i := range r.places {
		r.places[i].flag += r.places[i].bucket.used
	}
	for _, b := range r.buckets {
		part := (b.used + b.params + g.Size() - 1) / g.Size()
		part = (part + 15) &^ 15 // whole cache lines
		for k, floats := range []*[]float32{&b.send, &b.receive} {
			b.raw[k] = g.transport.Alloc(4 * part * g.Size())
			*floats = unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b.raw[k]))), part*g.Size())
		}
	}
	r.reset()
	return r
}

// Close frees the memory of the Reducer.
func (r *Reducer) Close() {
	for _, b := range r.buckets {
		for _, raw := range b.raw {
			r.group.transport.Free(raw)
		}
	}
	r.buckets, r.places = nil, nil
}

func (r *Reducer) reset() {
	for _, b := range r.buckets {
		b.missing = b.params
	}
	clear(r.put)
	r.next = 0
}

// Put takes the gradient of parameter i from this process; fill stores it. It sends a bucket
// that is then complete, without waiting.
func (r *Reducer) Put(i int, fill func(dst []float32) error) error {
	p := r.places[i]
	if r.put[i] {
		return fmt.Errorf("dist: the gradient of parameter %d is put twice", i)
	}
	if err := fill(p.bucket.send[p.from:p.to]); err != nil {
		return err
	}
	p.bucket.send[p.flag] = 1
	r.taken(i)
	r.send()
	return nil
}

// taken counts parameter i.
func (r *Reducer) taken(i int) {
	r.put[i] = true
	r.places[i].bucket.missing--
}

// send queues all buckets that are complete, in their order: it is the same in all processes.
func (r *Reducer) send() {
	for ; r.next < len(r.buckets) && r.buckets[r.next].missing == 0; r.next++ {
		b := r.buckets[r.next]
		r.group.exchange.queue <- func(t Transport) {
			start := time.Now()
			err := b.sum(t)
			b.took = time.Since(start)
			b.done <- err
		}
	}
}

// sum sums the bucket over the processes, from send to receive.
func (b *bucket) sum(t Transport) error {
	if err := t.Alltoall(b.raw[0], b.raw[1]); err != nil {
		return err
	}
	part := len(b.receive) / t.Size()
	parts := make([][]float32, t.Size())
	for i := range parts {
		parts[i] = b.receive[i*part : (i+1)*part]
	}
	sumTree(parts)
	copy(b.send[:part], parts[0])
	return t.Allgather(b.raw[0][:4*part], b.raw[1])
}

// Finish waits for the sums over all processes. Parameters that were not put have no gradient
// in this process.
func (r *Reducer) Finish() error {
	for i, put := range r.put {
		if put {
			continue
		}
		p := r.places[i]
		dst := p.bucket.send[p.from:p.to]
		for k := range dst {
			dst[k] = absent
		}
		p.bucket.send[p.flag] = absent
		r.taken(i)
	}
	r.send()
	start := time.Now()
	t := r.group.transport
	t.Hurry(true)
	defer t.Hurry(false)
	var first error
	for _, b := range r.buckets {
		if err := <-b.done; err != nil && first == nil {
			first = fmt.Errorf("dist: gradients: %w", err)
		}
		r.Exchanged += b.took
	}
	r.Waited += time.Since(start)
	r.reset()
	return first
}

// Sum returns the sum of the gradients of parameter i after Finish, until the next Put. ok is
// false if no process has a gradient.
func (r *Reducer) Sum(i int) (sum []float32, ok bool) {
	p := r.places[i]
	return p.bucket.receive[p.from:p.to], p.bucket.receive[p.flag] > 0
}
