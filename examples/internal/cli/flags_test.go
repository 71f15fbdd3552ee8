package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/dist/disttest"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/internal/cuda/library"
)

// tinyPICAI and tinyBraTS are the two programs with phantoms small enough, and a U-Net narrow
// enough, to train within a second.
func tinyPICAI() Program {
	return Program{
		Name: "picai", About: "About picai.", Protocol: dataset.PICAI(),
		Phantom:         phantom.Options{Kind: phantom.PICAI, Train: 3, Valid: 2, Size: [3]int{32, 32, 16}},
		PhantomChannels: 3,
		Network:         narrow,
	}
}

func tinyBraTS() Program {
	return Program{
		Name: "brats", About: "About brats.", Protocol: dataset.BraTS(),
		Phantom:         phantom.Options{Kind: phantom.BraTS, Train: 3, Valid: 2, Size: [3]int{30, 32, 20}},
		PhantomChannels: 4,
		Network:         narrow,
	}
}

// narrowOptions are the -options of narrow's U-Net.
const narrowOptions = `{"Channels":[4,8,16,32,64]}`

// narrow returns the published networks, except for a U-Net of a quarter of the width.
func narrow(name string) (models.Architecture, error) {
	if name != "unet" {
		return models.ByName(name)
	}
	net := models.NewUNet()
	for i := range net.Channels {
		net.Channels[i] /= 4
	}
	return net, nil
}

// runProgram runs a program to completion and returns its exit code and output.
func runProgram(p Program, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Run(context.Background(), p, args, &out, &err)
	return code, out.String(), err.String()
}

func TestDefaultsAreThePapers(t *testing.T) {
	for _, p := range []Program{tinyPICAI(), tinyBraTS()} {
		f, o := newFlags(p)
		require.NoError(t, f.Parse(nil))
		require.NoError(t, o.check(f))
		assert.Equal(t, 200, o.epochs)
		assert.Equal(t, 0.1, o.optimization.lr)
		assert.Equal(t, 0.9, o.optimization.momentum)
		assert.Equal(t, 1e-5, o.optimization.weightDecay)
		assert.Equal(t, uint64(0), o.seed)
		assert.Equal(t, lossList{"afl"}, o.loss)
		assert.Equal(t, "runs/"+p.Name, o.modelDir)
	}
	_, o := newFlags(tinyPICAI())
	assert.Equal(t, triple{160, 128, 24}, o.size)
	_, o = newFlags(tinyBraTS())
	assert.Equal(t, triple{224, 224, 144}, o.patches.patch.size)
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	for _, p := range []Program{tinyPICAI(), tinyBraTS()} {
		code, out, errs := runProgram(p, "-h")
		assert.Equal(t, exitOK, code)
		assert.Empty(t, errs)
		assert.Contains(t, out, p.About)
		f, _ := newFlags(p)
		f.VisitAll(func(g *flag.Flag) {
			_, after, found := strings.Cut(out, "\n  -"+g.Name)
			require.True(t, found, "-%s", g.Name)
			text, _, _ := strings.Cut(after, "\n  -")
			def := g.DefValue
			if def == "" {
				def = "empty"
			}
			assert.Contains(t, text, "(default "+def+")", "-%s", g.Name)
			assert.Greater(t, len(text), len(def)+20, "-%s is explained", g.Name)
		})
	}
	_, out, _ := runProgram(tinyPICAI(), "-h")
	assert.Contains(t, out, "-size X,Y,Z")
	assert.Contains(t, out, "(default 160,128,24)")
	for _, c := range []struct {
		flag         string
		paper, names []string
	}{{"loss", afl.PaperNames(), afl.Names()}, {"model", models.PaperNames(), models.Names()}} {
		_, text, _ := strings.Cut(out, "\n  -"+c.flag+" ")
		text, _, _ = strings.Cut(text, " (default ")
		text = strings.Join(strings.Fields(text), " ")
		assert.Contains(t, text, "all: the paper's eight: "+strings.Join(c.paper, ", ")+"; others: "+strings.Join(c.names[len(c.paper):], ", "))
	}
	assert.Contains(t, strings.Join(strings.Fields(out), " "), "small: those for small lesions: "+strings.Join(afl.SmallLesionNames(), ", ")+"; ablations: ")
	_, out, _ = runProgram(tinyBraTS(), "-h")
	assert.Contains(t, out, "(default 224,224,144)")
	assert.NotContains(t, out, "-size X,Y,Z")
}

