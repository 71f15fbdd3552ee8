package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/train"
)

// trainedFlags holds the values of the flags that say how a network was trained. Each replaces
// what a weights file records, or supplies what it does not.
type trainedFlags struct {
	model, protocol, rule choice
	options               string
	size                  triple
	scheme                schemeFlags
}

// addTo defines the flags in f.
func (o *trainedFlags) addTo(f *flag.FlagSet) {
	o.model = choice{value: "unet", of: models.Names()}
	o.protocol = choice{of: []string{"picai", "brats"}}
	o.rule = choice{of: []string{"sigmoid", "argmax"}}
	f.Var(&o.model, "model", "`network`, with -options, -protocol, -size, -prediction_rule, -classes and -regions: each replaces what the\nweights file records, or supplies what it does not: "+joinInLines(models.Names()))
	f.StringVar(&o.options, "options", "", "`JSON` object of network options that differ from the published ones, such as\n{\"Channels\":[16,32],\"Strides\":[[2,2,2]]}, or the arguments of MONAI's constructor with its class:\n{\"_target_\":\"UNet\",\"spatial_dims\":3,…}")
	f.Var(&o.protocol, "protocol", "`preprocessing` of the scans in training: picai or brats; empty: as recorded in the weights")
	f.Var(&o.size, "size", "`X,Y,Z` voxels to which scans were resized in training; empty: the protocol's size")
	f.Var(&o.rule, "prediction_rule", "`rule` that makes masks of the logits: sigmoid (of channel 1 above 0.5) or argmax; empty: as recorded in the weights,\nor sigmoid if they record none; only without classes and regions")
	f.StringVar(&o.scheme.classes, "classes", "", "`labels` of the classes in training, in channel order, such as 1,2,3; empty: as recorded in the weights")
	f.StringVar(&o.scheme.regions, "regions", "", "`regions` in training, in channel order, such as WT=1,2,4;TC=1,4;ET=4; empty: as recorded in the weights")
}

// check returns an error for the first invalid value.
func (o *trainedFlags) check() error {
	if o.scheme.classes != "" && o.scheme.regions != "" {
		return usageErrorf("-classes and -regions both say what is segmented; use only one of them")
	}
	return nil
}

// weightsFolderUsage says which folders -weights accepts.
const weightsFolderUsage = "the folder of a run, or one in it,\nwith a single best.safetensors, of the network -model if that is given"

// weightsIn returns the file of the best weights in the folder of a run, or path if it is no
// folder.
func (o *trainedFlags) weightsIn(flags *flag.FlagSet, path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return path, nil // openWeights reports a file that does not exist
	}
	model := ""
	flags.Visit(func(g *flag.Flag) {
		if g.Name == "model" {
			model = o.model.value
		}
	})
	var found []string
	err := inFolder(path, train.Depth, func(path string, e os.DirEntry) error {
		// <network>/<loss>/best.safetensors
		absolute, err := filepath.Abs(path)
		if err == nil && e.Name() == train.BestName && (model == "" || filepath.Base(filepath.Dir(filepath.Dir(absolute))) == model) {
			found = append(found, path)
		}
		return err
	})
	of := ""
	if model != "" {
		of = " of " + model
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("-weights: %w", err)
	case len(found) == 0:
		return "", usageErrorf("-weights: the folder %s contains no %s%s", path, train.BestName, of)
	case len(found) > 1:
		return "", usageErrorf("-weights: the folder %s contains several %s%s; name one of them: %s", path, train.BestName, of, strings.Join(found, ", "))
	}
	return found[0], nil
}

// use describes how the weights are used: the network and the preprocessing that the
// flags or the weights specify, the window size, and the prediction rule for the mask.
type use struct {
	settings.Settings
	window [3]int
	rule   afl.PredictionRule
}

// use combines the flags with the metadata of a weights file; the flags take precedence.
func (o *trainedFlags) use(flags *flag.FlagSet, file string, metadata map[string]string) (*use, error) {
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
	u.Protocol.Scheme = scheme
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
func (o *trainedFlags) binaryRule(u *use, file string, metadata map[string]string) error {
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
func (o *trainedFlags) network(flags *flag.FlagSet, u *use, known bool) error {
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
