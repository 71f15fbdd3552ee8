package cli

import (
	"flag"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/train"
)

// options holds the values of the flags.
type options struct {
	dataDir, modelDir string
	cases             string
	checkLevel        choice
	reading           readingFlags
	resume, join      bool
	weights           string
	selection         selectionName
	weightsPrefix     string

	epochs, steps, seeds int
	division             divisionFlags
	loss                 lossList
	boundaryWeight       float64
	model                modelList
	network              func(name string) (models.Architecture, error) // of model
	scheme               schemeFlags
	detection            detectionMethod
	seed                 uint64

	optimization optimizationFlags

	patches patchFlags
	windows windowFlags

	size      triple
	labelArea bool

	phantomTrain, phantomValid int
	phantomSize                triple

	cacheMiB int64
	workers  int

	pageImages int

	backend backendName
	conv    convName
	profile bool

	dist distFlags
}

// sessionFlags are the flags that do not affect the result, so a resumed run may
// change them.
var sessionFlags = []string{"model_dir", "resume", "join", "check", "cache", "workers", "profile", "page_images", "dist", "dist_timeout"}

// newFlags defines the flags of a program. Their defaults are the paper's.
func newFlags(p Program) (*flag.FlagSet, *options) {
	o := &options{checkLevel: choice{value: checkLevels[0], of: checkLevels}, loss: lossList{"afl"}, model: modelList{"unet"}, selection: selectionName(train.Selections()[0]), phantomSize: triple(p.Phantom.Size), network: p.Network}
	if o.network == nil {
		o.network = models.ByName
	}
	f := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	// Run prints errors on one line, and usage prints the text of -h.
	f.SetOutput(io.Discard)
	f.Usage = func() {}

	f.StringVar(&o.dataDir, "data_dir", "", "`folder` of the images; empty, and no -cases: a synthetic phantom is generated")
	f.StringVar(&o.cases, "cases", "", "`file` that lists the cases, instead of -data_dir: CSV with the columns case, image (all channels in one\nfile) or image.<channel> for each channel, label and, if wanted, split (train, valid or test), or JSON\nwith the same keys; paths are relative to its folder")
	f.Var(&o.checkLevel, "check", "how much of the `data` is read before the training of a new run: full, every voxel of every case, or headers")
	o.reading.addTo(f)
	f.StringVar(&o.modelDir, "model_dir", "runs/"+p.Name, "`folder` of the run: weights, checkpoints, tables, curves")
	f.BoolVar(&o.resume, "resume", false, "continue the run in -model_dir; its flags are restored and need not be repeated. -epochs (with a\nconstant -lr_schedule), -loss, -model and -seeds can be given again to add to the run, and -data_dir,\n-cases and -test_dir if the data have moved")
	f.BoolVar(&o.join, "join", false, "train nothing, but make one report of the runs in the folders that follow the flags, and write it\nto -model_dir")
	f.IntVar(&o.epochs, "epochs", 200, "training `epochs` per loss")
	f.IntVar(&o.steps, "steps", 0, "maximum number of training `steps` per epoch; 0: as many as it takes to use every training case")
	o.division.addTo(f)
	f.Var(&o.loss, "loss", "comma-separated `losses` to train with in turn; all: the paper's eight:\n"+paperFirst(afl.Names(), afl.PaperNames())+
		";\nsmall: those for small lesions:\n"+joinInLines(afl.SmallLesionNames())+
		";\nablations: A-FL with a part replaced, for research:\n"+joinInLines(segment.AblationNames())+
		".\nWith -classes, afl-multiclass is the default and takes the place of afl in all; with -regions as well,\nwhere bce takes that of ce. In small, with -classes dice-focal takes the place of unified-focal and dice-ce\nthat of blob, and with -regions bce that of topk-ce")
	f.Float64Var(&o.boundaryWeight, "boundary_weight", 0.01, "`weight` of the boundary loss in the first epoch, which grows by as much in every epoch: the loss boundary is\nDice + weight * epoch * boundary")
	f.Var(&o.model, "model", "comma-separated `networks` to train in turn; all: the paper's eight:\n"+paperFirst(models.Names(), models.PaperNames()))
	o.scheme.addTo(f)
	o.detection = detectionMethod(p.Detection)
	f.Var(&o.detection, "detection", detectionUsage+";\nthe scores of the PI-CAI challenge are then reported; only without -classes and -regions")
	f.StringVar(&o.weights, "weights", "", "`file` of initial weights (.safetensors, or PyTorch's .pth), for a single network; for\nunet_resnet50 also torchvision's ResNet-50, for its encoder; empty: drawn from the seed")
	f.StringVar(&o.weightsPrefix, "weights_prefix", "", weightsPrefixUsage)
	f.Uint64Var(&o.seed, "seed", 0, "`seed` of the initial weights, the order of the cases, augmentation, dropout, folds and phantom")
	f.IntVar(&o.seeds, "seeds", 1, "`number` of seeds, from -seed on, from each of which every network is trained with every loss; the\ntables have the mean over the seeds of each case. All seeds have the same folds and phantom")
	o.optimization.addTo(f)
	o.patches.addTo(f, p.Protocol.Crop)
	o.windows.addTo(f, "in the validation and the report, a case is", "empty: validation cases are predicted whole")
	f.Var(&o.selection, "select", "`measure` by whose mean over the validation cases the best weights are selected:\n"+joinInLines(train.Selections())+";\nsoft_dice, the paper's, counts the background; last takes the last epoch's weights")
	if p.resizes() {
		o.size = triple(p.Protocol.Size)
		f.Var(&o.size, "size", "`X,Y,Z` voxels to which images and labels are resized")
		f.BoolVar(&o.labelArea, "label_area", p.Protocol.LabelArea, "resize labels by averaging, as the paper's code does, which enlarges lesions by up to\na voxel; otherwise by nearest neighbor")
	}
	f.IntVar(&o.phantomTrain, "phantom_train", p.Phantom.Train, "training `cases` of the phantom")
	f.IntVar(&o.phantomValid, "phantom_valid", p.Phantom.Valid, "validation `cases` of the phantom")
	f.Var(&o.phantomSize, "phantom_size", "`X,Y,Z` voxels of a phantom image")
	f.Int64Var(&o.cacheMiB, "cache", 2048, "`MiB` of memory for caching preprocessed cases")
	f.IntVar(&o.workers, "workers", 0, fmt.Sprintf("number of training `samples` that are prepared at the same time while a step computes; 0: %d, or with\n-backend cuda one for each core, at most %d. The log says when the steps wait for data", dataset.DefaultWorkers, gpuWorkers))
	f.IntVar(&o.pageImages, "page_images", 0, "number of `cases` whose images and masks report.html embeds, together with qualitative.png; 0: no image\nof a patient. Of the phantom it embeds at least 8 cases")
	o.backend.addTo(f)
	o.conv.addTo(f)
	o.dist.addTo(f)
	f.BoolVar(&o.profile, "profile", false, "print the time of each operation by shape at the end; onednn only")
	return f, o
}

