package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/x/afl/bench/internal/report"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
)

// config says what to compare.
type config struct {
	sizes   []workload.Size
	losses  []string
	calls   []workload.Call // at the first size
	images  workload.Size   // of the calls on 2-D images
	surface bool
	repeats int
	turn    time.Duration // minimum of a turn, in which calls are repeated
}

// row is the result of one benchmark at one size on some number of cores.
type row struct {
	*benchmark
	size       workload.Size
	cores      int
	limits     *limits          // shared by the rows of a size and number of cores
	ours       timing.Samples   // seconds per call
	plain      timing.Samples   // of surface distances: of two plain transforms
	peers      []timing.Samples // by contender; empty where one does not compute it
	ourValues  []float64
	peerValues [][]float64
}

// isSurface reports whether the row is of surface distances and not of a loss.
func (r *row) isSurface() bool { return r.pass == passSurface }

// label names the row but for its size and number of cores.
func (r *row) label() string {
	if r.isCall() {
		return r.name + ", " + r.call.Name + ", " + r.pass
	}
	return r.name + ", " + r.pass
}

// isCall reports whether the row is of a kind of call other than with class indices.
func (r *row) isCall() bool { return r.work != nil && r.call != classIndices }

// nsPerVoxel is the shortest time per voxel.
func (r *row) nsPerVoxel() float64 { return r.ours.Min() * 1e9 / float64(r.voxels()) }

// voxels is the number of voxels that are processed: those of the batch, or of one
// image for surface distances.
func (r *row) voxels() int {
	if r.work == nil {
		return r.size.ImageVoxels()
	}
	return r.size.Voxels()
}

// gigabytes is the rate per second at which the bytes that must move were moved; NaN
// if they are not counted.
func (r *row) gigabytes() float64 {
	if r.work == nil {
		return math.NaN()
	}
	return float64(r.work.Bytes) / r.ours.Min() / 1e9
}

// share is the fraction of the limit that was reached, NaN if the work is not
// counted, and what the limit is.
func (r *row) share() (share float64, by string) {
	if r.work == nil {
		return math.NaN(), ""
	}
	s, by := r.limits.seconds(*r.work)
	return s / r.ours.Min(), by
}

// plainRatio is the shortest time of two plain transforms over ours; NaN for a loss.
func (r *row) plainRatio() float64 { return r.plain.Min() / r.ours.Min() }

// ratio is the shortest time of contender i over ours; NaN where it has none.
func (r *row) ratio(i int) float64 { return r.peers[i].Min() / r.ours.Min() }

// coreCounts are one core and all cores.
func coreCounts() []int {
	if n := runtime.NumCPU(); n > 1 {
		return []int{1, n}
	}
	return []int{1}
}

