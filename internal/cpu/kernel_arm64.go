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
