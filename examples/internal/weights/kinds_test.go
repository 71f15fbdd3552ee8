package weights

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// small is the network Small of testdata/make.py.
var small = []Entry{
	{Name: "conv.weight", Shape: []int{2, 1, 1, 1, 1}}, {Name: "conv.bias", Shape: []int{2}},
	{Name: "norm.weight", Shape: []int{2}}, {Name: "norm.bias", Shape: []int{2}},
	{Name: "norm.running_mean", Shape: []int{2}}, {Name: "norm.running_var", Shape: []int{2}},
	{Name: "norm.num_batches_tracked", Counter: true},
}

// requireSmall checks the values of the tensors of small, which are higher by offset.
func requireSmall(t *testing.T, state map[string]*tensor.Dense, offset float64, counter int64) {
	t.Helper()
	require.Len(t, state, len(small))
	for k, e := range small {
		require.Contains(t, state, e.Name)
		if e.Counter {
			require.Equal(t, counter, state[e.Name].Data())
			continue
		}
		require.Equal(t, e.Shape, []int(state[e.Name].Shape()), e.Name)
		for i, want := range []float64{-0.75 + float64(k) + offset, -0.5 + float64(k) + offset} {
			switch v := state[e.Name].Data().(type) {
			case []float32:
				require.Equal(t, want, float64(v[i]), e.Name)
			case []float64:
				require.Equal(t, want, v[i], e.Name)
			default:
				require.Fail(t, "element type", "%s: %T", e.Name, v)
			}
		}
	}
}

// kinds are the files of testdata/make.py in which a state of small is to be found.
var kinds = map[string]struct {
	prefix, under string
	offset        float64
	filled        bool
	extra, others []string
}{
	"training2.pth":       {prefix: "state_dict"},
	"training3.pth":       {prefix: "state_dict"},
	"training4.pth":       {prefix: "state_dict"},
	"training5.pth":       {prefix: "state_dict"},
	"training_legacy.pth": {prefix: "state_dict"},
	"nnunet.pth":          {prefix: "network_weights"},
	"lightning.ckpt":      {prefix: "state_dict.model", extra: []string{"state_dict.criterion.weight"}},
	"ddp.pth":             {prefix: "net"},
	"compiled_ddp.pth":    {},
	"wrapped_inside.pth":  {prefix: "model.net"},
	"swa.pth":             {extra: []string{"n_averaged"}},
	"ema.pth":             {prefix: "model", others: []string{"model_ema"}},
	"ema_inside.pth":      {prefix: "ema_model", under: "ema_model", offset: 100},
	"no_counter.pth":      {filled: true},
	"float_counter.pth":   {},
	"bfloat16.pth":        {},
	"parts.pth":           {},
	"aliases.pth":         {prefix: "state_dict"},
	"odd_tensors.pth":     {prefix: "state_dict", extra: []string{"state_dict.complex", "state_dict.quantized", "state_dict.sparse"}},
	"subclass.pth":        {},
	"whole.pth":           {},
	"whole4.pth":          {},
	"whole_ddp.pth":       {prefix: "model"},
	"whole_legacy.pth":    {},
	"whole_by_call.pth":   {prefix: "net.0"},
	"script.ts":           {extra: []string{"grid"}}, // TorchScript does not say which buffers are persistent
	"arrays.pth":          {},
	"arrays2.pkl":         {},
	"arrays3.pkl":         {},
	"arrays4.pkl":         {},
	"arrays5.pkl":         {},
	"tensors.pkl":         {prefix: "state_dict"},
}

func testKinds(t *testing.T, dir string) {
	for name, want := range kinds {
		t.Run(name, func(t *testing.T) {
			f, err := Open(filepath.Join(dir, name))
			require.NoError(t, err)
			defer f.Close()
			got, err := f.Fit(small, want.under)
			require.NoError(t, err)
			if want.filled {
				requireSmall(t, got.State, want.offset, 0)
				assert.Equal(t, []string{"norm.num_batches_tracked"}, got.Filled)
			} else {
				requireSmall(t, got.State, want.offset, 7)
				assert.Empty(t, got.Filled)
			}
			assert.Equal(t, want.prefix, got.Prefix)
			assert.Equal(t, want.extra, got.Extra)
			assert.Equal(t, want.others, got.Others)
		})
	}
	t.Run("ambiguous", func(t *testing.T) {
		f, err := Open(filepath.Join(dir, "ema_inside.pth"))
		require.NoError(t, err)
		defer f.Close()
		_, err = f.Fit(small, "")
		var ambiguous *AmbiguousError
		require.ErrorAs(t, err, &ambiguous)
		assert.Equal(t, []string{"ema_model", "online_model"}, ambiguous.Prefixes)
		_, err = f.Fit(small, "other")
		assert.ErrorContains(t, err, `no tensors under "other."`)
	})
}