// compare times every loss and the surface distances at every size, on one core and on
// all, alternating with the contenders. Values that differ from a contender's are an
// error.
func compare(ctx context.Context, cfg config, peers []contender, progress *progress) ([]*row, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, s := range cfg.sizes {
		progress.expect(len(coreCounts()) * (s.Voxels()*2*len(cfg.losses) + s.ImageVoxels()*surfaceCount(cfg)))
	}
	for _, c := range cfg.calls {
		s := c.Size(cfg.sizes[0], cfg.images)
		progress.expect(len(coreCounts()) * s.Voxels() * 2 * len(cfg.lossesOf(c)))
	}
	rates := map[int]*evaluationRates{}
	for _, cores := range coreCounts() {
		rates[cores] = &evaluationRates{}
	}
	var rows []*row
	for _, s := range cfg.sizes {
		more, err := cfg.compareLosses(ctx, classIndices, cfg.losses, s, rates, peers, progress)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
		if !cfg.surface {
			continue
		}
		for _, m := range maskPairs(s) {
			for _, p := range peers {
				if p.way != operations {
					continue // the process of the contender before
				}
				if err := p.sendMasks(s, m); err != nil {
					return nil, err
				}
			}
			for _, bm := range surfaceBenchmarks(s, m) {
				for _, cores := range coreCounts() {
					r := &row{benchmark: bm, size: s, cores: cores}
					if err := cfg.inTurns(ctx, r, peers, func() error { return r.measurePlain(cfg.turn) }, progress); err != nil {
						return nil, err
					}
					rows = append(rows, r)
				}
			}
		}
	}
	for _, c := range cfg.calls {
		more, err := cfg.compareLosses(ctx, c, cfg.lossesOf(c), c.Size(cfg.sizes[0], cfg.images), rates, peers, progress)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// lossesOf returns the losses that are measured with a kind of call.
func (cfg config) lossesOf(c workload.Call) []string {
	var names []string
	for _, name := range cfg.losses {
		if name = c.Loss(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// surfaceCount returns the number of measurements of surface distances.
func surfaceCount(cfg config) int {
	if cfg.surface {
		n := 0
		for _, m := range maskPairs(workload.Quick) {
			n += len(surfaceBenchmarks(workload.Quick, m))
		}
		return n
	}
	return 0
}

// maskPairs returns ordinary masks and hard ones.
func maskPairs(s workload.Size) []workload.MaskPair {
	return append(workload.NewMaskPairs(s), workload.NewHardMaskPairs(s)...)
}

// measurePlain adds samples of two plain transforms, whose values must be the row's.
func (r *row) measurePlain(atLeast time.Duration) error {
	var values []float64
	took, err := timing.Calls(atLeast, func() (err error) {
		values, err = r.benchmark.plain()
		return err
	})
	if err == nil {
		err = agree(r.values(), values, 2e-5)
	}
	if err != nil {
		return fmt.Errorf("plain transforms: %w", err)
	}
	r.plain = append(r.plain, took...)
	return nil
}

// compareLosses compares losses with one kind of call.
func (cfg config) compareLosses(ctx context.Context, c workload.Call, losses []string, s workload.Size, rates map[int]*evaluationRates, peers []contender, progress *progress) ([]*row, error) {
	if len(losses) == 0 {
		return nil, nil
	}
	b := c.NewBatch(s)
	for _, p := range peers {
		if p.way != operations {
			continue // the process of the contender before
		}
		if err := p.sendBatch(b); err != nil {
			return nil, err
		}
	}
	limitsOf := map[int]*limits{}
	for cores, r := range rates {
		limitsOf[cores] = newLimits(c, r)
	}
	var rows []*row
	for _, name := range losses {
		list, err := lossBenchmarks(name, c, b)
		if err != nil {
			return nil, err
		}
		for _, bm := range list {
			for _, cores := range coreCounts() {
				r := &row{benchmark: bm, size: s, cores: cores, limits: limitsOf[cores]}
				// The limits are measured between the losses, under the same load of
				// the machine.
				measure := func() error {
					r.limits.measure(b, cfg.turn/4)
					return nil
				}
				if err := cfg.inTurns(ctx, r, peers, measure, progress); err != nil {
					return nil, err
				}
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}

// inTurns measures a row: after an untimed call here and by each contender, whose values
// are compared, all alternate for as many turns as there are repeats.
func (cfg config) inTurns(ctx context.Context, r *row, peers []contender, measureLimits func() error, progress *progress) error {
	fail := func(err error) error {
		return fmt.Errorf("%s, %s, %s: %w", r.label(), r.size, report.Plural(r.cores, "core"), err)
	}
	runtime.GOMAXPROCS(r.cores)
	if err := r.run(); err != nil {
		return fail(err)
	}
	r.ourValues = r.values()
	r.peers, r.peerValues = make([]timing.Samples, len(peers)), make([][]float64, len(peers))
	for i, p := range peers {
		if !p.measures(r) {
			continue
		}
		m, err := r.runPeer(p, r.cores, 0)
		if err == nil {
			err = agree(r.ourValues, m.Values, p.tolerance())
		}
		if err != nil {
			return fail(fmt.Errorf("%s: %w", p.library(r), err))
		}
		r.peerValues[i] = m.Values
	}
	for range cfg.repeats {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := measureLimits(); err != nil {
			return fail(err)
		}
		took, err := timing.Calls(cfg.turn, r.run)
		if err != nil {
			return fail(err)
		}
		r.ours = append(r.ours, took...)
		for i, p := range peers {
			if !p.measures(r) {
				continue
			}
			m, err := r.runPeer(p, r.cores, cfg.turn)
			if err != nil {
				return fail(fmt.Errorf("%s: %w", p.library(r), err))
			}
			r.peers[i] = append(r.peers[i], m.Seconds...)
		}
	}
	progress.done(r, peers)
	return nil
}
