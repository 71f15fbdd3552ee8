package train

import (
	"time"

	"github.com/x/afl/examples/internal/report"
)

// clock estimates the remaining time of a run from the mean times of the training samples
// and validation cases so far. The times of a network that has not been timed are those of
// another one, scaled by the networks' costs.
type clock struct {
	networks []timing
	current  int // index of the network that is being trained
}

// timing holds the costs of a network in any unit that all networks share, and the times
// measured in this session.
type timing struct {
	sampleCost, caseCost float64
	sample, valid        mean
}

type mean struct {
	total time.Duration
	n     int
}

func (m *mean) add(d time.Duration) { m.total += d; m.n++ }

func (m *mean) value() float64 { return float64(m.total) / float64(m.n) }

// amount is a number of training samples and validation cases of a network.
type amount struct{ network, samples, cases int }

func (c *clock) sample(d time.Duration) { c.networks[c.current].sample.add(d) }
func (c *clock) valid(d time.Duration)  { c.networks[c.current].valid.add(d) }

// perSample and perCase return the time of a training sample and of a case of a network in
// nanoseconds.
func (c *clock) perSample(network int) (float64, bool) {
	return c.scaled(network, func(t *timing) (*mean, float64) { return &t.sample, t.sampleCost })
}

func (c *clock) perCase(network int) (float64, bool) {
	return c.scaled(network, func(t *timing) (*mean, float64) { return &t.valid, t.caseCost })
}

// scaled returns the mean time of a network or, if it has none, that of the current network
// or of any other, scaled by the costs.
func (c *clock) scaled(network int, of func(*timing) (*mean, float64)) (float64, bool) {
	own, cost := of(&c.networks[network])
	if own.n > 0 {
		return own.value(), true
	}
	order := append([]timing{c.networks[c.current]}, c.networks...)
	for i := range order {
		m, other := of(&order[i])
		if m.n == 0 {
			continue
		}
		if cost > 0 && other > 0 {
			return m.value() * cost / other, true
		}
		return m.value(), true
	}
	return 0, false
}

// duration returns the estimated time of an amount of work.
func (c *clock) duration(a amount) time.Duration {
	sample, sampleKnown := c.perSample(a.network)
	valid, validKnown := c.perCase(a.network)
	switch {
	case !validKnown:
		valid = sample / 3 // a forward pass takes about a third of the time of both passes
	case !sampleKnown:
		sample = 3 * valid
	}
	return time.Duration(float64(a.samples)*sample + float64(a.cases)*valid)
}

// left describes the time left for the rest of the epoch, and for the whole run, which
// consists of that and of what follows.
func (c *clock) left(epoch amount, follows []amount) string {
	inEpoch := c.duration(epoch)
	run := inEpoch
	for _, a := range follows {
		run += c.duration(a)
	}
	return "left: epoch " + report.Duration(inEpoch) + ", run " + report.Duration(run)
}
