package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/dataset"
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
	conv    convName

	trainedFlags
}

func newPredictFlags() (*flag.FlagSet, *predictOptions) {
	o := &predictOptions{}
	f := flag.NewFlagSet(predictName, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}

	f.Var(&o.weights, "weights", "comma-separated `files` of weights: best.safetensors of a run, or a PyTorch .pth; or "+weightsFolderUsage+"; required.\nOf several, an ensemble, the probabilities are averaged; they must segment the same")
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
	o.conv.addTo(f)
	o.trainedFlags.addTo(f)
	return f, o
}

// check returns an error for the first invalid value.
func (o *predictOptions) check() error {
	switch {
	case len(o.weights) == 0:
		return usageErrorf("-weights is missing; it names the file of the trained network, or the folder of its run")
	case o.casePath == "" && o.images == "" && o.casesPath == "":
		return usageErrorf("-case, -cases or -image is missing; one of them names the scan")
	case o.casePath != "" && o.images != "":
		return usageErrorf("-case and -image both name the scan; use only one of them")
	case o.casesPath != "" && o.casePath+o.images != "":
		return usageErrorf("-cases names several scans, but -case or -image one; use only one of them")
	case o.casesPath == "" && o.out != "" && niftiExtension(o.out) == "":
		return usageErrorf("-out is %q; it must end in .nii.gz or .nii", o.out)
	}
	if err := o.windows.check(); err != nil {
		return err
	}
	return o.trainedFlags.check()
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

// use combines the flags with the metadata of a weights file; the flags take precedence.
func (o *predictOptions) use(flags *flag.FlagSet, file string, metadata map[string]string) (*use, error) {
	u, err := o.trainedFlags.use(flags, file, metadata)
	if err != nil {
		return nil, err
	}
	u.Protocol.Reading = o.reading.reading()
	if o.windows.window.set {
		u.window = o.windows.window.size
	}
	return u, nil
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
