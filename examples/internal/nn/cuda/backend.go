//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/internal/cuda/kernel"
)

// On returns a backend on an engine, which remains the caller's to close. dtype must be
// nn.Float32.
func On(engine *cuda.Engine, dtype nn.DType) (nn.Backend, error) {
	switch {
	case engine == nil:
		return nil, errors.New("nn/cuda: engine is nil")
	case dtype != nn.Float32:
		return nil, fmt.Errorf("nn/cuda: dtype is %v, want %v, the only one supported", dtype, nn.Float32)
	}
	return &backend{engine: engine, runner: engine.Runner(), garbage: new(garbage), taps: map[tapsKey]tapTable{},
		prefetched: prefetched{engine: engine, pinned: map[*tensor.Dense]*pinnedBuffer{}}}, nil
}

// closeWith closes the engine when the backend is not referenced any more.
func closeWith(b nn.Backend, engine *cuda.Engine) {
	runtime.AddCleanup(b.(*backend), func(e *cuda.Engine) { e.Close() }, engine)
}

// backend implements nn.Backend.
type backend struct {
	engine  *cuda.Engine
	runner  kernel.Runner
	step    []*array // that EndStep releases
	taps    map[tapsKey]tapTable
	garbage *garbage

	prefetched prefetched

	stop   uintptr // uint32: updates change nothing; 0 before its first use
	failed error   // of EndStep, to be returned by the next operation or RunStep

	precision Precision // of the convolutions that follow
	vendor    vendor
}

// garbage is the memory of kept arrays that are not referenced any more. The garbage collector
// adds to it; the backend frees it when it is used next, so that nothing happens to the engine
// during a capture.
type garbage struct {
	mu  sync.Mutex
	all []uintptr
}

func (g *garbage) add(m *memory) {
	if m.address == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(g.all, m.address)
}

func (g *garbage) take() []uintptr {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.all
	g.all = nil
	return all
}

// Name implements nn.Backend: cuda, or with a lower precision for example cuda/tf32.
func (b *backend) Name() string {
	if b.precision == Float32 {
		return "cuda"
	}
	return "cuda/" + b.precision.String()
}

// DType implements nn.Backend.
func (b *backend) DType() nn.DType { return nn.Float32 }

// DeviceMemory returns the number of bytes of the device's memory.
func (b *backend) DeviceMemory() int64 { return b.engine.Device().Memory }

// Release implements nn.Backend.
func (b *backend) Release(x nn.Array) {
	if a, ok := x.(*array); ok && a.owner == b && !a.kept {
		b.release(a)
	}
}

func (b *backend) release(a *array) {
	if a.formula != nil {
		b.dropAll(a.formula)
	}
	b.drop(a.memory)
	a.memory, a.formula = nil, nil
}

// drop ends one use of memory. After the last it frees the memory, or leaves the place of an
// input to the next one.
func (b *backend) drop(m *memory) {
	if m == nil {
		return
	}
	if m.users--; m.users > 0 {
		return
	}
	switch {
	case m.slot != nil:
		m.slot.taken = false
	case !m.input:
		b.free(m.address)
	}
}

// free returns memory to the pool. That fails only if the engine is closed or lost, and all of
// its memory with it.
func (b *backend) free(address uintptr) { b.runner.Free(address) }

// EndStep implements nn.Backend.
func (b *backend) EndStep(keep ...nn.Array) {
	for _, x := range keep {
		// A formula may read memory of the step.
		if a, ok := x.(*array); ok && a.owner == b {
			o := &op{backend: b, name: "nn/cuda: EndStep"}
			o.force(a)
			if err := o.end(); err != nil {
				b.failed = errors.Join(b.failed, err)
				b.release(a)
			}
		}
	}
	b.step = slices.DeleteFunc(b.step, func(a *array) bool {
		if slices.Contains(keep, nn.Array(a)) {
			return false
		}
		b.release(a)
		return true
	})
	if b.InStep() && !slices.ContainsFunc(b.step, func(a *array) bool { return a.memory != nil && a.memory.input }) {
		b.failed = errors.Join(b.failed, b.runner.NextInputs())
	}
	b.collect()
}

// collect frees the memory of kept arrays that are not referenced any more.
func (b *backend) collect() {
	for _, address := range b.garbage.take() {
		b.free(address)
	}
}