func TestWrongFlagsAreOneLineAndCode2(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ args, want string }{
		{"-epochs 0", "-epochs is 0"},
		{"-epochs many", "-epochs"},
		{"-steps -1", "-steps is -1"},
		{"-boundary_weight 0", "-boundary_weight is 0"},
		{"-boundary_weight NaN", "-boundary_weight is NaN"},
		{"-boundary_weight +Inf", "-boundary_weight is +Inf"},
		{"-loss small,blob", "blob is given twice"},
		{"-classes 1,2 -loss boundary,blob", "-loss: blob has no form for -classes; use dice-ce"},
		{"-max_cases -2", "-max_cases is -2"},
		{"-lr 0", "-lr is 0"},
		{"-lr NaN", "-lr is NaN"},
		{"-lr +Inf", "-lr is +Inf"},
		{"-momentum 1", "-momentum is 1"},
		{"-momentum NaN", "-momentum is NaN"},
		{"-weight_decay -1", "-weight_decay is -1"},
		{"-loss focal-dice", "; did you mean dice-focal?"},
		{"-optimizer adam", "want sgd or adamw"},
		{"-optimizer adamw -momentum 0.9", "-momentum is that of SGD"},
		{"-optimizer adamw -lr 10 -weight_decay 0.1", "-weight_decay is 0.1; times -lr 10 it must be less than 1"},
		{"-lr_schedule step", "want constant or poly or cosine"},
		{"-warmup -1", "-warmup is -1"},
		{"-warmup 3 -epochs 3", "-warmup is 3; it must be less than -epochs, 3"},
		{"-clip_norm -1", "-clip_norm is -1"},
		{"-clip_norm NaN", "-clip_norm is NaN"},
		{"-accumulate 0", "-accumulate is 0"},
		{"-batch_norm all", `invalid value "all" for flag -batch_norm`},
		{"-batch_norm sync", "-batch_norm sync has no effect with -batch 1"},
		{"-batch_norm sync -batch 2 -accumulate 3", "-accumulate is 3; with -batch_norm sync it must be 1: the statistics are those of all cases of an update, which pass the network together, so give -batch 6 instead"},
		{"-early_stop -1", "-early_stop is -1"},
		{"-early_stop 3 -select last", "-early_stop has no effect with -select last"},
		{"-seed -1", "-seed"},
		{"-loss", "-loss"},
		{"-loss afl,hinge", `name of the loss is "hinge", want one of tversky`},
		{"-loss forcal", "; did you mean focal?"},
		{"-loss afl,dice,afl", "afl is given twice"},
		{"-loss fl,focal", "fl is given twice"},
		{"-model alexnet", `unknown network "alexnet"`},
		{"-model unet,all", "unet is given twice"},
		{"-model vnet_authors -size 160,128,24", "-size 160×128×24: vnet_authors: volume size 160×128×24: every axis must be a positive multiple of 16×16×16"},
		{"-size 160,128", "want three numbers"},
		{"-size 160,128,x", `"x" is not a number of voxels`},
		{"-size 160,0,24", `"0" is not a number of voxels`},
		{"-size 100,100,24", "-size 100×100×24: unet: volume size 100×100×24: every axis must be a positive multiple of 16×16×8"},
		{"-size 96,96,20", "multiple of 16×16×16"},
		{"-phantom_train 0", "-phantom_train is 0"},
		{"-phantom_valid -1", "-phantom_valid is -1"},
		{"-cache -1", "-cache is -1"},
		{"-page_images -1", "-page_images is -1"},
		{"-workers -1", "-workers is -1; it must be from 0 to 1024"},
		{"-patch 64,64", `invalid value "64,64" for flag -patch: want three numbers of voxels, X,Y,Z, such as 160,128,24, or whole`},
		{"-patch 64,64,20", "-patch 64×64×20: unet: volume size 64×64×20: every axis must be a positive multiple of 16×16×8"},
		{"-foreground 1.5 -patch 64,64,24", "-foreground is 1.5"},
		{"-foreground NaN -patch 64,64,24", "-foreground is NaN"},
		{"-foreground 0.33", "-foreground has no effect on whole volumes; add -patch"},
		{"-statistics volume", "-statistics volume has no effect on whole volumes; add -patch"},
		{"-statistics all", "want patch or volume"},
		{"-patches 0", "-patches is 0"},
		{"-deep_supervision -model unet,mrrn", "-deep_supervision: models: mrrn has no decoder for deep supervision, want one of"},
		{"-window 64,64", "want three numbers"},
		{"-overlap 1 -window whole", "-overlap is 1"},
		{"-overlap 0.5", "-overlap has no effect without -window"},
		{"-blend gaussian -window whole", "-blend has no effect without -window"},
		{"-mirror xx", "want one or more of the letters"},
		{"-data_dir d -phantom_size 32,32,32", "-phantom_size has no effect with -data_dir"},
		{"-backend abacus", `unknown backend "abacus"`},
		{"-backend portable:1", `unknown backend "portable:1"`},
		{"-backend cuda:x", `the device is "x", want its index`},
		{"-backend cuda/fp8", `the precision is "fp8", want one of [float32 tf32 bfloat16]`},
		{"-backend portable -profile", "-backend portable: "},
		{"-conv miopen", "want own or cudnn or auto"},
		{"-backend portable -conv auto", `backend "portable" computes convolutions by itself, so that auto convolutions have no effect`},
		{"-unknown", "-unknown"},
		{"-resume", "contains no run"},
		{"stray", `unexpected argument "stray"`},
	} {
		args := append([]string{"-model_dir", dir}, strings.Fields(c.args)...)
		code, out, errs := runProgram(tinyPICAI(), args...)
		assert.Equal(t, exitUsage, code, c.args)
		assert.Empty(t, out, c.args)
		assert.Contains(t, errs, c.want, c.args)
		assert.Equal(t, 1, strings.Count(errs, "\n"), "%s: want one line: %q", c.args, errs)
		assert.True(t, strings.HasPrefix(errs, "picai: "), errs)
	}
	code, _, errs := runProgram(tinyBraTS(), "-model_dir", dir, "-patch", "64,64,40")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-patch 64×64×40: unet")
}

