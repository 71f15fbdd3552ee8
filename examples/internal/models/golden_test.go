package models_test

import (
	"encoding/json"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/internal/golden"
)

// TestGolden compares each network with the reference: logits in inference and training
// mode, running statistics, and gradients. Networks of full width, of which the reference has
// the logits only, are compared in float32, in which they are trained.
func TestGolden(t *testing.T) {
	dir, full, err := golden.Dir("models")
	require.NoError(t, err)
	t.Logf("full set: %v", full)
	paths, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	require.NoError(t, err)
	cases := 0
	for _, path := range paths {
		base := filepath.Base(path)
		if base == "layers.safetensors" || strings.HasPrefix(base, "train_") {
			continue // see TestLayers and TestTrainingRuns
		}
		file, err := golden.Read(path)
		require.NoError(t, err)
		for _, v := range variants() {
			if file.Metadata["full_width"] == "true" && v.dtype == nn.Float64 {
				continue
			}
			t.Run(file.Metadata["case"]+"/"+v.name, func(t *testing.T) {
				n, err := strconv.Atoi(file.Metadata["parameter_count"])
				require.NoError(t, err)
				if testing.Short() && n > 6e6 {
					t.Skipf("slow with %d parameters", n)
				}
				v.skipSlow(t, n, 150_000)
				checkCase(t, file, v)
			})
			cases++
		}
	}
	require.Positive(t, cases)
	t.Logf("%d network cases (each file on up to %d backend variants)", cases, len(variants()))
}

// loaded is the network of a golden file with its weights, which are hashed from names.
type loaded struct {
	backend nn.Backend
	net     nn.Network
	seed    uint64
}

func load(t *testing.T, file *golden.File, v variant) loaded {
	t.Helper()
	b := v.backend(t)
	seed, err := strconv.ParseUint(file.Metadata["seed"], 10, 64)
	require.NoError(t, err)
	net, err := models.NewUninitialized(config(t, file.Metadata["model"], file.Metadata["args"]), b, 1)
	require.NoError(t, err)
	require.NoError(t, nn.LoadStateDict(b, net, nntest.HashState(net, seed)))

	if file.Metadata["full_width"] == "true" {
		return loaded{b, net, seed}
	}
	var names []string
	var shapes [][]int
	decode(t, file, "params", &names)
	decode(t, file, "param_shapes", &shapes)
	params := net.Parameters()
	require.Len(t, params, len(names))
	for i, p := range params {
		require.Equal(t, names[i], p.Name)
		require.Equal(t, shapes[i], p.Value.Shape(), p.Name)
	}
	return loaded{b, net, seed}
}

func decode(t *testing.T, file *golden.File, key string, to any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(file.Metadata[key]), to), key)
}

