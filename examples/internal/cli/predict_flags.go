package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/settings"
)

// predictOptions holds the values of the flags of the program that predicts.
type predictOptions struct {
	weights, casePath, images, label, out string

	window  windowSize
	overlap float64
	blend   choice

	model                    modelName
	channels                 widths
	strides                  strides
	norm, protocol, decision choice
	size                     triple
}

func newPredictFlags() (*flag.FlagSet, *predictOptions) {
	o := &predictOptions{
		model:    "unet",
		blend:    choice{value: string(infer.Constant), of: []string{string(infer.Constant), string(infer.Gaussian)}},
		norm:     choice{of: []string{string(models.BatchNorm), string(models.InstanceNorm)}},
		protocol: choice{of: []string{"picai", "brats"}},
		decision: choice{of: []string{"sigmoid", "argmax"}},
	}
	f := flag.NewFlagSet(predictName, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}

	f.StringVar(&o.weights, "weights", "", "`file` of weights: best.safetensors of a run, or PyTorch's .pth; required")
	f.StringVar(&o.casePath, "case", "", "`folder` of the case's images, or the folder with the beginning of their names; the ends of the names\ntell the channels apart: t2w, adc, hbv; flair, t1, t1ce, t2; 0000, 0001, …; image")
	f.StringVar(&o.images, "image", "", "the case's image `files` in the order of the channels, separated by commas, in place of -case")
	f.StringVar(&o.label, "label", "", "`file` of the label, to measure the mask; the figures also go to .csv and .json beside -out")
	f.StringVar(&o.out, "out", "", "`file` of the mask, .nii.gz or .nii; empty: <case>_mask.nii.gz in this folder")
	f.Var(&o.window, "window", "`X,Y,Z` voxels of the sliding window, rounded up to what the network accepts, or whole;\nempty: the size of the volumes that the network was trained on")
	f.Float64Var(&o.overlap, "overlap", infer.DefaultOverlap, "`part` of a window that the next one covers too")
	f.Var(&o.blend, "blend", "`average` of overlapping windows: constant, or gaussian, which trusts the middle of a window more")

	f.Var(&o.model, "model", "`network`, where the weights do not say it or say it wrong, as with the flags below: "+inLines(models.Names()))
	f.Var(&o.channels, "channels", "`widths` of the network's levels, such as 16,32,64; empty: the network's default")
	f.Var(&o.strides, "strides", "`strides` between the levels, such as 2,2,2/2,2,1; empty: the network's default")
	f.Var(&o.norm, "norm", "`normalisation` of the network: batch or instance; empty: batch")
	f.Var(&o.protocol, "protocol", "`preparation` of the scans in training: picai or brats; empty: as the weights say")
	f.Var(&o.size, "size", "`X,Y,Z` voxels to which scans were resized in training; empty: as the protocol says")
	f.Var(&o.decision, "decision", "`rule` that makes the mask: sigmoid (of channel 1 above 0.5) or argmax; empty: as the weights say, else sigmoid")
	return f, o
}

// check reports the first value that makes no sense.
func (o *predictOptions) check() error {
	switch {
	case o.weights == "":
		return usageErrorf("-weights is missing: the file of the trained network")
	case o.casePath == "" && o.images == "":
		return usageErrorf("-case or -image is missing: the scan")
	case o.casePath != "" && o.images != "":
		return usageErrorf("-case and -image both name the scan; give one of them")
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

// checkOut fills in the default of -out and makes sure, before the long work,
// that the mask can be written there and overwrites nothing that is read.
func (o *predictOptions) checkOut(c dataset.Case) error {
	if o.out == "" {
		o.out = c.ID + "_mask.nii.gz"
	}
	if info, err := os.Stat(filepath.Dir(o.out)); err != nil || !info.IsDir() {
		return usageErrorf("-out: there is no folder %s", filepath.Dir(o.out))
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
			return usageErrorf("-out: %s is a file that is read", o.out)
		}
	}
	return nil
}

// use is how the weights are used: what they or the flags say about the
// network and the scans, the window that follows, and the rule for the mask.
type use struct {
	settings.Settings
	window [3]int
	rule   afl.PredictionRule
}

// use takes from the metadata of the weights what the flags do not say.
func (o *predictOptions) use(flags *flag.FlagSet, metadata map[string]string) (*use, error) {
	stored, known, err := settings.Read(metadata)
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	u := &use{Settings: stored}
	if !known && o.protocol.value == "" {
		return nil, usageErrorf("-protocol is missing: %s does not say how scans were prepared for its network; give %s",
			o.weights, strings.Join(o.protocol.of, " or "))
	}
	flags.Visit(func(g *flag.Flag) {
		if g.Name == "model" && known && stored.Model != string(o.model) {
			u.Config = models.Config{} // another network's
		}
	})
	flags.Visit(func(g *flag.Flag) {
		switch g.Name {
		case "model":
			u.Model = string(o.model)
		case "channels":
			u.Config.Channels = o.channels
		case "strides":
			u.Config.Strides = o.strides
		case "norm":
			u.Config.Norm = models.Norm(o.norm.value)
		case "protocol":
			u.Protocol = dataset.PICAI()
			if o.protocol.value == "brats" {
				u.Protocol = dataset.BraTS()
			}
		}
	})
	if u.Model == "" {
		u.Model = string(o.model)
	}
	if o.size != (triple{}) {
		u.Protocol.Size = o.size
	}
	// Padding to what the network accepts is the business of each window.
	u.Protocol.MinSize, u.Protocol.Multiple = [3]int{}, [3]int{}
	u.window = u.Window()
	if o.window.set {
		u.window = o.window.size
	}

	rule, said, err := settings.ReadRule(metadata)
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	if !said {
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

// choice is a flag whose value is one of a few.
type choice struct {
	value string
	of    []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("expected %s", strings.Join(c.of, " or "))
	}
	c.value = s
	return nil
}

// windowSize is the value of -window: a size, zero for the whole volume.
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

// widths is the value of -channels.
type widths []int

func (w *widths) String() string { return joinInts(*w) }

func (w *widths) Set(s string) error {
	values, err := splitInts(s)
	*w = values
	return err
}

// strides is the value of -strides: triples separated by slashes.
type strides [][3]int

func (v *strides) String() string {
	parts := make([]string, len(*v))
	for i, s := range *v {
		parts[i] = joinInts(s[:])
	}
	return strings.Join(parts, "/")
}

func (v *strides) Set(s string) error {
	*v = nil
	for _, part := range strings.Split(s, "/") {
		values, err := splitInts(part)
		if err == nil && len(values) != 3 {
			err = fmt.Errorf("%q is no stride such as 2,2,1", part)
		}
		if err != nil {
			return err
		}
		*v = append(*v, [3]int(values))
	}
	return nil
}

func joinInts(values []int) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = strconv.Itoa(v)
	}
	return strings.Join(parts, ",")
}

// splitInts reads numbers from 1 to 65536 that commas separate.
func splitInts(s string) ([]int, error) {
	var values []int
	for _, part := range strings.Split(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || n > 1<<16 {
			return nil, fmt.Errorf("%q is no whole number from 1 to %d", part, 1<<16)
		}
		values = append(values, n)
	}
	return values, nil
}
