package cuda

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ledger is device memory that is accounted for but does not exist.
type ledger struct {
	t     testing.TB
	total int64
	used  int64
	next  uintptr
	live  map[uintptr]int64
}

func newLedger(t testing.TB, total int64) *ledger {
	return &ledger{t: t, total: total, next: 1 << 20, live: map[uintptr]int64{}}
}

func (l *ledger) alloc(bytes int64) (uintptr, error) {
	if bytes > l.total-l.used {
		return 0, &DriverError{Function: "cuMemAlloc", Code: codeOutOfMemory}
	}
	at := l.next
	// Addresses are not monotone, as with a driver.
	if rand.N(2) == 0 {
		at += 1 << 30
	}
	l.next += uintptr(bytes) + 512
	l.live[at] = bytes
	l.used += bytes
	return at, nil
}

func (l *ledger) free(address uintptr) error {
	bytes, found := l.live[address]
	require.True(l.t, found, "freed an address that the driver never gave")
	delete(l.live, address)
	l.used -= bytes
	return nil
}

func (l *ledger) memoryInfo() (int64, int64, error) { return l.total - l.used, l.total, nil }
func (l *ledger) synchronize() error                { return nil }

func TestRoundedSize(t *testing.T) {
	sizes := map[int64]bool{}
	for bytes := int64(1); bytes < 1<<17; bytes++ {
		size := roundedSize(bytes)
		require.GreaterOrEqual(t, size, bytes)
		require.LessOrEqual(t, size-bytes, max(bytes/8, leastBytes-1), "%d", bytes)
		require.Zero(t, size%leastBytes)
		require.Equal(t, size, roundedSize(size), "rounding is idempotent")
		sizes[size] = true
	}
	assert.Len(t, sizes, 16+4*8, "every 512 up to 8 Ki, then eight per power of two")
	assert.Equal(t, int64(mostBytes), roundedSize(mostBytes))
}

func TestPoolReuses(t *testing.T) {
	l := newLedger(t, 1<<30)
	p := newPool(l)
	a, err := p.alloc(100_000)
	require.NoError(t, err)
	require.NoError(t, p.release(a, 0))
	b, err := p.alloc(101_000)
	require.NoError(t, err)
	assert.Equal(t, a, b, "the sizes round to the same size")
	assert.Len(t, l.live, 1)
	assert.Equal(t, MemoryStats{InUse: 106496, Reserved: 106496, PeakInUse: 106496, PeakReserved: 106496}, p.statistics())
}

func TestPoolRefuses(t *testing.T) {
	p := newPool(newLedger(t, 1<<30))
	for _, bytes := range []int64{0, -1} {
		_, err := p.alloc(bytes)
		assert.ErrorContains(t, err, fmt.Sprintf("number of bytes is %d, want at least 1", bytes))
	}
	var oom *OutOfMemoryError
	_, err := p.alloc(1 << 62)
	require.ErrorAs(t, err, &oom)
	a, err := p.alloc(5000)
	require.NoError(t, err)
	assert.ErrorIs(t, p.release(a+512, 0), errInterior)
	assert.ErrorIs(t, p.release(a, 1000), errInterior, "a shorter piece at the beginning of the allocation")
	assert.ErrorIs(t, p.release(a+5120, 0), errNotHere)
	assert.ErrorIs(t, p.release(1, 0), errNotHere)
	require.NoError(t, p.release(a, 5000))
	assert.ErrorIs(t, p.release(a, 0), errReleased)
	assert.ErrorIs(t, p.check(a, 1), errReleased)
	assert.Zero(t, p.statistics().InUse)
}

func TestPoolTrims(t *testing.T) {
	l := newLedger(t, 1<<20)
	p := newPool(l)
	var all []uintptr
	for range 16 {
		a, err := p.alloc(1 << 16)
		require.NoError(t, err)
		all = append(all, a)
	}
	var oom *OutOfMemoryError
	_, err := p.alloc(1 << 17)
	require.ErrorAs(t, err, &oom)
	assert.Equal(t, OutOfMemoryError{Wanted: 1 << 17, InUse: 1 << 20, Reserved: 1 << 20, Free: 0, Total: 1 << 20}, *oom)
	assert.ErrorContains(t, err, "wanted 131072 B; this engine uses 1.0 MiB and reserves 1.0 MiB; the device has 0 B free of 1.0 MiB")
	for _, a := range all[:3] {
		require.NoError(t, p.release(a, 0))
	}
	_, err = p.alloc(1 << 17)
	require.NoError(t, err, "three allocations of half the size were unused")
	assert.Equal(t, int64(15<<16), p.statistics().Reserved)
}

