//go:build unix

package edt

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// figure describes a mask by few numbers, so that a search can vary them: the voxels of a
// pattern within a box. The box is given as fractions of the volume.
type figure struct {
	pattern string
	lo, hi  [3]float64
	density float64 // of noise
	period  [3]int  // of a lattice, planes and a checkerboard
	surface bool    // of the figure instead of all of it
}

var patterns = []string{"solid", "noise", "lattice", "planes", "checkerboard", "ball", "voxel"}

// mask returns the figure in a volume, and the voxel in the middle of its box, so that it
// is not empty.
func (f *figure) mask(shape [3]int) *Mask {
	var lo, hi [3]int
	for axis, n := range shape {
		a, b := f.lo[axis], f.hi[axis]
		lo[axis] = min(int(min(a, b)*float64(n)), n-1)
		hi[axis] = max(lo[axis]+1, min(n, int(math.Ceil(max(a, b)*float64(n)))))
	}
	rng := rand.New(rand.NewPCG(uint64(shape[0]), math.Float64bits(f.density)))
	voxels := make([]uint8, shape[0]*shape[1]*shape[2])
	for z := lo[0]; z < hi[0]; z++ {
		for y := lo[1]; y < hi[1]; y++ {
			row := voxels[(z*shape[1]+y)*shape[2]:][:shape[2]]
			for x := lo[2]; x < hi[2]; x++ {
				if f.has([3]int{z - lo[0], y - lo[1], x - lo[2]}, [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}, rng) {
					row[x] = 1
				}
			}
		}
	}
	voxels[((lo[0]+hi[0])/2*shape[1]+(lo[1]+hi[1])/2)*shape[2]+(lo[2]+hi[2])/2] = 1
	m := maskOf(voxels, shape)
	if f.surface {
		return Surface(m, 3)
	}
	return m
}

// has reports whether a position in a box of a size is in the pattern.
func (f *figure) has(at, size [3]int, rng *rand.Rand) bool {
	switch f.pattern {
	case "solid":
		return true
	case "noise":
		return rng.Float64() < f.density
	case "lattice":
		return at[0]%f.period[0]+at[1]%f.period[1]+at[2]%f.period[2] == 0
	case "planes":
		return (at[0]/f.period[0]+at[1]/f.period[1]+at[2]/f.period[2])%7 == 0
	case "checkerboard":
		return (at[0]/f.period[0]+at[1]/f.period[1]+at[2]/f.period[2])%2 == 0
	case "ball":
		r2 := 0.0
		for axis, n := range size {
			d := (2*float64(at[axis])+1)/float64(n) - 1
			r2 += d * d
		}
		return r2 <= 1
	default:
		return false
	}
}

// input is what [Grid.Nearest] is measured on, in both directions.
type input struct {
	shape   [3]int
	spacing [3]float64
	figures [2]figure
}

func (in input) String() string {
	return fmt.Sprintf("{%#v, %#v, [2]figure{%s, %s}}", in.shape, in.spacing, in.figures[0].String(), in.figures[1].String())
}

func (f *figure) String() string {
	return fmt.Sprintf("{%q, %#v, %#v, %v, %#v, %v}", f.pattern, f.lo, f.hi, f.density, f.period, f.surface)
}

// cpuTime returns the time that the process has spent on processors: other than the time
// on the clock, it depends little on what else runs on the machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// nearestBoth measures both directions.
func nearestBoth(spacing [3]float64, a, b *Mask) {
	g := NewGrid(a, spacing)
	g.Nearest(a, b)
	g.Nearest(b, a)
}

// plainBoth does the same with two plain transforms.
func plainBoth(spacing [3]float64, a, b *Mask) {
	SortedSquared(a, b, spacing)
	SortedSquared(b, a, spacing)
}

// measured are the least times of several calls.
type measured struct{ nearest, plain time.Duration }

func (m measured) ratio() float64 { return float64(m.nearest) / float64(m.plain) }

