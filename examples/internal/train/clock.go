package train

import (
	"time"

	"github.com/x/afl/examples/internal/report"
)

// clock estimates the remaining time of a run from the mean times of the training steps
// and validation cases so far.
type clock struct {
	epochs, steps, cases, lossesLeft int
	whole                            string // "run" or "network", to which the remaining losses belong

	stepTime, validTime   time.Duration
	stepCount, validCount int
}

func (c *clock) step(d time.Duration)  { c.stepTime += d; c.stepCount++ }
func (c *clock) valid(d time.Duration) { c.validTime += d; c.validCount++ }

// left describes the time left for the epoch and for the whole, after the given numbers
// of steps and validation cases of the epoch.
func (c *clock) left(epoch, steps, cases int) string {
	var perStep, perCase time.Duration
	if c.stepCount > 0 {
		perStep = c.stepTime / time.Duration(c.stepCount)
	}
	switch {
	case c.validCount > 0:
		perCase = c.validTime / time.Duration(c.validCount)
	default:
		// No case has been timed yet; a forward pass takes about a third of a step.
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
	// Each loss ends with another pass over the validation cases.
	final := ofSteps(0, c.cases)
	run := time.Duration(max(c.epochs-epoch, 0))*whole + time.Duration(c.lossesLeft)*(time.Duration(c.epochs)*whole+final)
	if epoch <= c.epochs {
		run += final
	}
	return "left: epoch " + report.Duration(inEpoch) + ", " + c.whole + " " + report.Duration(inEpoch+run)
}
