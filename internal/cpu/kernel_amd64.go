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

// pickMarginsWith returns the kernel of [pickMarginsBy] that calls a routine.
func pickMarginsWith(routine func(masks, ones *uint64, above, listed *float32, at *uint32, x0, x1 *float32, class *uint8, limits *float32, first uint32, words int) (nAbove, nListed int)) func(p *marginPick, masks, ones []uint64, x0, x1 []float32, class []uint8, first uint32) {
	return func(p *marginPick, masks, ones []uint64, x0, x1 []float32, class []uint8, first uint32) {
		n := len(masks)
		if n == 0 {
			return
		}
		_, _, _, _ = ones[n-1], x0[64*n-1], x1[64*n-1], class[64*n-1]
		above, listed, at := p.above[p.nAbove:], p.listed[p.nListed:], p.at[p.nListed:]
		last := 64*n + compressSlack - 1
		_, _, _ = above[last], listed[last], at[last]
		nAbove, nListed := routine(&masks[0], &ones[0], &above[0], &listed[0], &at[0], &x0[0], &x1[0], &class[0], &p.limits[0], first, n)
		p.nAbove += nAbove
		p.nListed += nListed
	}
}

// spreadMarginsBy returns the kernel that calls a routine.
func spreadMarginsBy(routine func(g0, g1 *float32, masks, ones *uint64, slopes *float32, words int, stream bool) (n int)) func(g0, g1 []float32, masks, isOne []uint64, slopes []float32, stream bool) (n int) {
	return func(g0, g1 []float32, masks, isOne []uint64, slopes []float32, stream bool) (n int) {
		words := len(masks)
		if words == 0 {
			return 0
		}
		_, _, _ = g0[64*words-1], g1[64*words-1], isOne[words-1]
		if n = ones(masks); n == 0 {
			clear(g0[:64*words])
			clear(g1[:64*words])
			return 0
		}
		_ = slopes[n-1]
		return routine(&g0[0], &g1[0], &masks[0], &isOne[0], &slopes[0], words, stream && aligned(&g0[0]) && aligned(&g1[0]))
	}
}