// TestKinds reads the ways in which training programs save a network, as written by
// PyTorch 1.13.
func TestKinds(t *testing.T) { testKinds(t, "testdata") }

// TestKindsWrittenAnew reads what the installed PyTorch writes.
func TestKindsWrittenAnew(t *testing.T) {
	written := false
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		path, err := exec.LookPath(python)
		if err != nil || exec.Command(path, "-c", "import torch, numpy").Run() != nil {
			continue
		}
		dir := t.TempDir()
		text, err := exec.Command(path, "testdata/make.py", dir).CombinedOutput()
		require.NoError(t, err, "%s", text)
		testKinds(t, dir)
		written = true
		break
	}
	if !written {
		t.Skip("no python3 with PyTorch and NumPy (Debian: python3-torch)")
	}
}

// TestWrappedSafetensors finds a network under the prefixes of wrappers.
func TestWrappedSafetensors(t *testing.T) {
	whole, err := Open("testdata/compiled_ddp.pth")
	require.NoError(t, err)
	defer whole.Close()
	fitted, err := whole.Fit(small, "")
	require.NoError(t, err)
	for _, c := range []struct{ prefix, found string }{
		{"", ""}, {"module.", ""}, {"_orig_mod.", ""}, {"module._orig_mod.module.", ""}, {"net.", "net"}, {"a.module.b.", "a.b"},
	} {
		tensors := map[string]*tensor.Dense{"criterion.weight": tensor.New(tensor.FromScalar(float32(1)))}
		for name, v := range fitted.State {
			if name != "norm.num_batches_tracked" {
				tensors[c.prefix+name] = v
			}
		}
		path := filepath.Join(t.TempDir(), "w")
		require.NoError(t, Save(path, tensors, nil))
		f, err := Open(path)
		require.NoError(t, err)
		got, err := f.Fit(small, "")
		require.NoError(t, err, c.prefix)
		require.NoError(t, f.Close())
		requireSmall(t, got.State, 0, 0)
		assert.Equal(t, c.found, got.Prefix)
		assert.Equal(t, []string{"norm.num_batches_tracked"}, got.Filled)
		assert.Equal(t, []string{"criterion.weight"}, got.Extra)
	}
}

// TestFitPrefixes finds a network under names that are more or fewer than its own.
func TestFitPrefixes(t *testing.T) {
	for network, whole := range map[string]string{"": "", "model.": "model.", "model.net.": "model.net.", "a.": "a."} {
		for _, in := range []string{"", "model.", "model.net.", "a.", "x.model.", "x.y."} {
			tensors := map[string]*tensor.Dense{}
			var entries []Entry
			for i, e := range small[:6] {
				entries = append(entries, Entry{Name: network + e.Name, Shape: []int{1}})
				tensors[in+e.Name] = tensor.New(tensor.WithShape(1), tensor.WithBacking([]float32{float32(i)}))
			}
			assert.Equal(t, whole, commonPrefix(entries))
			path := filepath.Join(t.TempDir(), "w")
			require.NoError(t, Save(path, tensors, nil))
			f, err := Open(path)
			require.NoError(t, err)
			got, err := f.Fit(entries, "")
			require.NoError(t, f.Close())
			require.NoError(t, err, "%q in %q", network, in)
			for i, e := range entries {
				assert.Equal(t, []float32{float32(i)}, got.State[e.Name].Data())
			}
		}
	}
	assert.Equal(t, "a.", commonPrefix([]Entry{{Name: "a.b"}}))
	assert.Equal(t, "", commonPrefix([]Entry{{Name: "a.b"}, {Name: "ab.c"}}))
	assert.Equal(t, "a.b.", commonPrefix([]Entry{{Name: "a.b.c"}, {Name: "a.b.d.e"}}))
	assert.Equal(t, "", commonPrefix(nil))
}

