package cpu

import (
	"strings"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

//go:generate go run -C _gen .

// kernels are the kernels of one instruction set. All sets give the same
// bits.
type kernels struct {
	name string
	// logistic is [logisticGo] for at most a strip. buf is scratch memory of
	// kernel.LogisticBuffer numbers that holds the weights and receives the elements
	// of an Above kernel; stream asks for non-temporal stores of what is written to g0 and g1.
	logistic func(v kernel.Variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, buf []float32, stream bool)
	// fence completes non-temporal stores.
	fence func()
	// softmax is [softmaxGo]. e is scratch memory of kernel.SoftmaxBuffer numbers;
	// stream is as for logistic.
	softmax func(v kernel.Variant, x, g []float32, pitch int, y []uint8, sums []float32, k []softmaxCoef, e []float32, stream bool)
	// rows32 and rows64 are the row kernels, see [plainRows].
	rows32 rowKernels[float32]
	rows64 rowKernels[float64]
	// tile is [tileGo].
	tile func(v kernel.Variant, a *rowArgs[float32], n int)
	// exp is [expGo] and log1p [log1pGo], over whole blocks.
	exp, log1p func(dst, src []float32)
	// labels is [labelsGo].
	labels func(dst, src []uint8, r *labelRules) (ok bool)
	// foreground is [foregroundGo].
	foreground func(fore, ignored []uint64, src []uint8, r *labelRules) (ok bool)
	// pack is [packGo].
	pack func(dst []uint64, src []uint8, class uint8)
	// packMap is [packMapGo].
	packMap func(dst []uint64, src []float32) (hard bool)
	// packAbove32 and packAbove64 are [packAboveGo].
	packAbove32 func(above, within []uint64, of []float32, limits *[2]float32)
	packAbove64 func(above, within []uint64, of []float64, limits *[2]float64)
	// keepFrom32 and keepFrom64 are [keepFromGo].
	keepFrom32 func(dst, of []float32, limit *float32)
	keepFrom64 func(dst, of []float64, limit *float64)
	// pickMargins is that of [pickMarginsBy].
	pickMargins func(p *marginPick, masks, ones []uint64, x0, x1 []float32, class []uint8, first uint32)
	// spreadMargins is [spreadMarginsGo]; stream asks for non-temporal stores.
	spreadMargins func(g0, g1 []float32, masks, ones []uint64, slopes []float32, stream bool) (n int)
	// unpack is [unpackGo].
	unpack func(dst []uint8, src []uint64)
	// widen is [widenGo].
	widen func(dst []float64, src []float32, sums *[sumLanes64]float64) (ok bool)
	// sumMap is [sumMapGo].
	sumMap func(src []float32, sums *[sumLanes64]float64) (ok bool)
	// magnitudes is [magnitudesGo].
	magnitudes func(dst, around, left, right, up, down []float64, steps *[2]float64)
	// softMagnitudes is [softMagnitudesGo].
	softMagnitudes func(around, left, right, up, down []float32, ends []uint8, steps *[2]float32, sums *[sumLanes64]float64) (boundary int)
	// parabolas32 and parabolas64 are [parabolasGo].
	parabolas32 func(dst []float32, p *Parabolas[float32])
	parabolas64 func(dst []float64, p *Parabolas[float64])
}

var plain = kernels{
	name: "go",
	logistic: func(v kernel.Variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, buf []float32, _ bool) {
		logisticGo(v, x0, x1, g0, g1, y, acc, k, buf)
	},
	fence:      func() {},
	softmax:    softmaxGo,
	rows32:     plainRows[float32](),
	rows64:     plainRows[float64](),
	tile:       tileGo,
	exp:        expGo,
	log1p:      log1pGo,
	labels:     labelsGo,
	foreground: foregroundGo,
	pack:       packGo,
	packMap:    packMapGo,
	unpack:     unpackGo,
	widen:      widenGo,
	sumMap:     sumMapGo,
	magnitudes: magnitudesGo,

	pickMargins:   pickMarginsBy(packGo, packMarginsGo),
	spreadMargins: spreadMarginsGo,

	packAbove32: packAboveGo[float32],
	packAbove64: packAboveGo[float64],
	keepFrom32:  keepFromGo[float32],
	keepFrom64:  keepFromGo[float64],

	softMagnitudes: softMagnitudesGo,

	parabolas32: parabolasGo[float32],
	parabolas64: parabolasGo[float64],
}

// expGo stores the exponential of each number, which is finite.
func expGo(dst, src []float32) {
	for i, x := range src {
		dst[i] = expUpTo(x)
	}
}

// log1pGo stores log(1+e) for each number e, which is in [0,1].
func log1pGo(dst, src []float32) {
	for i, e := range src {
		dst[i] = log1p01(e)
	}
}

// available are the kernels that this machine can run, the fastest first and the
// plain ones last.
var available = tiers()

// Tiers names the instruction sets whose kernels this machine can run, the
// fastest first: of avx512, avx2, neon and go, which is plain Go and always there. The
// build tag noasm leaves only that.
func Tiers() []string {
	names := make([]string, len(available))
	for i, k := range available {
		names[i] = k.name
	}
	return names
}

// New returns the backend that runs the kernels of the named instruction
// set, one of [Tiers].
func New(tier string) (Backend, error) {
	for i := range available {
		if available[i].name != tier {
			continue
		}
		if i == 0 {
			return Backend{}, nil
		}
		return Backend{forced: &available[i]}, nil
	}
	return Backend{}, plan.Refuse("instruction set", `"`+tier+`"`, "one that this machine supports: %s", strings.Join(Tiers(), ", "))
}

func (k Backend) kernels() *kernels {
	if k.forced == nil {
		return &available[0]
	}
	return k.forced
}

// Tier names the instruction set of the backend's kernels; see [Tiers].
func (k Backend) Tier() string { return k.kernels().name }

// Exp stores the exponentials of src, numbers of at most 88, computed as the float32
// kernels do, to measure their rate. The length is a multiple of 64.
func (k Backend) Exp(dst, src []float32) { k.kernels().exp(dst, src) }

// Log1p stores log(1+e) for the numbers e of src, which are in [0,1]; see
// [Backend.Exp].
func (k Backend) Log1p(dst, src []float32) { k.kernels().log1p(dst, src) }
