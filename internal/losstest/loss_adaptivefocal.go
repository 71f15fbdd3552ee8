package losstest

import (
	"fmt"
	"math"

	"github.com/x/afl"
)

var _ = register(descriptor{
	pointwise:       true,
	labelStatistics: true,
	variants: func(add adder) {
		add("afl", afl.NewAdaptiveFocal(), 2)
		for _, stats := range []afl.StatsMode{afl.StatsReleased, afl.StatsPooled, afl.StatsPerSample} {
			for _, smooth := range []afl.Smoothness{afl.SmoothnessWholeImage, afl.SmoothnessBoundary} {
				l := afl.NewAdaptiveFocal()
				l.Stats, l.Smoothness = stats, smooth
				add(fmt.Sprintf("afl/%v/%v", stats, smooth), l, 2)
				for _, a := range []afl.Activation{afl.Sigmoid, afl.Softmax} {
					channels := []int{1, 2}
					if a == afl.Softmax {
						channels = []int{2}
					}
					for _, form := range []afl.Form{afl.FormPaper, afl.FormBalanced} {
						l := l
						l.Form, l.Activation = form, a
						add(fmt.Sprintf("afl/%v/%v/%v/%v", form, a, stats, smooth), l, channels...)
					}
					l := l
					l.Form, l.Activation = afl.FormMulticlass, a
					add(fmt.Sprintf("afl/multiclass/%v/%v/%v", a, stats, smooth), l, channelsOf(a)...)
					add(fmt.Sprintf("afl/multiclass/%v/%v/%v/4", a, stats, smooth), l, 4)
				}
			}
		}
		l := afl.NewAdaptiveFocalPaper()
		l.Activation = afl.SoftmaxMONAI
		add("afl/paper/monai", l, 1, 2)
	},
	compared: func(add adder) {
		for _, form := range []afl.Form{afl.FormReleased, afl.FormPaper} {
			l := afl.NewAdaptiveFocal()
			l.Form, l.Binarize = form, false
			add(fmt.Sprintf("afl/%v/not-binarized", form), l, 2)
		}
	},
	golden: map[string]func(o goldenOptions, c int) afl.Loss{
		"afl": func(o goldenOptions, c int) afl.Loss {
			l := afl.NewAdaptiveFocal()
			l.Options, l.Binarize = o.shared(true), o.Binarize
			if o.Activation == "softmax" {
				l.Activation = afl.Softmax
			}
			l.Form = map[string]afl.Form{"released": afl.FormReleased, "paper": afl.FormPaper}[o.Form]
			if o.Form == "paper" && o.AlphaMode == "balanced" {
				l.Form = afl.FormBalanced
			}
			l.Stats = map[string]afl.StatsMode{"authors": afl.StatsReleased, "batch_pooled": afl.StatsPooled, "per_sample": afl.StatsPerSample}[o.Stats]
			return l
		},
	},
}, func(r *definition, l afl.AdaptiveFocal) float64 {
	// With statistics of its own making.
	type mask struct{ count, valid, magnitude, boundary float64 }
	stats := func(n int, f []float64) mask {
		var s mask
		g := GradientMagnitude(f, r.space)
		for i := range r.v {
			if !r.valid[n][i] {
				continue
			}
			s.count += f[i]
			s.valid++
			s.magnitude += g[i]
			if g[i] != 0 {
				s.boundary++
			}
		}
		return s
	}
	gammaOf := func(n int, f func(n int) []float64) (gamma, share float64) {
		all := make([]mask, r.n)
		var count, valid, pooled float64
		smooth := make([]float64, r.n)
		for k := range r.n {
			all[k] = stats(k, f(k))
			count, valid = count+all[k].count, valid+all[k].valid
			smooth[k] = all[k].magnitude / all[k].valid
			if l.Smoothness == afl.SmoothnessBoundary {
				smooth[k] = 0
				if all[k].boundary > 0 {
					smooth[k] = all[k].magnitude / all[k].boundary
				}
			}
			pooled += smooth[k] / float64(r.n)
		}
		switch l.Stats {
		case afl.StatsReleased:
			return count/valid + smooth[0], count / valid
		case afl.StatsPooled:
			return count/valid + pooled, count / valid
		}
		return all[n].count/all[n].valid + smooth[n], all[n].count / all[n].valid
	}
	foreground := func(n int) []float64 {
		f := make([]float64, r.v)
		for i := range f {
			if r.valid[n][i] {
				f[i] = r.t[n][min(1, r.c-1)][i]
				for c := 2; c < r.c; c++ {
					f[i] = math.Max(f[i], r.t[n][c][i])
				}
			}
		}
		return f
	}
	first := r.first(l.Options)
	type factors struct{ gamma, pos, neg float64 }
	all := make([][]factors, r.n)
	for n := range r.n {
		for c := range r.c {
			gamma, va := gammaOf(n, foreground)
			pos, neg := 1-va, va // of a class of the foreground, balanced
			switch {
			case l.Form == afl.FormReleased && c == 0:
				pos, neg = 1-va, 1-va
			case l.Form == afl.FormReleased:
				pos, neg = va, va
			case l.Form == afl.FormPaper:
				pos, neg = 1-va, 1-va
			case c == 0 && r.c > 1:
				pos, neg = va, 1-va
			case l.Form == afl.FormMulticlass && r.c > 1:
				gamma, va = gammaOf(n, func(n int) []float64 {
					f := make([]float64, r.v)
					for i := range f {
						if r.valid[n][i] {
							f[i] = r.t[n][c][i]
						}
					}
					return f
				})
				pos, neg = 1-va, va
			}
			all[n] = append(all[n], factors{gamma, pos, neg})
		}
	}
	sum := 0.0
	r.elements(first, func(n, c, i int) float64 {
		w, f := r.weight(l.Options, c), all[n][c]
		return r.focalElement(l.Activation, 0, n, c, i, f.gamma, w*f.pos, w*f.neg)
	}, func(_, _, _ int, e float64) { sum += e })
	return r.reduce(sum, l.Reduction, r.c-first)
})