func (in input) measure(repeats int) measured {
	a, b := in.figures[0].mask(in.shape), in.figures[1].mask(in.shape)
	least := measured{math.MaxInt64, math.MaxInt64}
	take := func(least *time.Duration, call func([3]float64, *Mask, *Mask)) {
		runtime.GC()
		calls := 1
		for {
			start := cpuTime()
			for range calls {
				call(in.spacing, a, b)
			}
			if took := cpuTime() - start; took > time.Millisecond {
				*least = min(*least, took/time.Duration(calls))
				return
			}
			calls *= 4
		}
	}
	for range repeats {
		take(&least.nearest, nearestBoth)
		take(&least.plain, plainBoth)
	}
	return least
}

// slowInputs are the slowest that were found, most of them with ways of searching that
// are bounded since.
var slowInputs = []input{
	// Noise and a voxel far from most of it: many distances, with uneven spacing most of
	// them different.
	{[3]int{224, 224, 144}, [3]float64{1, 1, 1}, [2]figure{everywhere("noise", 0.5), corner}},
	{[3]int{224, 224, 144}, [3]float64{2.2, 0.61, 0.59}, [2]figure{everywhere("noise", 0.5), corner}},
	{[3]int{224, 224, 144}, [3]float64{2.2, 0.61, 0.59}, [2]figure{everywhere("noise", 0.5), everywhere("noise", 1e-4)}},
	// An organ and a tumor in it.
	{[3]int{224, 224, 144}, [3]float64{1, 1, 1}, [2]figure{
		{"ball", [3]float64{0.1, 0.1, 0.1}, [3]float64{0.9, 0.9, 0.9}, 0, cells(1, 1, 1), true},
		{"ball", [3]float64{0.4, 0.5, 0.4}, [3]float64{0.5, 0.6, 0.6}, 0, cells(1, 1, 1), true},
	}},
	// Fine structures and the surface of a box some way off.
	{[3]int{160, 128, 24}, [3]float64{2.2, 0.1, 1}, [2]figure{
		{"solid", [3]float64{0, 0.3, 0}, [3]float64{1, 0.89, 1}, 0, cells(1, 1, 1), true},
		{"checkerboard", [3]float64{0.14, 0, 0}, [3]float64{0.85, 1, 1}, 0, cells(2, 10, 2), false},
	}},
	{[3]int{75, 75, 85}, [3]float64{2.2, 1, 1}, [2]figure{
		{"noise", [3]float64{0, 0, 0.35}, [3]float64{1, 1, 0.8}, 0.28, cells(1, 1, 1), true},
		{"planes", [3]float64{0, 0, 0}, [3]float64{1, 1, 1}, 0, cells(6, 20, 4), false},
	}},
	// Rows of one word or of many.
	{[3]int{1000, 1000, 1}, [3]float64{1, 1, 1}, [2]figure{everywhere("noise", 0.5), corner}},
	{[3]int{61, 29, 1}, [3]float64{1, 0.61, 0.61}, [2]figure{
		everywhere("solid", 0), {"planes", [3]float64{0.32, 0.29, 0}, [3]float64{0.36, 0.84, 1}, 0, cells(2, 2, 8), true},
	}},
	{[3]int{6989, 4, 1}, [3]float64{2.2, 1, 0.5}, [2]figure{
		{"checkerboard", [3]float64{0.08, 0.43, 0.17}, [3]float64{0.26, 0.63, 0.51}, 0, cells(5, 2, 2), false},
		{"ball", [3]float64{0.46, 0, 0}, [3]float64{0.99, 1, 1}, 0, cells(1, 1, 1), true},
	}},
	{[3]int{35730, 1, 3}, [3]float64{2.2, 0.5, 10}, [2]figure{
		{"lattice", [3]float64{0, 0, 0}, [3]float64{1, 1, 1}, 0, cells(2, 3, 6), false},
		{"solid", [3]float64{0, 0.26, 0.82}, [3]float64{1, 0.48, 0.38}, 0, cells(1, 1, 1), false},
	}},
	{[3]int{85814, 2, 1}, [3]float64{0.61, 2.2, 2.2}, [2]figure{
		{"ball", [3]float64{0, 0.64, 0}, [3]float64{1, 0.88, 1}, 0, cells(1, 1, 1), true},
		{"solid", [3]float64{0, 0.9, 0}, [3]float64{1, 1, 1}, 0, cells(1, 1, 1), false},
	}},
	{[3]int{165, 14, 1}, [3]float64{1, 1, 1}, [2]figure{
		everywhere("solid", 0), {"solid", [3]float64{0.99, 0, 0}, [3]float64{1, 1, 1}, 0, cells(1, 1, 1), true},
	}},
	{[3]int{2, 1, 160294}, [3]float64{0.5, 3, 0.61}, [2]figure{
		everywhere("solid", 0), {"ball", [3]float64{0.64, 0, 0.94}, [3]float64{0.79, 0.22, 1}, 0, cells(1, 1, 1), false},
	}},
	{[3]int{1, 1, 1000000}, [3]float64{1, 1, 1}, [2]figure{everywhere("noise", 0.5), corner}},
	// Volumes so small that tables take longer than the transform.
	{[3]int{5, 5, 5}, [3]float64{1, 1, 1}, [2]figure{everywhere("noise", 0.5), corner}},
	{[3]int{7, 1, 73}, [3]float64{1, 2.2, 0.61}, [2]figure{everywhere("noise", 0.73), everywhere("noise", 0.3)}},
	{[3]int{1, 9, 8}, [3]float64{1, 10, 3}, [2]figure{everywhere("solid", 0), everywhere("noise", 0.31)}},
}

