package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/settings"
)

// predictOptions holds the values of the prediction program's flags.
type predictOptions struct {
	weights, weightsPrefix       string
	casePath, images, label, out string

	window  windowSize
	overlap float64
	blend   choice
	backend backendName

	model, protocol, decision choice
	options                   string
	size                      triple
}

func newPredictFlags() (*flag.FlagSet, *predictOptions) {
	o := &predictOptions{
		model:    choice{value: "unet", of: models.Names()},
		blend:    choice{value: string(infer.Constant), of: []string{string(infer.Constant), string(infer.Gaussian)}},
		protocol: choice{of: []string{"picai", "brats"}},
		decision: choice{of: []string{"sigmoid", "argmax"}},
	}
	f := flag.NewFlagSet(predictName, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}

	f.StringVar(&o.weights, "weights", "", "`file` of weights: best.safetensors of a run, or a PyTorch .pth; required")
	f.StringVar(&o.weightsPrefix, "weights_prefix", "", weightsPrefixUsage)
	f.StringVar(&o.casePath, "case", "", "`folder` of the case's images, or the folder followed by the common prefix of their names; the suffix\nof a name identifies the channel: t2w, adc, hbv; flair, t1, t1ce, t2; 0000, 0001, …; image")
	f.StringVar(&o.images, "image", "", "comma-separated image `files` of the case in channel order, instead of -case")
	f.StringVar(&o.label, "label", "", "label `file` to evaluate the mask against; the results are also written as .csv and .json next to -out")
	f.StringVar(&o.out, "out", "", "mask `file` to write, .nii.gz or .nii; empty: <case>_mask.nii.gz in the current folder")
	f.Var(&o.window, "window", "`X,Y,Z` voxels of the sliding window, rounded up to a size that the network accepts, or whole;\nempty: the size of the volumes that the network was trained on")
	f.Float64Var(&o.overlap, "overlap", infer.DefaultOverlap, "`fraction` of a window that the next one overlaps")
	f.Var(&o.blend, "blend", "`weights` of overlapping windows: constant, or gaussian, which favors the middle of a window")

	o.backend.addTo(f)
	f.Var(&o.model, "model", "`network`; this and the flags below replace what the weights file records, or supply what\nit does not: "+joinInLines(models.Names()))
	f.StringVar(&o.options, "options", "", "`JSON` object of network options that differ from the published ones, such as\n{\"Channels\":[16,32],\"Strides\":[[2,2,2]]}")
	f.Var(&o.protocol, "protocol", "`preprocessing` of the scans in training: picai or brats; empty: as recorded in the weights")
	f.Var(&o.size, "size", "`X,Y,Z` voxels to which scans were resized in training; empty: the protocol's size")
	f.Var(&o.decision, "decision", "decision `rule` for the mask: sigmoid (of channel 1 above 0.5) or argmax; empty: as recorded in the weights,\nor sigmoid if they record none")
	return f, o
}

// check returns an error for the first invalid value.
func (o *predictOptions) check() error {
	switch {
	case o.weights == "":
		return usageErrorf("-weights is missing; it names the file of the trained network")
	case o.casePath == "" && o.images == "":
		return usageErrorf("-case or -image is missing; one of them names the scan")
	case o.casePath != "" && o.images != "":
		return usageErrorf("-case and -image both name the scan; use only one of them")
	case !(o.overlap >= 0 && o.overlap < 1):
		return usageErrorf("-overlap is %v; it must be at least 0 and less than 1", o.overlap)
	case o.out != "" && niftiExtension(o.out) == "":
		return usageErrorf("-out is %q; it must end in .nii.gz or .nii", o.out)
	}
	return nil
}

// findCase returns the case's files.
func (o *predictOptions) findCase() (dataset.Case, error) {
	c := dataset.CaseOf(strings.Split(o.images, ","))
	if o.casePath != "" {
		var err error
		if c, err = dataset.FindCase(o.casePath); err != nil {
			return dataset.Case{}, fmt.Errorf("-case: %w", err)
		}
	}
	c.Label = o.label
	return c, nil
}