// usage writes the text of -h: every flag, its meaning and its default. Unlike
// flag.PrintDefaults it also shows defaults that are zero or empty.
func usage(w io.Writer, name, about string, f *flag.FlagSet) {
	fmt.Fprintf(w, "Usage: %s [flags]\n\n%s\n\nFlags:\n", name, strings.TrimSpace(about))
	f.VisitAll(func(g *flag.Flag) {
		value, text := flag.UnquoteUsage(g)
		def := g.DefValue
		if def == "" {
			def = "empty"
		}
		fmt.Fprintf(w, "  -%s\n", strings.TrimSpace(g.Name+" "+value))
		fmt.Fprintf(w, "        %s (default %s)\n", strings.ReplaceAll(text, "\n", "\n        "), def)
	})
}

// check returns an error for the first invalid value.
func (o *options) check(flags *flag.FlagSet) error {
	bad := func(name string, value any, want string) error {
		return usageErrorf("-%s is %v; it must be %s", name, value, want)
	}
	for _, path := range []*string{&o.dataDir, &o.cases, &o.weights} {
		if *path == "" {
			continue
		}
		// The run may be resumed from another working directory.
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	switch {
	case o.weights != "" && len(o.model) > 1:
		return usageErrorf("-weights: a file belongs to one network, but -model names %d", len(o.model))
	case o.modelDir == "":
		return bad("model_dir", `""`, "a folder")
	case o.epochs < 1:
		return bad("epochs", o.epochs, "at least 1")
	case !(o.boundaryWeight > 0) || math.IsInf(o.boundaryWeight*float64(o.epochs), 0):
		return bad("boundary_weight", o.boundaryWeight, "a positive number")
	case o.steps < 0:
		return bad("steps", o.steps, "at least 0")
	case o.seeds < 1:
		return bad("seeds", o.seeds, "at least 1")
	case o.seed+uint64(o.seeds)-1 < o.seed:
		return usageErrorf("-seeds: %d seeds from %d on exceed the largest seed, %d", o.seeds, o.seed, uint64(math.MaxUint64))
	case o.division.testDir != "" && o.from() == "" && !o.resume:
		return usageErrorf("-test_dir has no effect on the phantom; add -data_dir or -cases")
	case o.phantomTrain < 1:
		return bad("phantom_train", o.phantomTrain, "at least 1")
	case o.phantomValid < 1:
		return bad("phantom_valid", o.phantomValid, "at least 1")
	case o.dataDir != "" && o.cases != "":
		return usageErrorf("-data_dir and -cases both name the data; use only one of them")
	case o.dataDir != "" && phantomFlag(flags) != "":
		return usageErrorf("-%s has no effect with -data_dir", phantomFlag(flags))
	case o.cases != "" && phantomFlag(flags) != "":
		return usageErrorf("-%s has no effect with -cases", phantomFlag(flags))
	case o.pageImages < 0:
		return bad("page_images", o.pageImages, "at least 0")
	case o.workers < 0 || o.workers > mostWorkers:
		return bad("workers", o.workers, fmt.Sprintf("from 0 to %d", mostWorkers))
	case o.cacheMiB < 0 || o.cacheMiB > math.MaxInt64>>20:
		return bad("cache", o.cacheMiB, "at least 0")
	}
	if err := o.dist.check(); err != nil {
		return err
	}
	if o.join && o.dist.by != "" {
		return usageErrorf("-dist has no effect with -join")
	}
	if err := o.checkDetection(flags); err != nil {
		return err
	}
	if err := o.optimization.check(flags, o.epochs, o.selection.String(), o.resume); err != nil {
		return err
	}
	if err := o.patches.check(flags, o.resume); err != nil {
		return err
	}
	if err := o.checkWindows(flags); err != nil {
		return err
	}
	if err := o.division.check(flags, o.resume); err != nil {
		return err
	}
	return o.checkScheme(flags)
}

const (
	gpuWorkers  = 8 // the default of -workers on a GPU, where there are as many cores
	mostWorkers = 1024
)

// workersFor returns the number of workers that prepare samples, whether a GPU computes or the
// cores, from which more workers than the default would take time.
func (o *options) workersFor(gpu bool) int {
	switch {
	case o.workers > 0:
		return o.workers
	case gpu:
		return min(runtime.GOMAXPROCS(0), gpuWorkers)
	}
	return dataset.DefaultWorkers
}

// phantomFlag returns the name of the first phantom flag set on the command line, or "".
func phantomFlag(flags *flag.FlagSet) (name string) {
	flags.Visit(func(g *flag.Flag) {
		if name == "" && strings.HasPrefix(g.Name, "phantom_") {
			name = g.Name
		}
	})
	return name
}

// lossList is the value of -loss: names of the afl registry.
type lossList []string

func (l *lossList) String() string { return strings.Join(*l, ",") }

func (l *lossList) Set(s string) error {
	names, err := splitNames(s, lossGroups(), segment.CanonicalName)
	if err == nil {
		*l = names
	}
	return err
}

// modelList is the value of -model: names of networks.
type modelList []string

func (m *modelList) String() string { return strings.Join(*m, ",") }

func (m *modelList) Set(s string) error {
	names, err := splitNames(s, map[string][]string{"all": models.PaperNames()}, func(name string) (string, error) {
		if !slices.Contains(models.Names(), name) {
			return "", fmt.Errorf("unknown network %q, want all or any of %s", name, strings.Join(models.Names(), ", "))
		}
		return name, nil
	})
	if err == nil {
		*m = names
	}
	return err
}

// inGroup reports whether all losses of a group that has the named one are in the list.
func (l lossList) inGroup(name string) bool {
	for _, group := range lossGroups() {
		if slices.Contains(group, name) && !slices.ContainsFunc(group, func(other string) bool { return !slices.Contains(l, other) }) {
			return true
		}
	}
	return false
}

// lossGroups returns the words of -loss that stand for several losses.
func lossGroups() map[string][]string {
	return map[string][]string{"all": afl.PaperNames(), "small": afl.SmallLesionNames(), "ablations": segment.AblationNames()}
}

// splitNames splits a comma-separated list of names. A word of groups stands for its
// names, and canonical returns the name that stands for one given. A repeated
// name is an error.
func splitNames(s string, groups map[string][]string, canonical func(name string) (string, error)) ([]string, error) {
	var names []string
	for _, name := range strings.Split(s, ",") {
		name = strings.TrimSpace(name)
		if group, ok := groups[name]; ok {
			names = append(names, group...)
			continue
		}
		known, err := canonical(name)
		if err != nil {
			return nil, err
		}
		names = append(names, known)
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%s is given twice", name)
		}
	}
	return names, nil
}