// config translates the constructor settings of the reference. An unknown network or
// setting fails the test.
func config(t *testing.T, model, args string) models.Config {
	t.Helper()
	switch model {
	case "unet":
		a := struct {
			channels
			Channels []int
			Strides  strides
			ResUnits int `json:"num_res_units"`
			Norm     models.Norm
		}{}
		decodeArgs(t, args, &a)
		return a.config(models.UNet{Channels: a.Channels, Strides: a.Strides, ResUnits: a.ResUnits, Norm: a.Norm})
	case "attunet":
		a := struct {
			channels
			Channels []int
			Strides  strides
		}{}
		decodeArgs(t, args, &a)
		return a.config(models.AttUNet{Channels: a.Channels, Strides: a.Strides})
	case "regunet":
		a := struct {
			channels
			Width   int `json:"num_channel_initial"`
			Depth   int
			Levels  []int `json:"extract_levels"`
			Concat  bool  `json:"concat_skip"`
			Pooling *bool
		}{}
		decodeArgs(t, args, &a)
		if a.Levels == nil {
			a.Levels = []int{a.Depth} // the default of the class
		}
		return a.config(models.RegUNet{
			Width: a.Width, Depth: a.Depth, Levels: a.Levels, ConcatSkip: a.Concat, StridedDown: a.Pooling != nil && !*a.Pooling,
		})
	case "unet3d_plain":
		a := struct {
			channels
			Base int
		}{Base: 64}
		decodeArgs(t, args, &a)
		return a.config(models.PlainUNet{Width: a.Base})
	case "r2unet":
		d := models.NewR2UNet()
		a := struct {
			channels
			Channels []int
			T        int
			Tied     bool
		}{Channels: d.Channels, T: d.Steps, Tied: !d.Untied}
		decodeArgs(t, args, &a)
		return a.config(models.R2UNet{Channels: a.Channels, Steps: a.T, Untied: !a.Tied})
	case "unet_resnet50":
		d := models.NewResNetUNet()
		a := struct {
			channels
			Strides strides
			Base    int
			Decoder []int `json:"decoder_channels"`
		}{Base: d.Width, Decoder: d.Decoder}
		decodeArgs(t, args, &a)
		return a.config(models.ResNetUNet{Width: a.Base, Strides: a.Strides, Decoder: a.Decoder})
	case "segresnet":
		d := models.NewSegResNet()
		a := struct {
			channels
			Width int               `json:"init_filters"`
			Down  []int             `json:"blocks_down"`
			Up    []int             `json:"blocks_up"`
			Norm  []json.RawMessage `json:"norm"`
		}{Width: d.Width, Down: d.BlocksDown, Up: d.BlocksUp}
		decodeArgs(t, args, &a)
		if a.Norm != nil {
			var group struct {
				N int `json:"num_groups"`
			}
			require.JSONEq(t, `"GROUP"`, string(a.Norm[0]))
			decodeArgs(t, string(a.Norm[1]), &group)
			d.Groups = group.N
		}
		return a.config(models.SegResNet{Width: a.Width, BlocksDown: a.Down, BlocksUp: a.Up, Groups: d.Groups})
	case "vnet_authors", "vnet_monai":
		a := struct {
			channels
			Base   int
			Cyclic bool // always true in this package
		}{Base: 16}
		decodeArgs(t, args, &a)
		return a.config(models.VNet{Width: a.Base, MONAI: model == "vnet_monai"})
	case "mrrn":
		a := struct {
			channels
			Base int
		}{Base: 32}
		decodeArgs(t, args, &a)
		return a.config(models.MRRN{Width: a.Base})
	}
	t.Fatalf("the reference contains the network %q, which this package does not have", model)
	return models.Config{}
}

// channels are the settings common to all networks, under the names used by the classes of
// the reference.
type channels struct {
	In       int `json:"in_channels"`
	Out      int `json:"out_channels"`
	ImageIn  int `json:"img_ch"`
	ImageOut int `json:"output_ch"`
	N        int `json:"n_channels"`
	Classes  int `json:"n_classes"`
	Labels   int `json:"classes"`
}

// decodeArgs decodes settings and fails for unknown ones.
func decodeArgs(t *testing.T, args string, to any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(args))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(to))
}

func (c channels) config(a models.Architecture) models.Config {
	return models.Config{Architecture: a, InChannels: c.In + c.ImageIn + c.N, OutChannels: c.Out + c.ImageOut + c.Classes + c.Labels}
}

// strides has one number per level, or one per axis of each level.
type strides [][3]int

func (s *strides) UnmarshalJSON(raw []byte) error {
	var cubic []int
	if json.Unmarshal(raw, &cubic) != nil {
		return json.Unmarshal(raw, (*[][3]int)(s))
	}
	for _, c := range cubic {
		*s = append(*s, [3]int{c, c, c})
	}
	return nil
}

// input checks that a stored data tensor has the values hashed from its name, and copies it
// to the backend.
func (l loaded) input(t *testing.T, file *golden.File, name string) nn.Array {
	t.Helper()
	g := file.Tensors[name]
	require.NotEmpty(t, g.Data, name)
	for i, v := range nntest.HashValues(name, len(g.Data), l.seed) {
		require.Equal(t, g.Data[i], float64(float32(v)), "%s[%d]", name, i)
	}
	a, err := l.backend.FromHost(tensor.New(tensor.WithShape(g.Shape...), tensor.WithBacking(g.Data)), nn.Step)
	require.NoError(t, err)
	return a
}

