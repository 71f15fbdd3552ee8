//go:build !noasm

package cpu

import "golang.org/x/sys/cpu"

// tiers returns the kernels that this machine can run, the fastest first.
func tiers() []kernels {
	var t []kernels
	if x := cpu.X86; x.HasAVX2 && x.HasFMA {
		if x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
			t = append(t, kernels{
				name:     "avx512",
				logistic: logisticBy(&logisticAVX512), softmax: softmaxBy(&softmaxAVX512), fence: storeFence,
				rows32: rowKernelsBy[float32](&rows32AVX512), rows64: rowKernelsBy[float64](&rows64AVX512), tile: tileBy(&tilesAVX512),
				exp: rowsBy(expAVX512), log1p: rowsBy(log1pAVX512),
				labels: labelsBy(labelsAVX2), foreground: foregroundBy(foregroundAVX2), pack: packBy(packAVX2), packMap: packMapBy(packMapAVX2), unpack: unpackBy(unpackAVX2),
				packAbove32: packAboveBy(packAbove32AVX512), packAbove64: packAboveBy(packAbove64AVX512), keepFrom32: keepFromBy(keepFrom32AVX512), keepFrom64: keepFromBy(keepFrom64AVX512),
				pickMargins: pickMarginsWith(pickMarginsAVX512), spreadMargins: spreadMarginsBy(spreadMarginsAVX512),
				widen: widenBy(widenAVX2), sumMap: sumMapBy(sumMapAVX2), magnitudes: magnitudesBy(magnitudesAVX2), softMagnitudes: softMagnitudesBy(softMagnitudesAVX512),
				parabolas32: parabolasBy(&parabolas32AVX512), parabolas64: parabolasBy(&parabolas64AVX512),
			})
		}
		t = append(t, kernels{
			name:     "avx2",
			logistic: logisticBy(&logisticAVX2), softmax: softmaxBy(&softmaxAVX2), fence: storeFence,
			rows32: rowKernelsBy[float32](&rows32AVX2), rows64: rowKernelsBy[float64](&rows64AVX2), tile: tileBy(&tilesAVX2),
			exp: rowsBy(expAVX2), log1p: rowsBy(log1pAVX2),
			labels: labelsBy(labelsAVX2), foreground: foregroundBy(foregroundAVX2), pack: packBy(packAVX2), packMap: packMapBy(packMapAVX2), unpack: unpackBy(unpackAVX2),
			packAbove32: packAboveBy(packAbove32AVX2), packAbove64: packAboveBy(packAbove64AVX2), keepFrom32: keepFromBy(keepFrom32AVX2), keepFrom64: keepFromBy(keepFrom64AVX2),
			pickMargins: pickMarginsWith(pickMarginsAVX2), spreadMargins: spreadMarginsBy(spreadMarginsAVX2),
			widen: widenBy(widenAVX2), sumMap: sumMapBy(sumMapAVX2), magnitudes: magnitudesBy(magnitudesAVX2), softMagnitudes: softMagnitudesBy(softMagnitudesAVX2),
			parabolas32: parabolasBy(&parabolas32AVX2), parabolas64: parabolasBy(&parabolas64AVX2),
		})
	}
	return append(t, plain)
}