// backendName is the value of -backend.
type backendName string

// addTo defines the flag in f.
func (b *backendName) addTo(f *flag.FlagSet) {
	*b = backendName(backends.Default())
	f.Var(b, "backend", "compute `backend`: "+strings.Join(backends.Names(), ", ")+"; onednn is the fast one on the CPU and must be built in (-tags onednn); cuda runs on an NVIDIA GPU, cuda:1 on the second one, cuda/tf32 and cuda/bfloat16 with convolutions in a lower precision, which are not its default")
}

func (b *backendName) String() string { return string(*b) }

func (b *backendName) Set(s string) error {
	if err := backends.Check(s); err != nil {
		return err
	}
	*b = backendName(s)
	return nil
}

// convName is the value of -conv.
type convName struct{ choice }

// addTo defines the flag in f.
func (c *convName) addTo(f *flag.FlagSet) {
	*c = convName{choice{value: "own", of: []string{"own", "cudnn", "auto"}}}
	f.Var(c, "conv", "`what` computes the convolutions of -backend cuda: own kernels; cudnn, NVIDIA's library, which has to be installed; or auto, cudnn where it is installed, else own")
}

// selectionName is the value of -select.
type selectionName string

func (n *selectionName) String() string { return string(*n) }

func (n *selectionName) Set(s string) error {
	if !slices.Contains(train.Selections(), s) {
		return fmt.Errorf("unknown measure %q, want %s", s, strings.Join(train.Selections(), ", "))
	}
	*n = selectionName(s)
	return nil
}

