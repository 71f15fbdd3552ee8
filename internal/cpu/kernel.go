package cpu

//go:generate go run -C _gen .

// kernels are the float32 kernels of one instruction set. All give the same bits.
type kernels struct {
	name string
	// logistic is [logisticGo] for at most blockTile voxels. buf is scratch memory
	// of logisticBuffer numbers; with stream set the gradient goes past the cache.
	logistic func(v variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, buf []float32, stream bool)
	fence    func()
	// softmax is [softmaxGo]. e is scratch memory of softmaxBuffer numbers; stream
	// is as for logistic.
	softmax func(v variant, x, g []float32, pitch int, y []uint8, sums []float32, k []softmaxCoef, e []float32, stream bool)
	// exp is [expGo] and log1p [log1pGo], over whole blocks.
	exp, log1p func(dst, src []float32)
	// labels is [labelsGo].
	labels func(dst, src []uint8, r *labelRules) (ok bool)
	// pack is [packGo].
	pack func(dst []uint64, src []uint8, class uint8)
}

var plain = kernels{
	name: "go",
	logistic: func(v variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, _ []float32, _ bool) {
		logisticGo(v, x0, x1, g0, g1, y, acc, k)
	},
	fence:   func() {},
	softmax: softmaxGo,
	exp:     expGo,
	log1p:   log1pGo,
	labels:  labelsGo,
	pack:    packGo,
}

// expGo stores e to the power of each number, which is below the point where
// that becomes infinite.
func expGo(dst, src []float32) {
	for i, x := range src {
		dst[i] = expUpTo(x)
	}
}

// log1pGo stores the logarithm of 1 plus each number, which is in [0,1].
func log1pGo(dst, src []float32) {
	for i, e := range src {
		dst[i] = log1p01(e)
	}
}

// Name says which float32 kernels this machine runs: avx512, avx2 or go.
func Name() string { return fastest.name }

// Exp stores the exponentials of src, numbers of at most 88, with the kernels'
// arithmetic: for measuring its rate. The length is a multiple of 64.
func Exp(dst, src []float32) { fastest.exp(dst, src) }

// Log1p stores the logarithms of 1 + src, numbers in [0,1]; see [Exp].
func Log1p(dst, src []float32) { fastest.log1p(dst, src) }

// fastest are the kernels that this machine runs.
var fastest = tiers()[0]