// TestMissingBackend checks that a program built without oneDNN says how to build with
// it.
func TestMissingBackend(t *testing.T) {
	if onednn.Available {
		t.Skip("built with the oneDNN backend")
	}
	code, _, errs := runProgram(tinyPICAI(), "-model_dir", t.TempDir(), "-backend", "onednn")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "install libdnnl-dev and build with -tags onednn")
	assert.Equal(t, 1, strings.Count(errs, "\n"))
}

// TestMissingGPU checks that a program says what the backend on a GPU lacks.
func TestMissingGPU(t *testing.T) {
	defer library.Replace(filepath.Join(t.TempDir(), "libcuda.so.1"))()
	code, _, errs := runProgram(tinyPICAI(), "-model_dir", t.TempDir(), "-backend", "cuda:1")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-backend cuda:1: cuda: ")
	assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
}

func TestMissingDataIsAnErrorOfTheRun(t *testing.T) {
	code, _, errs := runProgram(tinyBraTS(), "-model_dir", t.TempDir(), "-data_dir", t.TempDir()+"/absent")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "absent")
}

func TestLossAll(t *testing.T) {
	var l lossList
	require.NoError(t, l.Set("all"))
	assert.Equal(t, lossList(afl.PaperNames()), l)
	assert.Len(t, l, 8)
	assert.Equal(t, "afl", l[7], "A-FL is the last row of the paper's table")
	require.NoError(t, l.Set("focal, DiceFocal,cross_entropy"))
	assert.Equal(t, lossList{"fl", "dice-focal", "ce"}, l)
	require.NoError(t, l.Set(" dice , afl"))
	assert.Equal(t, "dice,afl", l.String())
}

