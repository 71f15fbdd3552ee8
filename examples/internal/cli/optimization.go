package cli

import (
	"flag"
	"fmt"
	"math"
	"strings"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/train"
)

// optimizationFlags holds the values of the flags that say how weights are optimized. Their
// defaults are the paper's.
type optimizationFlags struct {
	optimizer                 choice
	lr, momentum, weightDecay float64
	schedule                  choice
	warmUp                    int
	clipNorm                  float64
	batch, accumulate         int
	batchNorm                 choice
	earlyStop                 int
}

// schedules are the values of -lr_schedule; decays has what they stand for.
var (
	schedules = []string{"constant", "poly", "cosine"}
	decays    = map[string]nn.Decay{"constant": nn.Constant, "poly": nn.Polynomial, "cosine": nn.Cosine}
)

// Values of -batch_norm.
const (
	batchNormSample = "sample"
	batchNormSync   = "sync"
)

// Defaults of -lr and -weight_decay with AdamW, which are those of PyTorch.
const (
	adamWRate  = 1e-3
	adamWDecay = 0.01
)

// addTo defines the flags in f.
func (v *optimizationFlags) addTo(f *flag.FlagSet) {
	v.optimizer = choice{value: train.Optimizers()[0], of: train.Optimizers()}
	v.schedule = choice{value: schedules[0], of: schedules}
	f.Var(&v.optimizer, "optimizer", "`optimizer`: sgd, the paper's, or adamw, with the betas 0.9 and 0.999")
	f.Float64Var(&v.lr, "lr", 0.1, fmt.Sprintf("learning `rate`, the largest if -lr_schedule or -warmup change it; with -optimizer adamw %g if\nnot given", adamWRate))
	f.Float64Var(&v.momentum, "momentum", 0.9, "Nesterov `momentum` of SGD; 0: plain SGD. AdamW has none")
	f.Float64Var(&v.weightDecay, "weight_decay", 1e-5, fmt.Sprintf("weight `decay` of all parameters: SGD adds it times the weights to their gradient; AdamW multiplies\nthe weights by 1 - learning rate * decay in every update, and has %g if not given", adamWDecay))
	f.Var(&v.schedule, "lr_schedule", "`course` of the learning rate from epoch to epoch: constant; poly, (1-t/T)^0.9; or cosine,\n(1+cos(pi*t/T))/2, where t of T epochs after the warm-up have passed. A run with the last two cannot be\ngiven more epochs")
	f.IntVar(&v.warmUp, "warmup", 0, "first `epochs`, fewer than -epochs, in which the learning rate rises linearly from a third of -lr")
	f.Float64Var(&v.clipNorm, "clip_norm", 0, "largest `norm` of all gradients of an update together, to which larger ones are scaled;\n0: no clipping")
	f.IntVar(&v.batch, "batch", 1, "`number` of cases in a training step, whose volumes must have one size. The loss is the mean of theirs.\nThe last batch of an epoch has the cases that are left")
	v.batchNorm = choice{value: batchNormSample, of: []string{batchNormSample, batchNormSync}}
	f.Var(&v.batchNorm, "batch_norm", "`statistics` of batch norms in training: sample, those of each case alone, or sync, those of all cases of\nthe -batch, of all processes, as PyTorch's SyncBatchNorm; the batch then passes the network together")
	f.IntVar(&v.accumulate, "accumulate", 1, "`number` of training steps over whose cases the gradients are averaged for one update; the last update of\nan epoch averages those that are left. Volumes may differ in size from step to step. Training stops only\nbetween updates")
	f.IntVar(&v.earlyStop, "early_stop", 0, "end a training after this `number` of epochs in a row without better weights by -select; 0: never.\nMore -epochs do not continue it")
}

