package cpu

//go:generate go run -C _gen .

// kernels are the float32 kernels of one instruction set. All give the same bits.
type kernels struct {
	name string
	// logistic is [logisticGo] for at most blockTile voxels. buf is scratch memory
	// of logisticBuffer numbers; with stream set the gradient goes past the cache.
	logistic func(v variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, buf []float32, stream bool)
	// softmax is [softmaxGo]. e is scratch memory of softmaxBuffer numbers a channel.
	softmax func(v variant, x, g []float32, pitch int, y []uint8, sums []float32, k []softmaxCoef, e []float32)
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
	softmax: softmaxGo,
	labels:  labelsGo,
	pack:    packGo,
}

// fastest are the kernels that this machine runs.
var fastest = tiers()[0]