func TestModelAll(t *testing.T) {
	var m modelList
	require.NoError(t, m.Set("all"))
	assert.Equal(t, modelList(models.PaperNames()), m)
	assert.Len(t, m, 8)
	require.NoError(t, m.Set(" vnet_monai, unet"))
	assert.Equal(t, "vnet_monai,unet", m.String())
	require.NoError(t, m.Set("all,vnet_monai"))
	assert.Len(t, m, 9)
}

// TestMemoryIsCheckedBeforeTheRun uses volumes that no machine can train on.
func TestMemoryIsCheckedBeforeTheRun(t *testing.T) {
	f := fitted{config: models.Config{Architecture: models.NewR2UNet(), InChannels: 3}}
	var err error
	f.counter, err = cost.New(func(b nn.Backend) (nn.Network, error) { return models.New(f.config, b, 0) })
	require.NoError(t, err)
	huge := []int{1, 3, 1 << 14, 1 << 14, 1 << 14}
	err = f.count(volumes{step: huge, prediction: huge}, &optimizationFlags{momentum: 0.9}, 3, nil, nil)
	assert.ErrorContains(t, err, "-model r2unet: a training step needs about ")
	assert.ErrorContains(t, err, "but this machine has ")
	assert.ErrorContains(t, err, "use a smaller -size")
	small := []int{1, 3, 16, 16, 16}
	require.NoError(t, f.count(volumes{step: small, prediction: small}, &optimizationFlags{momentum: 0.9}, 3, nil, nil))
	assert.Contains(t, f.facts[0], "Network: r2unet, 114441474 parameters. A training step on 16×16×16 voxels takes ")
	alone := f.step.Bytes()
	require.NoError(t, f.count(volumes{step: small, prediction: small}, &optimizationFlags{momentum: 0.9, batch: 4, accumulate: 2}, 30, nil, nil))
	assert.Contains(t, f.facts[0], "A training step on 4 volumes of 16×16×16 voxels takes ")
	assert.Equal(t, int64(3*4*114441474+7*(3*4+1)<<12), f.step.Bytes()-alone, "three sums of gradients, and seven more samples")
	require.NoError(t, f.count(volumes{step: small, prediction: small}, &optimizationFlags{momentum: 0.9, batch: 4}, 3, nil, nil))
	assert.Contains(t, f.facts[0], "A training step on 3 volumes of ")
	assert.Equal(t, int64(4*114441474+2*(3*4+1)<<12), f.step.Bytes()-alone)
	err = f.count(volumes{step: huge, prediction: huge}, &optimizationFlags{momentum: 0.9, batch: 4}, 3, nil, nil)
	assert.ErrorContains(t, err, "use a smaller -size or fewer cases for an update")

	// With synchronized batch norms the samples pass the network together, but its gradients are
	// in that pass once, and beside it once for each other sample.
	synchronized := &optimizationFlags{momentum: 0.9, batch: 4, batchNorm: choice{value: batchNormSync}}
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	f.net, err = models.NewUninitialized(f.config, b, 0)
	require.NoError(t, err)
	pass := func(samples int) int64 {
		step, err := f.counter.Step([]int{samples, 3, 16, 16, 16}, synchronized.new())
		require.NoError(t, err)
		return step.PassBytes
	}
	require.NoError(t, f.count(volumes{step: small, prediction: small}, synchronized, 30, nil, nil))
	assert.Equal(t, pass(4)-pass(1)+3*4*114441474+3*(3*4+1)<<12, f.step.Bytes()-alone)

	// Each of three processes on one machine has two of the samples, and the buffers of the sums.
	var out bytes.Buffer
	disttest.RequireNoErrors(t, disttest.Run(t, 3, func(g *dist.Group) error {
		f := f
		counter, err := cost.New(func(b nn.Backend) (nn.Network, error) { return models.NewUninitialized(f.config, b, 0) })
		if err != nil {
			return err
		}
		f.counter = counter // one per process
		progress := report.NewProgress(&bytes.Buffer{})
		if g.Root() {
			progress = report.NewProgress(&out)
		}
		return f.count(volumes{step: small, prediction: small}, &optimizationFlags{momentum: 0.9, batch: 5}, 30, &processes{group: g, here: 3}, progress)
	}))
	two := alone + 4*114441474 + 3*(3*4+1)<<12 // and two samples of the next update
	assert.Equal(t, fmt.Sprintf("Memory: r2unet takes about %s in each of the 3 processes.\n", formatBytes(two+2*4*114441474)), out.String())
	needs := func(bytes int64) cost.Cost { return cost.Cost{HostBytes: bytes} }
	assert.NoError(t, f.checkMemory(needs(100), needs(50), memories{machine: 100}, 1, 1))
	assert.NoError(t, f.checkMemory(needs(50), needs(50), memories{machine: 100}, 2, 2))
	assert.EqualError(t, f.checkMemory(needs(50<<20), needs(10<<20), memories{machine: 149 << 20}, 3, 2), "-model r2unet: a training step needs about 50 MiB of memory for volumes of this size in each of 3 processes on this machine, which has 149 MiB; use a smaller -size or fewer cases for an update, or start fewer processes on a machine")
	assert.EqualError(t, f.checkMemory(needs(10<<20), needs(50<<20), memories{machine: 149 << 20}, 3, 1), "-model r2unet: a prediction needs about 50 MiB of memory for volumes of this size in each of 3 processes on this machine, which has 149 MiB; use a smaller -window, or start fewer processes on a machine")

	f.device = 8 << 30
	require.NoError(t, f.count(volumes{step: small, prediction: small}, &optimizationFlags{momentum: 0.9}, 3, nil, nil))
	assert.Contains(t, f.facts[0], " of the GPU's memory and ")
	f.device = 1 << 20
	err = f.count(volumes{step: small, prediction: small}, &optimizationFlags{momentum: 0.9}, 3, nil, nil)
	assert.ErrorContains(t, err, "but this GPU has 1 MiB; use a smaller -size")
	assert.Equal(t, "1.5 GiB", formatBytes(3<<29))
	assert.Equal(t, "2 MiB", formatBytes(1<<20+1))
}

