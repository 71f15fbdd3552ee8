package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/nn"
)

// Values of Job.Optimizer.
const (
	SGD   = "sgd"
	AdamW = "adamw"
)

// Optimizers returns the values of Job.Optimizer. The first is the paper's.
func Optimizers() []string { return []string{SGD, AdamW} }

// NewOptimizer returns the Job's optimizer in its initial state.
func (j *Job) NewOptimizer() nn.Optimizer {
	if j.Optimizer == AdamW {
		o := nn.NewAdamW(j.LearningRate)
		o.WeightDecay = j.WeightDecay
		return o
	}
	return &nn.SGD{LearningRate: j.LearningRate, Momentum: j.Momentum, WeightDecay: j.WeightDecay, Nesterov: j.Momentum > 0}
}

// rate returns the learning rate of an epoch, from 1.
func (j *Job) rate(epoch int) (float64, error) {
	factor, err := j.Schedule.Factor(epoch-1, j.Epochs)
	if err != nil {
		return 0, fmt.Errorf("train: Job.Schedule: %w", err)
	}
	return j.LearningRate * factor, nil
}

// scheduledEpochs returns the number of epochs on which the learning rate of every epoch
// depends, 0 if it does not depend on their number.
func (j *Job) scheduledEpochs() int {
	if j.Schedule.Decay == "" || j.Schedule.Decay == nn.Constant {
		return 0
	}
	return j.Epochs
}

func (j *Job) checkOptimization() error {
	// The conditions are written so that NaN is an error.
	switch {
	case j.Optimizer != "" && !slices.Contains(Optimizers(), j.Optimizer):
		return fmt.Errorf("train: Job.Optimizer is %q, want %s", j.Optimizer, strings.Join(Optimizers(), " or "))
	case !(j.LearningRate >= 0) || math.IsInf(j.LearningRate, 1):
		return fmt.Errorf("train: Job.LearningRate is %v, want a number of at least 0", j.LearningRate)
	case j.Optimizer == AdamW && j.Momentum != 0:
		return fmt.Errorf("train: Job.Momentum is %v, want 0, because %s has no momentum", j.Momentum, AdamW)
	case !(j.ClipNorm >= 0):
		return fmt.Errorf("train: Job.ClipNorm is %v, want at least 0", j.ClipNorm)
	case j.Accumulate < 0:
		return fmt.Errorf("train: Job.Accumulate is %d, want at least 0", j.Accumulate)
	case j.SyncBatchNorm && j.Accumulate > 1:
		return fmt.Errorf("train: Job.Accumulate is %d, want at most 1 with Job.SyncBatchNorm", j.Accumulate)
	case j.EarlyStop < 0:
		return fmt.Errorf("train: Job.EarlyStop is %d, want at least 0", j.EarlyStop)
	case j.EarlyStop > 0 && j.Select == SelectLast:
		return fmt.Errorf("train: Job.EarlyStop is %d, want 0, because Job.Select is %q, by which every epoch is the best", j.EarlyStop, SelectLast)
	}
	_, err := j.rate(1)
	return err
}

// UpdateSamples returns the number of samples per update.
func (j *Job) UpdateSamples() int {
	batch, steps := max(j.Batch, 1), max(j.Accumulate, 1)
	if steps > math.MaxInt/batch {
		return math.MaxInt // an epoch
	}
	return batch * steps
}

// optimize clips the gradients in the parameters and updates the weights by them. The function
// that it returns waits until it is known whether the gradients were finite; its error is a
// divergence if not.
func (t *trainer) optimize() (finite func() error, err error) {
	b, params := t.job.Backend, t.net.Parameters()
	finite = func() error { return nil }
	if t.job.ClipNorm > 0 {
		norm, err := nn.ClipGradientsLater(b, params, t.job.ClipNorm)
		if err != nil {
			return nil, clipError(err)
		}
		finite = func() error {
			_, err := norm()
			return clipError(err)
		}
	}
	return finite, t.optimizer.Step(b, params)
}

func clipError(err error) error {
	var bad *nn.NonFiniteGradientError
	if errors.As(err, &bad) {
		return &divergence{what: bad.Error()}
	}
	return err
}
