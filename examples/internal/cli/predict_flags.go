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
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/settings"
)

// predictOptions holds the values of the prediction program's flags.
type predictOptions struct {
	weights                     fileList
	weightsPrefix               string
	casePath, casesPath, images string
	listed                      []string // names of the channels in the list that casesPath names
	reading                     readingFlags
	label, out                  string
	force, probabilities        bool
	detection                   detectionMethod

	windows windowFlags
	backend backendName

	model, protocol, rule choice
	options               string
	size                  triple
	scheme                schemeFlags
}

func newPredictFlags() (*flag.FlagSet, *predictOptions) {
	o := &predictOptions{
		model:    choice{value: "unet", of: models.Names()},
		protocol: choice{of: []string{"picai", "brats"}},
		rule:     choice{of: []string{"sigmoid", "argmax"}},
	}
	f := flag.NewFlagSet(predictName, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}

	f.Var(&o.weights, "weights", "comma-separated `files` of weights: best.safetensors of a run, or a PyTorch .pth; required. Of several,\nan ensemble, the probabilities are averaged; they must segment the same")
	f.StringVar(&o.weightsPrefix, "weights_prefix", "", weightsPrefixUsage)
	f.StringVar(&o.casePath, "case", "", "`folder` of the case's images, or the folder followed by the common prefix of their names; the suffix\nof a name identifies the channel: t2w, adc, hbv; flair, t1, t1ce, t2; 0000, 0001, …; image")
	f.StringVar(&o.casesPath, "cases", "", "`folder` of several cases, all of which are predicted, in it or in the folders directly below it, or file\nthat lists them, as for training; its labels, if any, are used like those of -label")
	o.reading.addTo(f)
	f.StringVar(&o.images, "image", "", "comma-separated image `files` of the case in channel order, instead of -case")
	f.StringVar(&o.label, "label", "", "label `file` to evaluate the mask against; the results are also written as .csv and .json next to -out;\nwith -cases the folder of the labels <case>, <case>_gt, <case>_seg or <case>_label")
	f.StringVar(&o.out, "out", "", "mask `file` to write, .nii.gz or .nii; empty: <case>_mask.nii.gz in the current folder; with -cases\nthe folder of these masks, created if it does not exist")
	f.BoolVar(&o.force, "force", false, "overwrite files that predict did not write or that have changed since")
	f.BoolVar(&o.probabilities, "probabilities", false, "also write the probability of the foreground, or of each class or region, as float32 NIfTI next to the\nmask: <mask>_prob.nii.gz or <mask>_prob_<class>.nii.gz, one 3-D file each, which every viewer can\nshow over the scan; a 4-D file would be taken for a time series")
	f.Var(&o.detection, "detection", detectionUsage+". Their detection map,\nthe confidence of each candidate on its voxels, is written as float32 NIfTI next to the mask:\n<mask>_detection.nii.gz. With -label they are matched with its lesions, in <mask>_detection.csv")
	o.windows.addTo(f, "the scan is", "empty: the size of the volumes that the network was trained on")

	o.backend.addTo(f)
	f.Var(&o.model, "model", "`network`, with -options, -protocol, -size, -prediction_rule, -classes and -regions: each replaces what the\nweights file records, or supplies what it does not: "+joinInLines(models.Names()))
	f.StringVar(&o.options, "options", "", "`JSON` object of network options that differ from the published ones, such as\n{\"Channels\":[16,32],\"Strides\":[[2,2,2]]}, or the arguments of MONAI's constructor with its class:\n{\"_target_\":\"UNet\",\"spatial_dims\":3,…}")
	f.Var(&o.protocol, "protocol", "`preprocessing` of the scans in training: picai or brats; empty: as recorded in the weights")
	f.Var(&o.size, "size", "`X,Y,Z` voxels to which scans were resized in training; empty: the protocol's size")
	f.Var(&o.rule, "prediction_rule", "`rule` that makes masks of the logits: sigmoid (of channel 1 above 0.5) or argmax; empty: as recorded in the weights,\nor sigmoid if they record none; only without classes and regions")
	f.StringVar(&o.scheme.classes, "classes", "", "`labels` of the classes in training, in channel order, such as 1,2,3; empty: as recorded in the weights")
	f.StringVar(&o.scheme.regions, "regions", "", "`regions` in training, in channel order, such as WT=1,2,4;TC=1,4;ET=4; empty: as recorded in the weights")
	return f, o
}

// check returns an error for the first invalid value.
func (o *predictOptions) check() error {
	switch {
	case len(o.weights) == 0:
		return usageErrorf("-weights is missing; it names the file of the trained network")
	case o.casePath == "" && o.images == "" && o.casesPath == "":
		return usageErrorf("-case, -cases or -image is missing; one of them names the scan")
	case o.casePath != "" && o.images != "":
		return usageErrorf("-case and -image both name the scan; use only one of them")
	case o.casesPath != "" && o.casePath+o.images != "":
		return usageErrorf("-cases names several scans, but -case or -image one; use only one of them")
	case o.scheme.classes != "" && o.scheme.regions != "":
		return usageErrorf("-classes and -regions both say what is segmented; use only one of them")
	case o.casesPath == "" && o.out != "" && niftiExtension(o.out) == "":
		return usageErrorf("-out is %q; it must end in .nii.gz or .nii", o.out)
	}
	return o.windows.check()
}