// TestWorkers checks the defaults, and the memory of the samples that are prepared ahead.
func TestWorkers(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	assert.Equal(t, dataset.DefaultWorkers, new(options).workersFor(false))
	assert.Equal(t, min(cores, 8), new(options).workersFor(true))
	o := options{workers: 5}
	assert.Equal(t, 5, o.workersFor(false))
	assert.Equal(t, 5, o.workersFor(true))

	dir := filepath.Join(t.TempDir(), "run")
	code, out, errs := runProgram(tinyPICAI(), "-model_dir", dir, "-epochs", "1", "-steps", "1", "-workers", "3")
	require.Equal(t, exitOK, code, errs)
	assert.Regexp(t, `Loading: 3 samples are prepared at a time \(-workers\), up to 3 beyond those of an update, which take about \d+ MiB of memory\.`, out)
	code, out, errs = runProgram(tinyPICAI(), "-model_dir", dir, "-resume", "-epochs", "2")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Loading: 2 samples are prepared at a time (-workers), up to 2 beyond", "the number is not part of the run")
}

func TestWrittenText(t *testing.T) {
	dir, run := t.TempDir(), &report.Run{Results: []outcome.Result{{Network: "unet", Loss: "fl"}}}
	want := "Written to " + dir + ": results.md, epochs.csv, cases.csv, comparisons.csv, strata.csv, report.html; loss.png and dice.png of each network; best.safetensors and last.safetensors of each training"
	assert.Equal(t, want+".", writtenText(dir, run))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "qualitative.png"), nil, 0o644))
	run.Results[0].Diverged = &outcome.Divergence{Epoch: 1, Step: 2, What: "the loss is NaN"}
	assert.Equal(t, strings.Replace(want, "strata.csv", "strata.csv, qualitative.png", 1)+", no best.safetensors of one that diverged in its first epoch.", writtenText(dir, run))
}
