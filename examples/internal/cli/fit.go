package cli

import (
	"flag"
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/memory"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/train"
)

// fitted is a network whose configuration accepts the volumes.
type fitted struct {
	config  models.Config
	title   string
	patches bool       // training uses patches, validation whole volumes
	net     nn.Network // without values
	counter *cost.Counter
	facts   []string
	device  int64 // bytes of memory of the GPU that computes, or 0 for the CPU
	workers int   // that prepare samples

	step, prediction cost.Cost // set by count, without the samples ahead
	ahead            int       // samples that are prepared beyond those of an update
	aheadBytes       int64     // of their memory
}

// fit adapts the networks' strides, or else the padding of the volumes, so that every
// network accepts the size. A size set by a flag is not padded if there is a single
// network: the network must accept it.
func (o *options) fit(flags *flag.FlagSet, protocol dataset.Protocol, channels int) ([]fitted, error) {
	explicit := map[string]bool{}
	flags.Visit(func(g *flag.Flag) { explicit[g.Name] = true })
	name, asked := "size", protocol.Size
	if protocol.Crop != [3]int{} {
		name, asked = "patch", patchIn(protocol.Crop, protocol.Size)
	}
	var fits []fitted
	for _, model := range o.model {
		architecture, err := o.network(model)
		if err != nil {
			return nil, err
		}
		f := fitted{config: models.Config{Architecture: architecture, InChannels: channels}, patches: name == "patch"}
		if scheme := protocol.Scheme; scheme.Kind != segment.Binary {
			f.config.OutChannels = scheme.Channels()
		}
		if f.title, err = models.Title(model); err != nil {
			return nil, err
		}
		size := protocol.Size
		if size == [3]int{} {
			// Validation volumes can have any size, so keep the published strides.
			size = models.RoundUp(asked, architecture.Multiple())
		}
		fit := models.Fit(f.config, size)
		f.config, f.facts = fit.Config, fit.Notes
		if err := nn.CheckMultiple(model, asked, f.config.Multiple()); err != nil && explicit[name] && len(o.model) == 1 {
			return nil, usageErrorf("-%s %s: %v", name, times(asked), err)
		}
		f.counter, err = backends.Counter(string(o.backend), func(b nn.Backend) (nn.Network, error) {
			net, err := models.New(f.config, b, o.seed)
			if err != nil {
				return nil, usageErrorf("-model %s: %v", model, err)
			}
			if f.net = net; !o.patches.deepSupervision {
				return net, nil
			}
			heads, err := models.NewDeepSupervision(f.config, net, b, o.seed)
			if err != nil {
				return nil, usageErrorf("-deep_supervision: %v", err)
			}
			f.facts = append(f.facts, fmt.Sprintf("Deep supervision: %d heads at lower resolutions, the loss of each with half the weight of the one above it.", heads.Heads()))
			return heads, nil
		})
		if err != nil {
			return nil, err
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
	// passes is the number of passes of the network for a prediction, and windowBytes the memory
	// on the host that it takes unless it is a single one; see infer.Plan.Mirrored.
	passes      int
	windowBytes int64
}

// volumes loads the first training case and the first validation case, which is predicted as
// the flags say.
func (f *fitted) volumes(source dataset.Source, training, validation []dataset.Case, seed uint64, flags *windowFlags) (v volumes, err error) {
	sample, err := source.Train(training[0], seed)
	if err != nil {
		return v, err
	}
	v.step, v.stepCase = sample.Image.Shape(), sample.ID
	if sample, err = source.Valid(validation[0]); err != nil {
		return v, err
	}
	v.prediction, v.predictionCase = sample.Image.Shape(), sample.ID
	plan, err := infer.NewPlan(f.net, sample.Scan.Size, flags.of(flags.window.size))
	if err != nil {
		return v, err
	}
	v.passes = plan.Count << len(flags.mirror)
	v.prediction = slices.Concat(v.prediction[:2], plan.Size[:])
	if flags.predicts() {
		logits := max(f.config.OutChannels, 2) // 0 means 2
		// Two copies of the image, the sum in float64, the logits of each mirrored pass and their
		// combination.
		perVoxel := 2*4*sample.Image.Shape()[1] + logits*(8+4*(1<<len(flags.mirror)+1))
		v.windowBytes = int64(perVoxel) * int64(nn.Elements(sample.Scan.Size[:]))
	}
	return v, nil
}

// patchIn returns the size of a patch of a volume of the given size, which is zero if it is not
// known.
func patchIn(patch, volume [3]int) [3]int {
	for i, n := range volume {
		if n > 0 {
			patch[i] = min(patch[i], n)
		}
	}
	return patch
}

// processBytes is the memory that a program takes besides what it computes with: its code, the
// Go runtime, and oneDNN's compiled primitives. As measured it is 45 to 75 MiB.
const processBytes = 50 << 20

// count adds the network's cost to its facts, for a training with the given optimization on
// the given number of samples per epoch. Facts are those of a single process, whatever the number
// of processes. It returns an error if the network needs more memory than the machine has.
func (f *fitted) count(v volumes, optimization *optimizationFlags, epoch int, together *processes, progress *report.Progress) error {
	samples := min(optimization.updateSamples(), epoch)
	step, err := f.trainingStep(v, optimization, samples)
	if err != nil {
		return err
	}
	prediction, err := f.counter.Inference(v.prediction)
	if err != nil {
		return err
	}
	prediction.HostBytes += processBytes + v.windowBytes
	f.step, f.prediction = step, prediction
	spatial := func(shape []int) string { return times([3]int(shape[2:])) }
	batch := max(1, min(optimization.batch, samples))
	on := spatial(v.step) + " voxels"
	if batch > 1 {
		on = fmt.Sprintf("%d volumes of %s", batch, on)
	}
	if f.patches {
		on += fmt.Sprintf(" (case %s)", v.stepCase)
	}
	text := fmt.Sprintf("Network: %s, %d parameters. A training step on %s takes %.1f GFLOP and about %s",
		f.config.Name(), step.Parameters, on, 6e-9*float64(step.MultiplyAdds)*float64(batch), f.memory(step))
	if f.patches {
		text += fmt.Sprintf(", a prediction of %s voxels (case %s) %s", spatial(v.prediction), v.predictionCase, f.memory(prediction))
	}
	text += "."
	f.facts = append([]string{text}, f.facts...)
	size := together.groupOf().Size()
	own := (samples + size - 1) / size
	f.ahead = train.SamplesAhead(f.workers, own)
	f.aheadBytes = int64(f.ahead) * v.sampleBytes()
	if size > 1 {
		if step, err = f.trainingStep(v, optimization, own); err != nil {
			return err
		}
		step.HostBytes += dist.BuffersPerGradient * step.Parameters * 4 // float32
	}
	step.HostBytes += f.aheadBytes
	if size > 1 {
		progress.Println(fmt.Sprintf("Memory: %s takes about %s in each of the %d processes.", f.config.Name(), formatBytes(max(step.Bytes(), prediction.Bytes())), size))
	}
	has := memories{device: f.device}
	if limit, ok := memory.Limit(); ok {
		has.machine = limit
	}
	return f.checkMemory(step, prediction, has, together.onHost(), samples)
}

// trainingStep returns the cost of an update on the given number of samples, its operations for
// one sample.
func (f *fitted) trainingStep(v volumes, optimization *optimizationFlags, samples int) (cost.Cost, error) {
	step, err := f.counter.Step(v.step, optimization.new())
	if err != nil {
		return step, err
	}
	// The samples are loaded together, and pass the network one after another, or together if
	// their batch norms are synchronized.
	sets := train.GradientSets(samples)
	if optimization.sync() && len(f.net.Buffers()) > 0 {
		sets = samples - 1
		all, err := f.counter.Step(append([]int{samples}, v.step[1:]...), optimization.new())
		if err != nil {
			return step, err
		}
		step.PassBytes = all.PassBytes
	}
	step.PassBytes += int64(sets) * step.Parameters * 4 // float32
	step.HostBytes += int64(samples-1) * v.sampleBytes()
	step.HostBytes += processBytes
	if f.device > 0 {
		step.PassBytes += v.sampleBytes() // the next sample is copied there during a step
	}
	return step, nil
}

// sampleBytes returns the memory of the image and the label of a training sample.
func (v *volumes) sampleBytes() int64 {
	const value, label = 4, 1 // bytes of a voxel
	return int64(nn.Elements(v.step)*value + nn.Elements(v.step[2:])*label)
}

// memory formats the memory of a pass.
func (f *fitted) memory(c cost.Cost) string {
	if f.device == 0 {
		return formatBytes(c.Bytes()) + " of memory"
	}
	return fmt.Sprintf("%s of the GPU's memory and %s of the machine's", formatBytes(deviceBytes(c)), formatBytes(c.HostBytes))
}

// deviceBytes returns the memory of a pass on a GPU.
func deviceBytes(c cost.Cost) int64 { return c.KeptBytes + c.PassBytes }

// memories are the bytes that the processes of this machine share: its memory, and that of the
// GPU on which they compute. 0 means unknown, or no GPU.
type memories struct{ machine, device int64 }

// checkMemory returns an error if the processes of this machine need more memory for a training
// step on the given number of samples, or for a prediction, than there is.
func (f *fitted) checkMemory(step, prediction cost.Cost, has memories, processes, samples int) error {
	check := func(pass string, c cost.Cost, smaller string) error {
		exceeds := func(needed, limit int64, where string) error {
			if limit == 0 || needed <= limit/int64(processes) {
				return nil
			}
			needs := fmt.Sprintf("-model %s: %s needs about %s of memory for volumes of this size", f.config.Name(), pass, formatBytes(needed))
			if processes == 1 {
				return fmt.Errorf("%s, but this %s has %s; use %s", needs, where, formatBytes(limit), smaller)
			}
			return fmt.Errorf("%s in each of %d processes on this %s, which has %s; use %s, or start fewer processes on a machine",
				needs, processes, where, formatBytes(limit), smaller)
		}
		if has.device == 0 {
			return exceeds(c.Bytes(), has.machine, "machine")
		}
		if err := exceeds(deviceBytes(c), has.device, "GPU"); err != nil {
			return err
		}
		return exceeds(c.HostBytes, has.machine, "machine")
	}
	smaller := fmt.Sprintf("a smaller -%s%s", map[bool]string{true: "patch", false: "size"}[f.patches],
		map[bool]string{true: " or fewer cases for an update"}[samples > 1])
	if err := check("a training step", step, smaller); err != nil {
		return err
	}
	return check("a prediction", prediction, "a smaller -window")
}

// formatBytes formats a number of bytes in MiB or GiB.
func formatBytes(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