// checkOut fills in the default of -out. It checks, before the long computation, that
// the mask can be written there and does not overwrite an input file.
func (o *predictOptions) checkOut(c dataset.Case) error {
	if o.out == "" {
		o.out = c.ID + "_mask.nii.gz"
	}
	if info, err := os.Stat(filepath.Dir(o.out)); err != nil || !info.IsDir() {
		return usageErrorf("-out: folder %s does not exist", filepath.Dir(o.out))
	}
	trial, err := os.CreateTemp(filepath.Dir(o.out), "."+filepath.Base(o.out)+".*")
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	if err := errors.Join(trial.Close(), os.Remove(trial.Name())); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	out, err := os.Stat(o.out)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	if out.IsDir() {
		return usageErrorf("-out: %s is a folder", o.out)
	}
	for _, path := range append(slices.Clone(c.Images), c.Label, o.weights) {
		if in, err := os.Stat(path); err == nil && os.SameFile(in, out) {
			return usageErrorf("-out: %s is an input file", o.out)
		}
	}
	return nil
}

// use describes how the weights are used: the network and the preprocessing that the
// flags or the weights specify, the window size, and the decision rule for the mask.
type use struct {
	settings.Settings
	window [3]int
	rule   afl.PredictionRule
}

// use combines the flags with the metadata of the weights; the flags take precedence.
func (o *predictOptions) use(flags *flag.FlagSet, metadata map[string]string) (*use, error) {
	stored, known, err := settings.Read(metadata)
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	u := &use{Settings: stored}
	if !known && o.protocol.value == "" {
		return nil, usageErrorf("-protocol is missing: %s does not record how scans were preprocessed for its network; use %s",
			o.weights, strings.Join(o.protocol.of, " or "))
	}
	switch o.protocol.value {
	case "picai":
		u.Protocol = dataset.PICAI()
	case "brats":
		u.Protocol = dataset.BraTS()
	}
	if o.size != (triple{}) {
		u.Protocol.Size = o.size
	}
	if err := o.network(flags, u, known); err != nil {
		return nil, err
	}
	// Each window is padded on its own to a size that the network accepts.
	u.Protocol.MinSize, u.Protocol.Multiple = [3]int{}, [3]int{}
	u.window = u.Window()
	if o.window.set {
		u.window = o.window.size
	}

	rule, found, err := settings.ReadRule(metadata)
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	if !found {
		rule = afl.SigmoidChannel1
	}
	switch o.decision.value {
	case "sigmoid":
		rule = afl.SigmoidChannel1
	case "argmax":
		rule = afl.Argmax
	}
	u.rule = rule
	return u, nil
}

// network sets the network from -model and -options if they are set or the weights
// record no network. Without -options the network is fitted to the size of the scans
// as in training.
func (o *predictOptions) network(flags *flag.FlagSet, u *use, known bool) error {
	name := o.model.value
	explicit := false
	flags.Visit(func(g *flag.Flag) { explicit = explicit || g.Name == "model" })
	if known && !explicit {
		name = u.Config.Name()
	}
	if known && name == u.Config.Name() && o.options == "" {
		return nil
	}
	channels := u.Config.InChannels
	if o.options != "" {
		config, err := configOf(name, o.options)
		if err != nil {
			return usageErrorf("-options: %v", err)
		}
		config.InChannels = channels
		u.Config = config
		return nil
	}
	a, err := models.ByName(name)
	if err != nil {
		return err
	}
	u.Config = models.Config{Architecture: a, InChannels: channels}
	if u.Protocol.Size != [3]int{} {
		u.Config = models.Fit(u.Config, u.Protocol.Size).Config
	}
	return nil
}

// configOf returns the named network with the given JSON options.
func configOf(name, options string) (c models.Config, err error) {
	// Parse the options on their own first, so that they cannot close the enclosing
	// object.
	var alone json.RawMessage
	if err := json.Unmarshal([]byte(options), &alone); err != nil {
		return c, err
	}
	raw, err := json.Marshal(struct {
		Network string          `json:"network"`
		Options json.RawMessage `json:"options"`
	}{name, alone})
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(raw, &c)
}

// choice is the value of a flag that accepts a fixed set of strings.
type choice struct {
	value string
	of    []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("want %s", strings.Join(c.of, " or "))
	}
	c.value = s
	return nil
}

// windowSize is the value of -window: a size, or zero for the whole volume.
type windowSize struct {
	size triple
	set  bool
}

func (w *windowSize) String() string {
	if w.set && w.size == (triple{}) {
		return "whole"
	}
	return w.size.String()
}

func (w *windowSize) Set(s string) error {
	w.size, w.set = triple{}, true
	if s == "whole" {
		return nil
	}
	return w.size.Set(s)
}