// TestFitErrors checks what is said about files that do not fit.
func TestFitErrors(t *testing.T) {
	open := func(name string) *File {
		f, err := Open(filepath.Join("testdata", name))
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	change := func(i int, e Entry) []Entry {
		network := append([]Entry{}, small...)
		network[i] = e
		return network
	}
	var misfit *FitError

	_, err := open("lightning.ckpt").Fit(change(1, Entry{Name: "conv.shift", Shape: []int{2}}), "")
	require.ErrorAs(t, err, &misfit)
	assert.Equal(t, []Absent{{"conv.shift", "state_dict.model.conv.bias"}}, misfit.Missing)
	assert.ErrorContains(t, err, `testdata/lightning.ckpt: its tensors do not fit the network: 1 of 7 missing: `+
		`conv.shift (the nearest name in the file is "state_dict.model.conv.bias"); `+
		`2 in the file but not in the network: state_dict.criterion.weight, state_dict.model.conv.bias`)
	assert.False(t, misfit.Long())

	_, err = open("ddp.pth").Fit(change(0, Entry{Name: "conv.weight", Shape: []int{2, 3, 1, 1, 1}}), "")
	assert.ErrorContains(t, err, "1 of a wrong shape or type: conv.weight has shape [2 1 1 1 1], want [2 3 1 1 1]")
	_, err = open("ddp.pth").Fit(change(2, Entry{Name: "norm.num_batches_tracked"}), "")
	assert.ErrorContains(t, err, `norm.num_batches_tracked has elements of type "torch.LongStorage", want floating point`)
	_, err = open("ddp.pth").Fit(change(2, Entry{Name: "norm.weight", Counter: true}), "")
	assert.ErrorContains(t, err, "norm.weight has shape [2], want a single number")
	_, err = open("odd_tensors.pth").Fit(append(small, Entry{Name: "sparse"}, Entry{Name: "complex"}), "")
	assert.ErrorContains(t, err, `sparse has the unsupported element type or layout "torch._utils._rebuild_sparse_tensor", complex has`)

	// Nothing fits: every name is listed.
	var network []Entry
	for _, e := range small {
		network = append(network, Entry{Name: "encoder.stage." + e.Name + ".x", Shape: e.Shape})
	}
	_, err = open("no_counter.pth").Fit(network, "")
	require.ErrorAs(t, err, &misfit)
	assert.Len(t, misfit.Missing, 7)
	assert.Equal(t, []string{"conv.bias", "conv.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.weight"}, misfit.Extra)
	assert.True(t, misfit.Long())
	for _, e := range network {
		assert.Contains(t, misfit.Listing(), "\n  "+e.Name)
	}
	assert.Contains(t, misfit.Listing(), "6 in the file but not in the network:\n  conv.bias\n")

	// Two names that differ only by a wrapper.
	path := filepath.Join(t.TempDir(), "w")
	one, two := tensor.New(tensor.FromScalar(float32(1))), tensor.New(tensor.FromScalar(float32(2)))
	require.NoError(t, Save(path, map[string]*tensor.Dense{"a": one, "module.a": two}, nil))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Fit([]Entry{{Name: "a"}}, "")
	assert.ErrorContains(t, err, `both "a" and "module.a" stand for the same tensor`)
	require.NoError(t, Save(path, map[string]*tensor.Dense{"n": tensor.New(tensor.FromScalar(math.Inf(1)))}, nil))
	f, err = Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Fit([]Entry{{Name: "n", Counter: true}}, "")
	assert.ErrorContains(t, err, "the counter is +Inf")
}

// TestNothingIsExecuted reads files that would run a command in Python.
func TestNothingIsExecuted(t *testing.T) {
	tensors, _, err := Load("testdata/evil.pth")
	require.NoError(t, err)
	assert.Len(t, tensors, 1)
	assert.NoFileExists(t, "hacked")
	_, err = os.Stat("testdata/hacked")
	assert.ErrorIs(t, err, os.ErrNotExist)
}
