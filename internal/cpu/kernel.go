package cpu

//go:generate sh -c "cd _gen && go run . -pkg cpu -out ../kernels_amd64.s -stubs ../stubs_amd64.go -tables ../tables_amd64.go"

// kernels are the float32 kernels of one instruction set. All give the same bits.
type kernels struct {
	name string
	// logistic is [logisticGo]; with stream set the gradient goes past the cache.
	logistic func(v variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, stream bool)
	// labels is [labelsGo].
	labels func(dst, src []uint8, r *labelRules) (ok bool)
}

var plain = kernels{
	name: "go",
	logistic: func(v variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, _ bool) {
		logisticGo(v, x0, x1, g0, g1, y, acc, k)
	},
	labels: labelsGo,
}

// fastest are the kernels that this machine runs.
var fastest = tiers()[0]

// labelRules say what a uint8 label means. The assembly reads it as 4 bytes.
type labelRules struct {
	ignore, mark uint8 // a label equal to ignore becomes mark
	cap          uint8 // larger labels become cap
	limit        uint8 // other labels from limit on are refused
}

// labelsGo writes the class of every label to dst, noClass for those that take
// no part, and reports whether all are classes.
func labelsGo(dst, src []uint8, r *labelRules) bool {
	ok := true
	for i, y := range src {
		class := min(y, r.cap)
		if y == r.ignore {
			class = r.mark
		}
		if class >= r.limit && class != noClass {
			ok = false
		}
		dst[i] = class
	}
	return ok
}