// Memory allocated or released during a capture belongs to the graph.
func TestPoolHold(t *testing.T) {
	l := newLedger(t, 1<<30)
	p := newPool(l)
	before, err := p.alloc(1 << 16)
	require.NoError(t, err)

	h := p.beginCapture()
	scratch, err := p.alloc(1 << 14)
	require.NoError(t, err)
	result, err := p.alloc(1 << 15)
	require.NoError(t, err)
	require.NoError(t, p.release(scratch, 0))
	again, err := p.alloc(1 << 14)
	require.NoError(t, err)
	assert.Equal(t, scratch, again, "reused within the capture")
	require.NoError(t, p.release(again, 0))
	require.NoError(t, p.release(before, 0))
	p.endCapture()

	for _, bytes := range []int64{1 << 14, 1 << 16} {
		other, err := p.alloc(bytes)
		require.NoError(t, err)
		assert.NotContains(t, []uintptr{scratch, before}, other, "held by the graph")
		require.NoError(t, p.release(other, 0))
	}
	assert.EqualValues(t, 1<<14+1<<15+1<<16, p.statistics().InUse)
	require.NoError(t, p.release(result, 0))
	assert.EqualValues(t, 1<<14+1<<15+1<<16, p.statistics().InUse, "released after the capture, and still held by the graph")
	p.drop(h)
	assert.Zero(t, p.statistics().InUse)
	got, err := p.alloc(1 << 15)
	require.NoError(t, err)
	assert.Equal(t, result, got)
	require.NoError(t, p.close())
	assert.Empty(t, l.live)
}

// modelAllocation is memory that is in use according to the model.
type modelAllocation struct {
	address uintptr
	bytes   int64
}

// After any sequence of calls the pool agrees with a list of the memory in use: no
// overlaps, every byte is counted, and all memory is returned at the end.
func FuzzPool(f *testing.F) {
	f.Add([]byte{0, 10, 0, 20, 1, 0, 0, 11, 1, 1})
	f.Add([]byte{2, 0, 0, 200, 1, 0, 0, 200, 3, 0, 0, 200, 4, 0, 0, 200})
	f.Add([]byte{0, 255, 0, 255, 0, 255, 0, 255, 1, 0, 0, 254, 2, 9, 0, 255, 0, 255, 3, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		l := newLedger(t, 1<<20)
		p := newPool(l)
		var used []modelAllocation
		var holds []*hold
		for len(script) >= 2 {
			op, x := script[0]%5, int64(script[1])
			script = script[2:]
			switch op {
			case 0:
				bytes := x*x*7 + 1
				a, err := p.alloc(bytes)
				if err != nil {
					var oom *OutOfMemoryError
					require.True(t, errors.As(err, &oom), "%v", err)
					require.Greater(t, l.used+roundedSize(bytes), l.total, "out of memory although there is enough")
					continue
				}
				used = append(used, modelAllocation{a, bytes})
			case 1:
				if len(used) == 0 {
					require.ErrorIs(t, p.release(uintptr(x), 0), errNotHere)
					continue
				}
				i := int(x) % len(used)
				require.NoError(t, p.release(used[i].address, used[i].bytes))
				require.Error(t, p.release(used[i].address, used[i].bytes))
				used = slices.Delete(used, i, i+1)
			case 2:
				if p.capture == nil {
					holds = append(holds, p.beginCapture())
				}
			case 3:
				p.endCapture()
			case 4:
				if len(holds) > 0 && p.capture == nil {
					p.drop(holds[0])
					holds = holds[1:]
				}
			}
			checkPool(t, l, p, used)
		}
		p.endCapture()
		for _, h := range holds {
			p.drop(h)
		}
		for _, b := range used {
			require.NoError(t, p.release(b.address, b.bytes))
		}
		require.Zero(t, p.statistics().InUse)
		require.NoError(t, p.trim())
		require.Empty(t, l.live, "everything is free, so all of it is returned")
		require.Zero(t, p.statistics().Reserved)
	})
}

func checkPool(t *testing.T, l *ledger, p *pool, used []modelAllocation) {
	sorted := slices.SortedFunc(slices.Values(used), func(a, b modelAllocation) int { return cmp.Compare(a.address, b.address) })
	inUse := int64(0)
	for i, b := range sorted {
		require.NoError(t, p.check(b.address, b.bytes))
		require.GreaterOrEqual(t, l.live[b.address], b.bytes, "all of it was allocated from the driver")
		if i > 0 {
			require.GreaterOrEqual(t, b.address, sorted[i-1].address+uintptr(sorted[i-1].bytes), "two allocations overlap")
		}
		inUse += roundedSize(b.bytes)
	}
	s := p.statistics()
	held := int64(0)
	for _, b := range p.all {
		if b.hold != nil && !b.used {
			held += b.size
		}
	}
	require.Equal(t, inUse+held, s.InUse)
	require.Equal(t, l.used, s.Reserved)
	require.LessOrEqual(t, s.InUse, s.Reserved)
	require.GreaterOrEqual(t, s.PeakInUse, s.InUse)
	require.GreaterOrEqual(t, s.PeakReserved, s.PeakInUse)
}
