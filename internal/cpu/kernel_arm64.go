//go:build !noasm

package cpu

// tiers returns the kernels that this machine can run, the fastest first. Every arm64
// processor that Go supports has NEON.
func tiers() []kernels {
	return []kernels{{
		name:     "neon",
		logistic: logisticBy(&logisticNEON), softmax: softmaxBy(&softmaxNEON), fence: plain.fence,
		rows32: rowKernelsBy[float32](&rows32NEON), rows64: rowKernelsBy[float64](&rows64NEON), tile: tileBy(&tilesNEON),
		exp: rowsBy(expNEON), log1p: rowsBy(log1pNEON),
		labels: labelsBy(labelsNEON), foreground: foregroundBy(foregroundNEON), pack: packBy(packNEON), packMap: packMapBy(packMapNEON), unpack: unpackBy(unpackNEON),
		packAbove32: packAboveBy(packAbove32NEON), packAbove64: packAboveBy(packAbove64NEON), keepFrom32: keepFromBy(keepFrom32NEON), keepFrom64: keepFromBy(keepFrom64NEON),
		pickMargins: pickMarginsBy(packBy(packNEON), packMarginsBy(packMarginsNEON)), spreadMargins: spreadMarginsGo,
		widen: widenBy(widenNEON), sumMap: sumMapBy(sumMapNEON), magnitudes: magnitudesBy(magnitudesNEON), softMagnitudes: softMagnitudesBy(softMagnitudesNEON),
		parabolas32: parabolasBy(&parabolas32NEON), parabolas64: parabolasBy(&parabolas64NEON),
	}, plain}
}

// packMarginsBy returns the kernel that calls a routine.
func packMarginsBy(routine func(above, within *uint64, x0, x1 *float32, class *uint8, limits *float32, words int)) func(above, within []uint64, x0, x1 []float32, class []uint8, limits *[2]float32) {
	return func(above, within []uint64, x0, x1 []float32, class []uint8, limits *[2]float32) {
		if n := len(above); n > 0 {
			_, _, _, _ = within[n-1], x0[64*n-1], x1[64*n-1], class[64*n-1]
			routine(&above[0], &within[0], &x0[0], &x1[0], &class[0], &limits[0], n)
		}
	}
}
