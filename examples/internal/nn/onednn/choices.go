//go:build onednn

package onednn

// #include "kernels.h"
// #include "shim.h"
import "C"

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/x/afl/internal/atomicfile"
	"github.com/x/afl/internal/machine"
)

// choices records by which implementation convolutions are computed. Its methods are not safe
// for concurrent use.
type choices struct {
	path, cache string // files; cache is empty without a place for it
	measures    bool
	recorded    choiceFile // in path
	measured    choiceFile // in cache
}

// choiceFile is the content of a file.
type choiceFile struct {
	Format int `json:"format"` // choiceFormat
	// Machine describes what measurements depend on.
	Machine string `json:"machine"`
	// Choices are the implementations by convolution; see describe.
	Choices map[string]string `json:"choices"`
}

const choiceFormat = 1

// tuningVariable is the environment variable that turns measurements on. They want a machine
// that computes nothing else, which nobody can count on.
const tuningVariable = "AFL_TUNING"

// implementationName returns the name of an implementation in files.
func implementationName(by C.int) string {
	switch {
	case by == C.CONV_ONEDNN:
		return "oneDNN"
	case by == C.CONV_PLANES:
		return "planes"
	}
	return fmt.Sprintf("tile %d", by-C.CONV_TILE)
}

// implementation returns the implementation with the given name, if there is one.
func implementation(name string) (C.int, bool) {
	for by := C.int(0); by < C.CONV_IMPLEMENTATIONS; by++ {
		if implementationName(by) == name {
			return by, true
		}
	}
	return 0, false
}

// openChoices reads the files. An unusable file of the run is an error, because the bits of a
// training depend on it; an unusable cache is measured anew.
func openChoices(w *worker, cfg Config) (*choices, error) {
	c := &choices{path: cfg.Choices}
	switch value := os.Getenv(tuningVariable); value {
	case "on":
		c.measures = true
	case "", "off":
	default:
		return nil, fmt.Errorf("onednn: %s is %q, want on or off", tuningVariable, value)
	}
	var this string
	w.wait(func() {
		var major, minor, patch C.int
		C.runtime_version(&major, &minor, &patch)
		this = fmt.Sprintf("%s, %s, %d cores, OMP_NUM_THREADS=%s, oneDNN %d.%d.%d, vectors of %d floats",
			machine.CPU(), machine.CPUModel(), runtime.NumCPU(), os.Getenv("OMP_NUM_THREADS"), major, minor, patch, C.kernels_lanes())
	})
	c.recorded = choiceFile{choiceFormat, this, map[string]string{}}
	c.measured = choiceFile{choiceFormat, this, map[string]string{}}
	recorded, err := readChoices(c.path)
	switch {
	case err == nil:
		c.recorded.Choices = recorded.Choices
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("onednn: the choices of convolutions of the run: %w", err)
	}
	if !c.measures {
		return c, nil
	}
	folder := cfg.Cache
	if folder == "" {
		root, err := os.UserCacheDir()
		if err != nil {
			return c, nil // without a home there is no cache
		}
		folder = filepath.Join(root, "afl")
	}
	sum := sha256.Sum256([]byte(this))
	c.cache = filepath.Join(folder, "convolutions-"+hex.EncodeToString(sum[:8])+".json")
	if cached, err := readChoices(c.cache); err == nil && cached.Machine == this {
		c.measured = *cached
	}
	return c, nil
}

func readChoices(path string) (*choiceFile, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f choiceFile
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.Format != choiceFormat {
		return nil, fmt.Errorf("%s: its format is %d, want %d", path, f.Format, choiceFormat)
	}
	for of, name := range f.Choices {
		if _, ok := implementation(name); !ok {
			return nil, fmt.Errorf("%s: unknown implementation %q of %s", path, name, of)
		}
	}
	if f.Choices == nil {
		f.Choices = map[string]string{}
	}
	return &f, nil
}

func (f *choiceFile) write(path string) error {
	raw, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}

// record adds a choice to the file of the run.
func (c *choices) record(of string, by C.int) error {
	c.recorded.Choices[of] = implementationName(by)
	return c.recorded.write(c.path)
}

// keep adds a measured choice to the cache, together with those that other processes have added
// since. That the cache cannot be written is no reason for a training to fail.
func (c *choices) keep(of string, by C.int) {
	c.measured.Choices[of] = implementationName(by)
	if c.cache == "" {
		return
	}
	if others, err := readChoices(c.cache); err == nil && others.Machine == c.measured.Machine {
		maps.Copy(others.Choices, c.measured.Choices)
		c.measured.Choices = others.Choices
	}
	if err := os.MkdirAll(filepath.Dir(c.cache), 0o755); err != nil {
		return
	}
	_ = c.measured.write(c.cache)
}

// describe returns the key of a convolution in files.
func (k convKey) describe() string {
	pass := map[C.int]string{C.CONV_TO_COARSE: "to coarse", C.CONV_TO_FINE: "to fine", C.CONV_WEIGHT: "kernel"}[k.kind]
	if k.bias {
		pass += " with bias"
	}
	return fmt.Sprintf("%s, %v, padding %d×%d×%d, coarse %d×%d×%d", pass, k, k.shape.pad[0], k.shape.pad[1], k.shape.pad[2],
		k.shape.coarse[0], k.shape.coarse[1], k.shape.coarse[2])
}

