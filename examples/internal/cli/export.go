package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/onnx"
	"github.com/x/afl/examples/internal/weights"
)

const exportName = "export"

const exportAbout = `
Writes a trained network as an ONNX model, which runs without this project: image
to logits, in float32, for any number of samples. The model's metadata_props say
what is needed besides to make the masks that predict makes: the preprocessing of
a scan, the order of its channels, the rule for masks and the meaning of the
channels; docs/export.md explains them.

Weights written by this project's programs record all of this. PyTorch files (.pth)
do not: for them give -protocol, -channels, -model and, if the network is not built
as published, -options; of several classes or regions also -classes or -regions.`

// exportOptions holds the values of the export program's flags.
type exportOptions struct {
	weights, weightsPrefix string
	out                    string
	force, fixed           bool
	window                 triple
	channels               string

	trainedFlags
}

func newExportFlags() (*flag.FlagSet, *exportOptions) {
	o := &exportOptions{}
	f := flag.NewFlagSet(exportName, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.StringVar(&o.weights, "weights", "", "`file` of weights: best.safetensors of a run, or a PyTorch .pth; or "+weightsFolderUsage+"; required")
	f.StringVar(&o.weightsPrefix, "weights_prefix", "", weightsPrefixUsage)
	f.StringVar(&o.out, "out", "", "`file` to write, which must end in .onnx; required")
	f.BoolVar(&o.force, "force", false, "overwrite -out if it exists")
	f.BoolVar(&o.fixed, "fixed", false, "let the model's input have the size of -window alone; by default it has any size that the network accepts,\nso that scans of all sizes get the masks that predict makes")
	f.Var(&o.window, "window", "`X,Y,Z` voxels of the windows that cover a larger scan, and with -fixed of the model's input, rounded up to a\nsize that the network accepts; empty: the size of the volumes that the network was trained on")
	f.StringVar(&o.channels, "channels", "", "comma-separated `names` of the image channels in the order in which the network takes them, such as\nt2w,adc,hbv; empty: as recorded in the weights")
	o.trainedFlags.addTo(f)
	return f, o
}

// ExportMain runs the export program with the command-line arguments after its name and
// returns the exit code.
func ExportMain(args []string) int {
	return Export(context.Background(), args, os.Stdout, os.Stderr)
}

// Export is like [ExportMain], with the output streams given by the caller.
func Export(_ context.Context, args []string, stdout, stderr io.Writer) int {
	return exit(exportName, export(args, stdout), stderr)
}

func export(args []string, stdout io.Writer) error {
	flags, o := newExportFlags()
	if help, err := parse(flags, args, stdout, exportName, exportAbout); help || err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return usageErrorf("unexpected argument %q", flags.Arg(0))
	}
	if err := o.check(); err != nil {
		return err
	}
	var err error
	if o.weights, err = o.weightsIn(flags, o.weights); err != nil {
		return err
	}
	if err := o.checkOut(); err != nil {
		return err
	}
	file, err := openWeights(o.weights, "")
	if err != nil {
		return err
	}
	defer file.Close()
	u, err := o.use(flags, file)
	if err != nil {
		return err
	}
	return o.write(file, u, stdout)
}

// check returns an error for the first invalid value.
func (o *exportOptions) check() error {
	switch {
	case o.weights == "":
		return usageErrorf("-weights is missing; it names the file of the trained network, or the folder of its run")
	case o.out == "":
		return usageErrorf("-out is missing; it names the file to write")
	case !strings.EqualFold(filepath.Ext(o.out), ".onnx"):
		return usageErrorf("-out is %q; it must end in .onnx", o.out)
	}
	return o.trainedFlags.check()
}

