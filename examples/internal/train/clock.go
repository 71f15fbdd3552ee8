package train

import (
	"time"

	"github.com/x/afl/examples/internal/report"
)

// clock tells how long a run still takes, from the mean time of the training
// steps and validation cases that it has seen.
type clock struct {
	epochs, steps, cases, lossesLeft int
	whole                            string // what the losses left belong to

	stepTime, validTime   time.Duration
	stepCount, validCount int
}

func (c *clock) step(d time.Duration)  { c.stepTime += d; c.stepCount++ }
func (c *clock) valid(d time.Duration) { c.validTime += d; c.validCount++ }

// left returns the time left for the epoch and for the whole, in words, when so
// many steps and validation cases of the epoch are done.
func (c *clock) left(epoch, steps, cases int) string {
	var perStep, perCase time.Duration
	if c.stepCount > 0 {
		perStep = c.stepTime / time.Duration(c.stepCount)
	}
	switch {
	case c.validCount > 0:
		perCase = c.validTime / time.Duration(c.validCount)
	default:
		// Until one was seen: a forward pass is about a third of a step.
		perCase = perStep / 3
	}
	if c.stepCount == 0 {
		perStep = 3 * perCase
	}
	ofSteps := func(steps, cases int) time.Duration {
		return time.Duration(steps)*perStep + time.Duration(cases)*perCase
	}
	inEpoch := ofSteps(max(c.steps-steps, 0), max(c.cases-cases, 0))
	whole := ofSteps(c.steps, c.cases)
	// Each loss ends with one more pass over the validation cases.
	ending := ofSteps(0, c.cases)
	run := time.Duration(max(c.epochs-epoch, 0))*whole + time.Duration(c.lossesLeft)*(time.Duration(c.epochs)*whole+ending)
	if epoch <= c.epochs {
		run += ending
	}
	return "left: epoch " + report.Duration(inEpoch) + ", " + c.whole + " " + report.Duration(inEpoch+run)
}