// findCases returns the files of every case.
func (o *predictOptions) findCases() ([]dataset.Case, error) {
	if o.casesPath == "" {
		c := dataset.CaseOf(strings.Split(o.images, ","))
		if o.casePath != "" {
			var err error
			if c, err = dataset.FindCase(o.casePath); err != nil {
				return nil, fmt.Errorf("-case: %w", err)
			}
		}
		c.Label = o.label
		return []dataset.Case{c}, nil
	}
	list := dataset.FindCases
	if info, err := os.Stat(o.casesPath); err == nil && !info.IsDir() {
		list = dataset.ListCases
		if o.listed, err = dataset.ListedChannels(o.casesPath); err != nil {
			return nil, fmt.Errorf("-cases: %w", err)
		}
	}
	cases, err := list(o.casesPath)
	if err != nil {
		return nil, fmt.Errorf("-cases: %w", err)
	}
	if o.label == "" {
		return cases, nil
	}
	for i := range cases {
		if cases[i].Label, err = dataset.FindLabel(o.label, cases[i].ID); err != nil {
			return nil, fmt.Errorf("-label: %w", err)
		}
	}
	return cases, nil
}

// labeled reports whether every case has a label.
func labeled(cases []dataset.Case) bool {
	return !slices.ContainsFunc(cases, func(c dataset.Case) bool { return c.Label == "" })
}

// makeFolder checks that the folder of the output files exists, and creates it for -cases.
func (o *predictOptions) makeFolder() error {
	dir := filepath.Dir(o.out)
	if o.casesPath != "" {
		if dir = o.out; dir != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("-out: %w", err)
			}
		}
		return nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usageErrorf("-out: folder %s does not exist", dir)
	}
	return nil
}

// maskPath returns the mask file of a case.
func (o *predictOptions) maskPath(c dataset.Case) string {
	name := c.ID + "_mask.nii.gz"
	switch {
	case o.casesPath != "":
		return filepath.Join(o.out, name)
	case o.out == "":
		return name
	}
	return o.out
}

// use describes how the weights are used: the network and the preprocessing that the
// flags or the weights specify, the window size, and the prediction rule for the mask.
type use struct {
	settings.Settings
	window [3]int
	rule   afl.PredictionRule
}

// use combines the flags with the metadata of a weights file; the flags take precedence.
func (o *predictOptions) use(flags *flag.FlagSet, file string, metadata map[string]string) (*use, error) {
	stored, known, err := settings.Read(metadata)
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", file, err)
	}
	u := &use{Settings: stored}
	if !known && o.protocol.value == "" {
		return nil, usageErrorf("-protocol is missing: %s does not record how scans were preprocessed for its network; use %s",
			file, strings.Join(o.protocol.of, " or "))
	}
	scheme := stored.Protocol.Scheme
	if o.scheme.kind() != segment.Binary {
		if scheme, err = o.scheme.scheme(nil); err != nil {
			return nil, err
		}
	}
	switch o.protocol.value {
	case "picai":
		u.Protocol = dataset.PICAI()
	case "brats":
		u.Protocol = dataset.BraTS()
	}
	u.Protocol.Scheme, u.Protocol.Reading = scheme, o.reading.reading()
	if o.size != (triple{}) {
		u.Protocol.Size = o.size
	}
	if err := u.Protocol.Check(); err != nil {
		return nil, usageErrorf("%v", err)
	}
	if err := o.network(flags, u, known); err != nil {
		return nil, err
	}
	if scheme.Kind != segment.Binary {
		u.Config.OutChannels = scheme.Channels()
	}
	// Each window is padded on its own to a size that the network accepts.
	u.Protocol.MinSize, u.Protocol.Multiple = [3]int{}, [3]int{}
	u.window = u.Window()
	if o.windows.window.set {
		u.window = o.windows.window.size
	}

	switch scheme.Kind {
	case segment.Classes:
		u.rule = afl.Argmax
	case segment.Regions:
		u.rule = afl.SigmoidPerChannel
	default:
		return u, o.binaryRule(u, file, metadata)
	}
	if o.rule.value != "" {
		return nil, usageErrorf("-prediction_rule: the network of %s segments %v, whose rule is fixed", file, scheme)
	}
	return u, nil
}

// binaryRule sets the prediction rule of a network with background and foreground.
func (o *predictOptions) binaryRule(u *use, file string, metadata map[string]string) error {
	rule, found, err := settings.ReadRule(metadata)
	if err != nil {
		return fmt.Errorf("-weights: %s: %w", file, err)
	}
	if !found {
		rule = afl.SigmoidChannel1
	}
	switch o.rule.value {
	case "sigmoid":
		rule = afl.SigmoidChannel1
	case "argmax":
		rule = afl.Argmax
	}
	u.rule = rule
	return nil
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

// fileList is the value of -weights. A name that exists is taken as it is, even with commas.
type fileList []string

func (l *fileList) String() string { return strings.Join(*l, ",") }

func (l *fileList) Set(s string) error {
	*l = nil
	if _, err := os.Stat(s); err == nil {
		*l = fileList{s}
		return nil
	}
	for _, name := range strings.Split(s, ",") {
		if name == "" {
			return errors.New("a file name is empty")
		}
		if slices.Contains(*l, name) {
			return fmt.Errorf("%s is given twice", name)
		}
		*l = append(*l, name)
	}
	return nil
}
