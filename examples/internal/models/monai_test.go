package models_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// TestMONAI compares networks with those that MONAI's constructors make of the same
// arguments: the names and shapes of their state, and their logits. testdata/make.py wrote
// the reference.
func TestMONAI(t *testing.T) {
	raw, err := os.ReadFile("testdata/monai.json")
	require.NoError(t, err)
	var cases []struct {
		Call   json.RawMessage
		Size   [3]int
		Shape  []int
		Norm   float64
		At     []int
		Values []float64
		State  string
	}
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.Len(t, cases, 22)
	for seed, c := range cases {
		t.Run(fmt.Sprintf("%d", seed), func(t *testing.T) {
			cfg, err := models.FromMONAI(c.Call)
			require.NoError(t, err, "%s", c.Call)
			if _, ok := cfg.Architecture.(models.VNet); ok && testing.Short() {
				t.Skip("slow with 45 million parameters")
			}
			b := newBackend(t, nn.Float64)
			net, err := models.NewUninitialized(cfg, b, 1)
			require.NoError(t, err, "%s", c.Call)

			state := nntest.HashState(net, uint64(seed))
			var listing strings.Builder
			for _, name := range slices.Sorted(maps.Keys(state)) {
				shape := fmt.Sprint([]int(state[name].Shape()))
				fmt.Fprintf(&listing, "%s %s\n", name, shape)
			}
			sum := sha256.Sum256([]byte(listing.String()))
			require.Equal(t, c.State, hex.EncodeToString(sum[:]), "%s: names and shapes:\n%s", c.Call, listing.String())

			require.NoError(t, nn.LoadStateDict(b, net, state))
			n := cfg.InChannels * c.Size[0] * c.Size[1] * c.Size[2]
			values := nntest.HashValues("x", n, uint64(seed))
			for i, v := range values {
				values[i] = float64(float32(v))
			}
			x, err := b.FromHost(tensor.New(tensor.WithShape(1, cfg.InChannels, c.Size[0], c.Size[1], c.Size[2]), tensor.WithBacking(values)), nn.Step)
			require.NoError(t, err)
			tape := nn.NewTape(b, nn.Inference, 0)
			y, err := net.Forward(tape, tape.Input(x))
			require.NoError(t, err)
			require.Equal(t, c.Shape, y.Shape())
			logits := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(c.Shape...))
			require.NoError(t, b.ToHost(y.Array(), logits))
			got, square := logits.Data().([]float64), 0.0
			for _, v := range got {
				square += v * v
			}
			require.InEpsilon(t, c.Norm, math.Sqrt(square), 1e-11, "%s", c.Call)
			for i, at := range c.At {
				require.InDelta(t, c.Values[i], got[at], 1e-11*c.Norm, "%s: logit %d", c.Call, at)
			}
		})
	}
}