func (l loaded) host(t *testing.T, a nn.Array) []float64 {
	t.Helper()
	require.NotNil(t, a)
	d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(a.Shape()...))
	require.NoError(t, l.backend.ToHost(a, d))
	return d.Data().([]float64)
}

func (l loaded) infer(t *testing.T, x nn.Array) []float64 {
	t.Helper()
	tape := nn.NewTape(l.backend, nn.Inference, 0)
	y, err := l.net.Forward(tape, tape.Input(x))
	require.NoError(t, err)
	return l.host(t, y.Array())
}

// tolerance returns the allowed error of training-mode results: for float32, ten times the
// float32 error of the reference itself.
func tolerance(t *testing.T, file *golden.File, dtype nn.DType, hint string) float64 {
	t.Helper()
	if dtype == nn.Float64 {
		if file.Metadata["model"] == "unet_resnet50" {
			// At the coarsest level, batch norm has only four or eight values per channel.
			return 1e-8
		}
		return 1e-10
	}
	v, err := strconv.ParseFloat(file.Metadata["f32_relerr_"+hint], 64)
	require.NoError(t, err)
	return max(10*v, 1e-4)
}

func checkCase(t *testing.T, file *golden.File, v variant) {
	l, dtype := load(t, file, v), v.dtype
	x := l.input(t, file, "x")
	close := func(what string, want, got []float64, tol float64) {
		t.Helper()
		assert.LessOrEqual(t, nntest.RelativeError(want, got), tol, what)
	}
	evalTol := map[nn.DType]float64{nn.Float64: 1e-12, nn.Float32: 1e-5}[dtype]
	close("y_eval", file.Tensors["y_eval"].Data, l.infer(t, x), evalTol)
	if file.Metadata["full_width"] == "true" {
		return
	}

	tape := nn.NewTape(l.backend, nn.Training, 0)
	in := tape.InputWithGrad(x)
	y, err := l.net.Forward(tape, in)
	require.NoError(t, err)
	close("y_train", file.Tensors["y_train"].Data, l.host(t, y.Array()), tolerance(t, file, dtype, "y_train"))
	require.NoError(t, tape.Backward(y, l.input(t, file, "gout")))
	tol := tolerance(t, file, dtype, "gx")
	if v.reordered && hasKink(t, file) {
		tol = max(tol, 5e-2)
	}
	gx, err := tape.Grad(in)
	require.NoError(t, err)
	close("gx", file.Tensors["gx"].Data, l.host(t, gx), tol)

	checked := 0
	for _, f := range l.net.Buffers() {
		want, ok := file.Tensors["buf:"+f.Name]
		if !ok {
			continue
		}
		checked++
		if f.Value == nil {
			assert.Equal(t, want.Data, []float64{float64(f.Count)}, f.Name)
			continue
		}
		close(f.Name, want.Data, l.host(t, f.Value), tolerance(t, file, dtype, "y_train"))
	}
	l2, total, absmax := file.Tensors["grad_l2"].Data, file.Tensors["grad_sum"].Data, file.Tensors["grad_absmax"].Data
	var largest float64
	for _, v := range absmax {
		largest = max(largest, v)
	}
	for i, p := range l.net.Parameters() {
		grad := l.host(t, p.Grad)
		if want, ok := file.Tensors["grad:"+p.Name]; ok {
			checked++
			close(p.Name, want.Data, grad, tol)
		}
		sum, norm := sums(grad)
		allowed := tol * (l2[i]*math.Sqrt(float64(len(grad))) + 1e-3*largest)
		assert.InDelta(t, l2[i], norm, allowed, "norm of the gradient of %s", p.Name)
		assert.InDelta(t, total[i], sum, allowed, "sum of the gradient of %s", p.Name)
	}
	stored := 0
	for name := range file.Tensors {
		if strings.HasPrefix(name, "buf:") || strings.HasPrefix(name, "grad:") {
			stored++
		}
	}
	assert.Equal(t, stored, checked, "all stored buffers and gradients must be compared")
}

func sums(values []float64) (sum, norm float64) {
	for _, v := range values {
		sum += v
		norm += v * v
	}
	return sum, math.Sqrt(norm)
}