var corner = figure{"voxel", [3]float64{1, 1, 1}, [3]float64{1, 1, 1}, 0, cells(1, 1, 1), false}

func everywhere(pattern string, density float64) figure {
	return figure{pattern, [3]float64{0, 0, 0}, [3]float64{1, 1, 1}, density, cells(1, 1, 1), false}
}

func cells(z, y, x int) [3]int { return [3]int{z, y, x} }

// BenchmarkSlowInputs measures both directions of the slowest inputs, and two plain
// transforms in the same run: the least processor time of five calls of each in turn.
//
//	go test ./internal/edt -run - -bench SlowInputs -benchtime 1x -cpu 1
func BenchmarkSlowInputs(b *testing.B) {
	for _, in := range slowInputs {
		b.Run(fmt.Sprintf("%dx%dx%d/%s+%s", in.shape[0], in.shape[1], in.shape[2], in.figures[0].pattern, in.figures[1].pattern), func(b *testing.B) {
			var m measured
			for b.Loop() {
				m = in.measure(5)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(m.nearest.Seconds()*1e3, "cpu-ms")
			b.ReportMetric(m.plain.Seconds()*1e3, "plain-cpu-ms")
			b.ReportMetric(m.ratio(), "of-plain")
		})
	}
}

// The slow inputs are exact as well.
func TestSlowInputs(t *testing.T) {
	for _, in := range slowInputs {
		if in.shape[0]*in.shape[1]*in.shape[2] > 1<<20 && testing.Short() {
			continue
		}
		a, b := in.figures[0].mask(in.shape), in.figures[1].mask(in.shape)
		g := NewGrid(a, in.spacing)
		for _, pair := range [][2]*Mask{{a, b}, {b, a}} {
			got := g.Nearest(pair[0], pair[1])
			want := SortedSquared(pair[0], pair[1], in.spacing)
			require.Equal(t, slices.Compact(slices.Clone(want)), got.Squared, "%v", in)
			for i, squared := range got.Squared {
				n, _ := slices.BinarySearch(want, squared)
				require.Equal(t, squared, want[n+int(got.Weight[i])-1], "%v", in)
				require.True(t, n+int(got.Weight[i]) == len(want) || want[n+int(got.Weight[i])] > squared, "%v", in)
			}
		}
	}
}

var searchTime = flag.Duration("slow", 0, "how `long` to search for slow inputs")

// TestSearchForSlowInputs searches for the input that takes longest compared with two
// plain transforms, by random inputs and changes to the slowest of them, and logs what it
// finds:
//
//	go test ./internal/edt -run SearchForSlowInputs -slow 5m -v -timeout 1h
func TestSearchForSlowInputs(t *testing.T) {
	if *searchTime == 0 {
		t.Skip("takes long; -slow 5m to run it")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	type found struct {
		input
		measured
	}
	// The slowest inputs, by the number of digits of their numbers of voxels: what is slow
	// for a small volume is not for a large one.
	const keep = 5
	var slowest [7][]found
	tried := 0
	for start := time.Now(); time.Since(start) < *searchTime; tried++ {
		in := randomInput(rng)
		if class := slowest[2+rng.IntN(5)]; len(class) > 0 && rng.IntN(3) > 0 {
			in = class[rng.IntN(len(class))].change(rng)
		}
		class := &slowest[len(fmt.Sprint(in.shape[0]*in.shape[1]*in.shape[2]))-1]
		f := found{in, in.measure(2)}
		if len(*class) == keep {
			if f.ratio() <= (*class)[keep-1].ratio() {
				continue
			}
			f.measured = in.measure(5)
		}
		*class = append(*class, f)
		slices.SortFunc(*class, func(a, b found) int { return cmp.Compare(b.ratio(), a.ratio()) })
		*class = (*class)[:min(len(*class), keep)]
	}
	for _, class := range slowest {
		for _, f := range class {
			f.measured = f.measure(7)
			t.Logf("%.2f of two plain transforms, %v of %v: %v", f.ratio(), f.nearest, f.plain, f.input)
		}
	}
	t.Logf("%d inputs tried", tried)
	require.Greater(t, tried, 0)
}

func randomInput(rng *rand.Rand) input {
	in := input{figures: [2]figure{randomFigure(rng), randomFigure(rng)}}
	in.reshape(rng)
	in.respace(rng)
	return in
}

func (in *input) reshape(rng *rand.Rand) {
	// The edges' product is up to about 2^19, whatever their ratios.
	volume := math.Exp2(6 + 13*math.Sqrt(rng.Float64()))
	weights := [3]float64{rng.Float64(), rng.Float64(), rng.Float64()}
	switch rng.IntN(4) {
	case 0: // flat or long
		weights[rng.IntN(3)] *= 0.05
	case 1: // like medical images
		weights = [3]float64{1, 1, 1}
	}
	sum := weights[0] + weights[1] + weights[2]
	for axis := range in.shape {
		in.shape[axis] = max(1, int(math.Round(math.Pow(volume, weights[axis]/sum))))
	}
}

func (in *input) respace(rng *rand.Rand) {
	for axis := range in.spacing {
		in.spacing[axis] = [...]float64{1, 1, 0.5, 3, 0.61, 2.2, 10, 0.1}[rng.IntN(8)]
	}
	if rng.IntN(3) == 0 {
		in.spacing = [3]float64{1, 1, 1}
	}
}

func randomFigure(rng *rand.Rand) figure {
	f := figure{pattern: patterns[rng.IntN(len(patterns))], density: math.Exp(-7 * rng.Float64()), surface: rng.IntN(2) == 0}
	for axis := range f.lo {
		f.lo[axis], f.hi[axis] = rng.Float64(), rng.Float64()
		if rng.IntN(2) == 0 {
			f.lo[axis], f.hi[axis] = 0, 1
		}
		f.period[axis] = 1 + int(math.Exp(4*rng.Float64()*rng.Float64()))
	}
	return f
}

// change returns an input with one thing changed.
func (in input) change(rng *rand.Rand) input {
	f := &in.figures[rng.IntN(2)]
	switch axis := rng.IntN(3); rng.IntN(9) {
	case 0:
		in.reshape(rng)
	case 1:
		in.respace(rng)
	case 2:
		*f = randomFigure(rng)
	case 3:
		f.density = min(1, f.density*math.Exp(rng.NormFloat64()))
	case 4:
		f.period[axis] = max(1, f.period[axis]+rng.IntN(7)-3)
	case 5:
		f.lo[axis] = min(1, max(0, f.lo[axis]+0.1*rng.NormFloat64()))
	case 6:
		f.hi[axis] = min(1, max(0, f.hi[axis]+0.1*rng.NormFloat64()))
	case 7:
		in.shape[axis] = max(1, int(float64(in.shape[axis])*(0.7+0.6*rng.Float64())))
	case 8:
		f.surface = !f.surface
	}
	if in.shape[0]*in.shape[1]*in.shape[2] > 1<<20 {
		in.reshape(rng)
	}
	return in
}
