package cli

import (
	"flag"
	"fmt"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/memory"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/train"
)

// fitted is a network whose configuration accepts the volumes.
type fitted struct {
	config  models.Config
	title   string
	crop    bool // training uses crops, validation whole volumes
	counter *cost.Counter
	facts   []string

	step, prediction cost.Cost // set by count
}

// fit adapts the networks' strides, or else the padding of the volumes, so that every
// network accepts the size. A size set by a flag is not padded if there is a single
// network: the network must accept it.
func (o *options) fit(flags *flag.FlagSet, protocol dataset.Protocol, channels int) ([]fitted, error) {
	explicit := map[string]bool{}
	flags.Visit(func(g *flag.Flag) { explicit[g.Name] = true })
	name, asked := "size", protocol.Size
	if protocol.Crop != [3]int{} {
		name, asked = "crop", protocol.Crop
	}
	var fits []fitted
	for _, model := range o.model {
		architecture, err := o.network(model)
		if err != nil {
			return nil, err
		}
		f := fitted{config: models.Config{Architecture: architecture, InChannels: channels}, crop: name == "crop"}
		if scheme := protocol.Scheme; scheme.Kind != segment.Binary {
			f.config.OutChannels = scheme.Channels()
		}
		if f.title, err = models.Title(model); err != nil {
			return nil, err
		}
		size := asked
		if f.crop {
			// Validation volumes can have any size, so keep the published strides.
			size = models.RoundUp(size, architecture.Multiple())
		}
		fit := models.Fit(f.config, size)
		f.config, f.facts = fit.Config, fit.Notes
		if err := nn.CheckMultiple(model, asked, f.config.Multiple()); err != nil && explicit[name] && len(o.model) == 1 {
			return nil, usageErrorf("-%s %s: %v", name, times(asked), err)
		}
		f.counter, err = cost.New(func(b nn.Backend) (nn.Network, error) { return models.New(f.config, b, o.seed) })
		if err != nil {
			return nil, usageErrorf("-model %s: %v", model, err)
		}
		fits = append(fits, f)
	}
	return fits, nil
}

// volumes holds the image shapes of a training step and of a prediction, and the
// cases they come from.
type volumes struct {
	step, prediction         []int
	stepCase, predictionCase string
}

// volumes loads the first training case and the first validation case.
func (f *fitted) volumes(source dataset.Source, training, validation []dataset.Case, seed uint64) (v volumes, err error) {
	sample, err := source.Train(training[0], seed)
	if err != nil {
		return v, err
	}
	v.step, v.stepCase = sample.Image.Shape(), sample.ID
	if sample, err = source.Valid(validation[0]); err != nil {
		return v, err
	}
	v.prediction, v.predictionCase = sample.Image.Shape(), sample.ID
	return v, nil
}

// count adds the network's cost to its facts, for a training with the given optimization on
// the given number of cases. It returns an error if the network needs more memory than the
// machine has.
func (f *fitted) count(v volumes, optimization *optimizationFlags, cases int) error {
	step, err := f.counter.Step(v.step, optimization.new())
	if err != nil {
		return err
	}
	// The samples of an update are loaded together, and pass the network one after another.
	samples := min(optimization.updateSamples(), cases)
	const label = 1                                                            // bytes of a voxel
	step.PassBytes += int64(train.GradientSets(samples)) * step.Parameters * 4 // float32
	step.HostBytes += int64(samples-1) * int64(nn.Elements(v.step)*4+nn.Elements(v.step[2:])*label)
	prediction, err := f.counter.Inference(v.prediction)
	if err != nil {
		return err
	}
	f.step, f.prediction = step, prediction
	spatial := func(shape []int) string { return times([3]int(shape[2:])) }
	batch := max(1, min(optimization.batch, samples))
	on := spatial(v.step) + " voxels"
	if batch > 1 {
		on = fmt.Sprintf("%d volumes of %s", batch, on)
	}
	if f.crop {
		on += fmt.Sprintf(" (case %s)", v.stepCase)
	}
	text := fmt.Sprintf("Network: %s, %d parameters. A training step on %s takes %.1f GFLOP and about %s of memory",
		f.config.Name(), step.Parameters, on, 6e-9*float64(step.MultiplyAdds)*float64(batch), formatBytes(step.Bytes()))
	if f.crop {
		text += fmt.Sprintf(", a prediction of %s voxels (case %s) %s", spatial(v.prediction), v.predictionCase, formatBytes(prediction.Bytes()))
	}
	text += "."
	f.facts = append([]string{text}, f.facts...)
	limit, ok := memory.Limit()
	if need := max(step.Bytes(), prediction.Bytes()); ok && need > limit {
		return fmt.Errorf("-model %s: the network needs about %s of memory for volumes of this size, but this machine has %s; use a smaller -%s%s",
			f.config.Name(), formatBytes(need), formatBytes(limit), map[bool]string{true: "crop", false: "size"}[f.crop],
			map[bool]string{true: " or fewer cases for an update"}[samples > 1])
	}
	return nil
}

// formatBytes formats a number of bytes in MiB or GiB.
func formatBytes(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