// triple is the value of a flag that holds a size in voxels, such as 160,128,24.
type triple [3]int

func (t *triple) String() string {
	if *t == (triple{}) {
		return ""
	}
	return fmt.Sprintf("%d,%d,%d", t[0], t[1], t[2])
}

func (t *triple) Set(s string) error {
	parts := strings.Split(s, ",")
	if len(parts) != len(t) {
		return fmt.Errorf("want three numbers of voxels, X,Y,Z, such as 160,128,24")
	}
	var v triple
	for i, part := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		// The upper bound keeps the product of the three from overflowing.
		if err != nil || n < 1 || n > 1<<16 {
			return fmt.Errorf("%q is not a number of voxels from 1 to %d", part, 1<<16)
		}
		v[i] = n
	}
	*t = v
	return nil
}

// paperFirst lists the paper's names, which are the first of names, separately from
// the others.
func paperFirst(names, paper []string) string {
	return joinInLines(paper) + ";\nothers:\n" + joinInLines(names[len(paper):])
}

// joinInLines joins names with commas, eight to a line.
func joinInLines(names []string) string {
	var lines []string
	for part := range slices.Chunk(names, 8) {
		lines = append(lines, strings.Join(part, ", "))
	}
	return strings.Join(lines, ",\n")
}

// times formats a size as 160×128×24.
func times(size [3]int) string { return fmt.Sprintf("%d×%d×%d", size[0], size[1], size[2]) }