// checkOut returns an error if the file cannot be written or must not be overwritten.
func (o *exportOptions) checkOut() error {
	if info, err := os.Stat(filepath.Dir(o.out)); err != nil || !info.IsDir() {
		return usageErrorf("-out: folder %s does not exist", filepath.Dir(o.out))
	}
	out, err := os.Stat(o.out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	in, err := os.Stat(o.weights)
	switch {
	case out.IsDir():
		return usageErrorf("-out: %s is a folder", o.out)
	case err == nil && os.SameFile(in, out):
		return usageErrorf("-out: %s is the file of -weights", o.out)
	case !o.force:
		return usageErrorf("-out: %s exists; use -force to overwrite it", o.out)
	}
	return nil
}

// use returns how the weights are used, with the number of channels and the size of the input.
func (o *exportOptions) use(flags *flag.FlagSet, file *weights.File) (*use, error) {
	u, err := o.trainedFlags.use(flags, o.weights, file.Metadata())
	if err != nil {
		return nil, err
	}
	if o.channels != "" {
		names := strings.Split(o.channels, ",")
		for i, name := range names {
			names[i] = strings.TrimSpace(name)
			if names[i] == "" || slices.Contains(names[:i], names[i]) {
				return nil, usageErrorf("-channels is %q; want distinct names, separated by commas", o.channels)
			}
		}
		if n := u.Config.InChannels; n != 0 && n != len(names) {
			return nil, usageErrorf("-channels names %d channels, but the network of %s takes %d", len(names), o.weights, n)
		}
		u.Channels, u.Config.InChannels = names, len(names)
	}
	if u.Config.InChannels == 0 {
		return nil, usageErrorf("-channels is missing: %s does not record the channels that its network takes", o.weights)
	}
	if o.window != (triple{}) {
		u.window = o.window
	}
	if u.window == [3]int{} && o.fixed {
		return nil, usageErrorf("-window is missing: the network of %s was trained on whole scans; give the size of the model's input, or leave -fixed out", o.weights)
	}
	return u, nil
}

// write records the network and writes the model.
func (o *exportOptions) write(file *weights.File, u *use, stdout io.Writer) error {
	multiple := u.Config.Multiple()
	size := models.RoundUp(u.window, multiple)
	if u.window == [3]int{} {
		// That the normalization of a channel has several voxels even where the network
		// is at its coarsest.
		size = [3]int{2 * multiple[0], 2 * multiple[1], 2 * multiple[2]}
	}
	hash, err := fingerprint.OfFile(o.weights)
	if err != nil {
		return fmt.Errorf("-weights: %w", err)
	}
	metadata, err := exportMetadata(u, file.Metadata(), hash.SHA256)
	if err != nil {
		return err
	}
	var fitted *weights.Fitted
	parameters := 0
	model, err := onnx.Record(func(b nn.Backend) (nn.Network, error) {
		net, err := models.NewUninitialized(u.Config, b, 0)
		if err != nil {
			return nil, err
		}
		if fitted, err = fitWeights(file, net, o.weightsPrefix); err != nil {
			return nil, err
		}
		parameters = nn.CountParameters(net)
		if err := nn.LoadStateDict(b, net, fitted.State); err != nil {
			return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
		}
		return net, nil
	}, onnx.Options{Channels: u.Config.InChannels, Size: size, Dynamic: !o.fixed, Version: version(), Metadata: metadata})
	if err != nil {
		return err
	}
	if err := model.Write(o.out); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	channels := "not recorded"
	if u.Channels != nil {
		channels = strings.Join(u.Channels, ", ")
	}
	sizes := "any multiple of " + times(multiple)
	if o.fixed {
		sizes = fmt.Sprintf("fixed; sizes that the network accepts are multiples of %s", times(multiple))
	}
	rule := measure.InWords(u.Protocol.Scheme, u.rule)
	if text, ok := ruleDescriptions[u.rule]; ok && u.Protocol.Scheme.IsZero() {
		rule = text
	}
	_, err = fmt.Fprintf(stdout, `Network: %s, %d parameters; weights: %s.%s
Input: %s; channels: %s.
Output: %s.
Spatial size X×Y×Z: %s. N, the number of samples: any.
Segmented: %v.
Mask: %s.
Written to %s: ONNX, operator set %d, %d nodes, %s.
`, u.Config.Name(), parameters, o.weights, describeFit(fitted), model.Input(), channels, model.Output(), sizes,
		u.Protocol.Scheme, rule, o.out, onnx.Opset, model.Nodes(), formatBytes(model.Bytes()))
	return err
}