// fastest returns the implementation of a convolution: the recorded one, or else the fastest.
func (o *op) fastest(key convKey) C.int {
	var candidates []C.int
	for by := C.int(0); by < C.CONV_IMPLEMENTATIONS; by++ {
		if C.conv_supports(&key.shape, key.kind, by) != 0 {
			candidates = append(candidates, by)
		}
	}
	c := o.choices
	if c == nil || len(candidates) < 2 {
		return C.CONV_ESTIMATED
	}
	of := key.describe()
	if by, ok := implementation(c.recorded.Choices[of]); ok && slices.Contains(candidates, by) {
		return by
	}
	by, ok := implementation(c.measured.Choices[of])
	if !ok || !c.measures || !slices.Contains(candidates, by) {
		if by, ok = o.measure(key, candidates); ok {
			c.keep(of, by)
		}
	}
	if o.err == nil {
		if err := c.record(of, by); err != nil {
			o.fail("the choice of a convolution: %w", err)
		}
	}
	return by
}

// measurable is the number of products from which on a convolution takes long enough, a few
// tenths of a millisecond, for its time to be measured.
const measurable = 20e6

// mostScratch is the number of bytes of scratch memory up to which an implementation is
// considered, unless it is the one that is estimated to be the fastest. The memory that a
// training announces does not include the scratch memory of its convolutions.
const mostScratch = 128 << 20

// margin is the part of the time of the implementation estimated to be the fastest that another
// one must not exceed to replace it.
const margin = 0.9

// measure returns the fastest of the candidates, and whether it was measured: it is estimated
// for a small convolution, and while other processes use the cores.
func (o *op) measure(key convKey, candidates []C.int) (best C.int, measured bool) {
	s := key.shape
	volume := func(size [3]C.int64_t) int { return int(s.batch * size[0] * size[1] * size[2]) }
	taps := int(s.kernel[0] * s.kernel[1] * s.kernel[2])
	products := float64(min(volume(s.fine), volume(s.coarse))) * float64(taps) * float64(s.rows) * float64(s.cols)
	with := C.int(0)
	if key.bias {
		with = 1
	}
	open := func(by C.int) (c *C.conv) {
		o.worker.wait(func() {
			if err := failure(C.conv_open(&c, &s, key.kind, with, by)); err != nil {
				o.fail("%v: %w", key, err)
			}
		})
		return c
	}
	estimated := open(C.CONV_ESTIMATED)
	if o.err != nil {
		return 0, false
	}
	best = C.conv_by(estimated)
	C.conv_free(estimated)
	if !o.choices.measures || products < measurable {
		return best, false
	}
	fine := o.temporary(4 * volume(s.fine) * int(s.cols))
	coarse := o.temporary(4 * volume(s.coarse) * int(s.rows))
	bias := o.temporary(4 * int(s.rows))
	defer func() {
		for _, m := range []*buffer{fine, coarse, bias} {
			o.res.pool.drop(m)
		}
	}()
	measure := func(by C.int) (took time.Duration, ok bool) {
		c := open(by)
		if o.err != nil {
			return 0, false
		}
		defer C.conv_free(c)
		if by != best && C.conv_scratch(c) > mostScratch {
			return math.MaxInt64, true
		}
		weights, scratch := o.temporary(int(C.layout_bytes(C.conv_weights(c)))), o.temporary(int(C.conv_scratch(c)))
		defer func() {
			o.res.pool.drop(weights)
			o.res.pool.drop(scratch)
		}()
		if o.err != nil {
			return 0, false
		}
		o.worker.wait(func() {
			for _, m := range []*buffer{fine, coarse, bias, weights} {
				C.zero(C.int64_t(m.bytes/4), m.floats()) // numbers that are not denormal
			}
			took, ok = o.timed(c, fine, weights, bias, coarse, scratch)
		})
		return took, ok
	}
	// On a busy machine, on which threads that wait for each other take many times as long,
	// nothing is measured any more.
	estimate := best
	busy := func() (C.int, bool) {
		o.choices.measures = false
		return estimate, false
	}
	least, ok := measure(best)
	if !ok {
		return busy()
	}
	all := true
	for _, by := range candidates {
		if by == estimate {
			continue
		}
		took, ok := measure(by)
		if o.err != nil {
			return estimate, false
		}
		if all = ok; !ok {
			break
		}
		limit := least
		if best == estimate {
			limit = time.Duration(margin * float64(least))
		}
		if ok && took < limit {
			best, least = by, took
		}
	}
	if !all {
		return busy()
	}
	return best, true
}

// Numbers of runs of a convolution that are timed, and that are tried.
const (
	timedRuns = 3
	triedRuns = 5
)

// timed returns the shortest of a few runs of a convolution, on the worker. Runs during which
// another process took a core do not count; ok is false if there are too few others.
func (o *op) timed(c *C.conv, fine, weights, bias, coarse, scratch *buffer) (least time.Duration, ok bool) {
	timed := 0
	for run := 0; run < triedRuns && timed < timedRuns; run++ {
		preempted, start := C.kernels_preempted(), time.Now()
		if err := failure(C.conv_run(c, fine.floats(), weights.floats(), bias.floats(), coarse.floats(), scratch.p)); err != nil {
			o.fail("%w", err)
			return 0, false
		}
		took := time.Since(start)
		if run == 0 || C.kernels_preempted() != preempted { // the first one touches the memory
			continue
		}
		if timed++; timed == 1 || took < least {
			least = took
		}
	}
	return least, timed == timedRuns
}