// check returns an error for the first invalid value. It replaces the defaults of a new run
// that depend on the optimizer; those of a resumed run are in its record.
func (v *optimizationFlags) check(flags *flag.FlagSet, epochs int, selection string, resume bool) error {
	bad := func(name string, value any, want string) error {
		return usageErrorf("-%s is %v; it must be %s", name, value, want)
	}
	given := map[string]bool{}
	flags.Visit(func(g *flag.Flag) { given[g.Name] = true })
	adamW := v.optimizer.value == train.AdamW
	if adamW && !resume {
		if !given["lr"] {
			v.lr = adamWRate
		}
		if !given["weight_decay"] {
			v.weightDecay = adamWDecay
		}
	}
	// The conditions are written so that NaN is an error.
	switch {
	case !(v.lr > 0) || math.IsInf(v.lr, 0):
		return bad("lr", v.lr, "a positive number")
	case !(v.momentum >= 0 && v.momentum < 1):
		return bad("momentum", v.momentum, "at least 0 and less than 1")
	case adamW && given["momentum"]:
		return usageErrorf("-momentum is that of SGD and has no effect with -optimizer %s", train.AdamW)
	case !(v.weightDecay >= 0) || math.IsInf(v.weightDecay, 0):
		return bad("weight_decay", v.weightDecay, "finite and at least 0")
	case adamW && v.lr*v.weightDecay >= 1:
		return usageErrorf("-weight_decay is %g; times -lr %g it must be less than 1, because every update multiplies the weights by 1 minus that", v.weightDecay, v.lr)
	case v.warmUp < 0:
		return bad("warmup", v.warmUp, "at least 0")
	case v.warmUp >= epochs && v.warmUp > 0:
		return usageErrorf("-warmup is %d; it must be less than -epochs, %d", v.warmUp, epochs)
	case !(v.clipNorm >= 0) || math.IsInf(v.clipNorm, 0):
		return bad("clip_norm", v.clipNorm, "finite and at least 0")
	case v.batch < 1:
		return bad("batch", v.batch, "at least 1")
	case v.accumulate < 1:
		return bad("accumulate", v.accumulate, "at least 1")
	case v.sync() && v.accumulate > 1:
		return usageErrorf("-accumulate is %d; with -batch_norm %s it must be 1: the statistics are those of all cases of an update, which pass the network together, so give -batch %d instead", v.accumulate, batchNormSync, v.updateSamples())
	case v.sync() && v.batch == 1:
		return usageErrorf("-batch_norm %s has no effect with -batch 1; give a larger -batch", batchNormSync)
	case v.earlyStop < 0:
		return bad("early_stop", v.earlyStop, "at least 0")
	case v.earlyStop > 0 && selection == train.SelectLast:
		return usageErrorf("-early_stop has no effect with -select %s, by which every epoch is the best", selection)
	}
	return nil
}

// setIn sets the fields of the job.
func (v *optimizationFlags) setIn(j *train.Job) {
	j.Optimizer, j.LearningRate, j.WeightDecay = v.optimizer.value, v.lr, v.weightDecay
	if j.Optimizer != train.AdamW {
		j.Momentum = v.momentum
	}
	j.Schedule = nn.Schedule{Decay: decays[v.schedule.value], WarmUp: v.warmUp}
	j.ClipNorm, j.EarlyStop = v.clipNorm, v.earlyStop
	j.Batch, j.Accumulate, j.SyncBatchNorm = v.batch, v.accumulate, v.sync()
}

// sync reports whether batch norms are synchronized.
func (v *optimizationFlags) sync() bool { return v.batchNorm.value == batchNormSync }

// updateSamples returns the number of samples of an update.
func (v *optimizationFlags) updateSamples() int {
	var j train.Job
	v.setIn(&j)
	return j.UpdateSamples()
}

// new returns the optimizer in its initial state.
func (v *optimizationFlags) new() nn.Optimizer {
	var j train.Job
	v.setIn(&j)
	return j.NewOptimizer()
}

// fact describes the optimization of a training of the given number of epochs.
func (v *optimizationFlags) fact(epochs int, selection string) string {
	var b strings.Builder
	if v.optimizer.value == train.AdamW {
		fmt.Fprintf(&b, "AdamW (betas 0.9 and 0.999), learning rate %g", v.lr)
	} else {
		fmt.Fprintf(&b, "SGD, learning rate %g", v.lr)
	}
	switch decays[v.schedule.value] {
	case nn.Polynomial:
		fmt.Fprintf(&b, " with polynomial decay (power 0.9) over %d epochs", epochs-v.warmUp)
	case nn.Cosine:
		fmt.Fprintf(&b, " with cosine decay over %d epochs", epochs-v.warmUp)
	}
	if v.warmUp > 0 {
		fmt.Fprintf(&b, " after a linear warm-up of %d", v.warmUp)
		if v.schedule.value == schedules[0] {
			b.WriteString(" epochs")
		}
	}
	if v.optimizer.value == train.AdamW {
		fmt.Fprintf(&b, ", decoupled weight decay %g", v.weightDecay)
	} else {
		momentum := "no momentum"
		if v.momentum > 0 {
			momentum = fmt.Sprintf("momentum %g (Nesterov)", v.momentum)
		}
		fmt.Fprintf(&b, ", %s, weight decay %g", momentum, v.weightDecay)
	}
	if v.clipNorm > 0 {
		fmt.Fprintf(&b, ", gradients clipped to the norm %g", v.clipNorm)
	}
	fmt.Fprintf(&b, ", batch %d", v.batch)
	if v.batch > 1 {
		b.WriteString(" (mean of the losses of its cases)")
	}
	if v.sync() {
		b.WriteString(", batch norms synchronized over the batch")
	}
	if v.accumulate > 1 {
		fmt.Fprintf(&b, ", gradients averaged over %d steps for each update", v.accumulate)
	}
	if v.earlyStop > 0 {
		fmt.Fprintf(&b, ", early stopping after %d epochs without a better %s", v.earlyStop, selection)
	}
	return b.String()
}