// TestMONAIRefuses checks that what is not offered is named.
func TestMONAIRefuses(t *testing.T) {
	const (
		unet = `"_target_":"monai.networks.nets.UNet","in_channels":1,"out_channels":2,"channels":[4,8],"strides":[2]`
		att  = `"_target_":"AttentionUnet","in_channels":1,"out_channels":2,"channels":[4,8],"strides":[2]`
		reg  = `"_target_":"RegUNet","spatial_dims":3,"in_channels":1,"num_channel_initial":4,"depth":2`
		seg  = `"_target_":"SegResNet"`
		vnet = `"_target_":"VNet"`
	)
	for want, call := range map[string]string{
		`MONAI's class "monai.networks.nets.DynUNet" is not offered, want one of AttentionUnet, RegUNet, SegResNet, UNet, VNet`: `"_target_":"monai.networks.nets.DynUNet"`,
		`MONAI's class "" is not offered`:                                      `"in_channels":1`,
		"MONAI's UNet: argument spatial_dims is 2, want 3":                     unet + `,"spatial_dims":2`,
		"MONAI's UNet: argument dimensions is unknown":                         unet + `,"dimensions":3`,
		"argument in_channels is missing":                                      `"_target_":"UNet","out_channels":2`,
		"argument out_channels is 0, want at least 1":                          `"_target_":"UNet","in_channels":1,"out_channels":0`,
		"argument dropout is 0.1, want 0: dropout of single values is not":     unet + `,"dropout":0.1`,
		`argument act is "GELU", want RELU, ELU, LEAKYRELU, PRELU or SIGMOID`:  unet + `,"act":"gelu"`,
		"argument act has the setting init = 0.1, want 0.25":                   unet + `,"act":["PRELU",{"init":0.1}]`,
		"argument act has the setting num_parameters = 4, want 1":              unet + `,"act":["PRELU",{"num_parameters":4}]`,
		"argument act has the setting beta, which is not offered":              unet + `,"act":["RELU",{"beta":4}]`,
		`argument act has the setting alpha = x, want a number`:                unet + `,"act":["ELU",{"alpha":"x"}]`,
		"argument act is [1,2], want a name or a list":                         unet + `,"act":[1,2]`,
		`argument norm is "LAYER", want BATCH, SYNCBATCH, INSTANCE or GROUP`:   unet + `,"norm":"layer"`,
		"argument norm has the setting eps = 0.001, want 1e-05":                unet + `,"norm":["BATCH",{"eps":0.001}]`,
		"argument norm has the setting track_running_stats = true, want false": unet + `,"norm":["INSTANCE",{"track_running_stats":true}]`,
		"argument norm has the setting affine = false, want true":              unet + `,"norm":["GROUP",{"num_groups":2,"affine":false}]`,
		"argument adn_ordering is \"D\", want one with N or A":                 unet + `,"adn_ordering":"D"`,
		"argument kernel_size has [3,3], want a number or one for each of 3":   unet + `,"kernel_size":[3,3]`,
		"argument strides has \"2\", want a number":                            `"_target_":"UNet","in_channels":1,"out_channels":2,"channels":[4,8],"strides":["2"]`,
		"argument channels is 4: json":                                         `"_target_":"UNet","in_channels":1,"out_channels":2,"channels":4,"strides":[2]`,
		"MONAI's AttentionUnet: argument dropout is 0.5":                       att + `,"dropout":0.5`,
		"argument extract_levels is [0], want the largest to be depth, 2":      reg + `,"extract_levels":[0]`,
		`argument out_kernel_initializer is "ones", want kaiming_uniform`:      reg + `,"out_kernel_initializer":"ones"`,
		"argument use_conv_final is false, want true":                          seg + `,"use_conv_final":false`,
		`argument upsample_mode is "pixelshuffle", want nontrainable or decon`: seg + `,"upsample_mode":"pixelshuffle"`,
		`argument norm_name is "batch", want group or nothing`:                 seg + `,"norm_name":"batch"`,
		"argument dropout_prob_down is 0.2, want 0.5":                          vnet + `,"dropout_prob_down":0.2`,
		"argument dropout_prob_up is [0.5,0.1], want [0.5,0.5]":                vnet + `,"dropout_prob_up":[0.5,0.1]`,
		"argument dropout_dim is 1, want 3: dropout of single values is not":   vnet + `,"dropout_dim":1`,
	} {
		_, err := models.FromMONAI([]byte("{" + call + "}"))
		assert.ErrorContains(t, err, want)
	}
	_, err := models.FromMONAI([]byte("[]"))
	assert.ErrorContains(t, err, "MONAI's constructor")

	// What the constructor of the network refuses.
	for want, call := range map[string]string{
		"setting Kernel is [2 2 2], want odd numbers":             unet + `,"kernel_size":2`,
		"setting UpKernel is [4 4 4]":                             att + `,"up_kernel_size":4`,
		`setting Norm is "group:3", want a number of groups`:      unet + `,"norm":["GROUP",{"num_groups":3}]`,
		`setting Norm is "group:2.5", want batch`:                 unet + `,"norm":["GROUP",{"num_groups":2.5}]`,
		`setting Order is "AANN", want NA, AN, N or A`:            unet + `,"adn_ordering":"AANN"`,
		"setting Kernels has 2 entries, want 3":                   reg + `,"encode_kernel_sizes":[3,3]`,
		"setting Kernels[0] is 4, want an odd number":             reg + `,"encode_kernel_sizes":4`,
		`setting Activation is "prelu", want one without`:         seg + `,"act":"PRELU"`,
		`segresnet: setting Norm is "group:16", want a number of`: seg + `,"norm":["GROUP",{"num_groups":16}]`,
		"setting ResUnits is -1, want at least 0":                 unet + `,"num_res_units":-1`,
	} {
		cfg, err := models.FromMONAI([]byte("{" + call + "}"))
		require.NoError(t, err, want)
		_, err = models.New(cfg, newBackend(t, nn.Float32), 1)
		assert.ErrorContains(t, err, want)
	}
}

// TestMONAIOptions gives MONAI's arguments in place of options.
func TestMONAIOptions(t *testing.T) {
	var cfg models.Config
	require.NoError(t, json.Unmarshal([]byte(`{"network":"regunet","options":{"_target_":"RegUNet","spatial_dims":3,"in_channels":4,
		"num_channel_initial":8,"depth":2,"out_channels":2,"extract_levels":[0,2],"out_kernel_initializer":"zeros"}}`), &cfg))
	assert.Equal(t, models.Config{Architecture: models.RegUNet{Width: 8, Depth: 2, Levels: []int{0, 2}, ZeroHead: true}, InChannels: 4, OutChannels: 2}, cfg)
	raw, err := json.Marshal(cfg)
	require.NoError(t, err)
	var again models.Config
	require.NoError(t, json.Unmarshal(raw, &again))
	assert.Equal(t, cfg, again)

	b := newBackend(t, nn.Float64)
	net, err := models.New(cfg, b, 1)
	require.NoError(t, err)
	state, err := nn.StateDict(b, net)
	require.NoError(t, err)
	for _, name := range []string{"output_block.layers.0.conv.weight", "output_block.layers.1.conv.weight"} {
		assert.Equal(t, make([]float64, state[name].Shape().TotalSize()), state[name].Data(), name)
	}

	assert.ErrorContains(t, json.Unmarshal([]byte(`{"network":"unet","options":{"_target_":"SegResNet"}}`), &cfg), "the options of unet are those of segresnet")
	assert.ErrorContains(t, json.Unmarshal([]byte(`{"network":"unet","options":{"_target_":"UNETR"}}`), &cfg), `class "UNETR" is not offered`)
}

// TestUnknownActivations checks the settings that are not MONAI's.
func TestUnknownActivations(t *testing.T) {
	b := newBackend(t, nn.Float32)
	for _, bad := range []models.Activation{"gelu", "elu:", "elu:x", "elu:NaN", "leaky_relu:+Inf", "relu:1", "none:"} {
		u := models.NewUNet()
		u.Activation = bad
		_, err := models.New(models.Config{Architecture: u, InChannels: 1}, b, 1)
		assert.ErrorContains(t, err, fmt.Sprintf("setting Activation is %q, want relu, elu, elu:0.5 (any α)", bad))
	}
	v := models.NewVNet()
	v.Activation = models.PReLU
	_, err := models.New(models.Config{Architecture: v, InChannels: 1}, b, 1)
	assert.ErrorContains(t, err, `vnet_authors: setting Activation is "prelu", want one without parameters`)
}
