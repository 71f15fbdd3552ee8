package models

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FromMONAI returns the network that a constructor of MONAI makes of its arguments, given as
// in the configuration of a MONAI bundle:
//
//	{"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
//	 "channels": [16, 32, 64], "strides": [2, 2], "num_res_units": 2, "norm": "BATCH"}
//
// The classes are UNet, AttentionUnet, RegUNet, SegResNet and VNet, with or without the
// module in front; arguments that are left out have MONAI's defaults. An argument, or a
// value of one, that this package does not offer gets an error that names it and says what
// is offered.
func FromMONAI(call []byte) (Config, error) {
	a := &monaiCall{}
	if err := json.Unmarshal(call, &a.args); err != nil {
		return Config{}, fmt.Errorf("models: MONAI's constructor: %w", err)
	}
	var target string
	a.get("_target_", &target)
	a.class = target[strings.LastIndexByte(target, '.')+1:]
	build, ok := monaiClasses[a.class]
	if !ok {
		return Config{}, fmt.Errorf("models: MONAI's class %q is not offered, want one of %s under _target_",
			target, strings.Join(slices.Sorted(maps.Keys(monaiClasses)), ", "))
	}
	a.only("spatial_dims", 3, "only volumes are")
	cfg := build(a)
	for _, name := range slices.Sorted(maps.Keys(a.args)) {
		a.fail(name, "is unknown")
	}
	if a.err != nil {
		return Config{}, a.err
	}
	return cfg, nil
}

var monaiClasses = map[string]func(a *monaiCall) Config{
	"UNet": monaiUNet, "AttentionUnet": monaiAttentionUnet, "RegUNet": monaiRegUNet, "SegResNet": monaiSegResNet, "VNet": monaiVNet,
}

func monaiUNet(a *monaiCall) Config {
	u := UNet{Channels: a.ints("channels"), Strides: a.strides()}
	u.Kernel, u.UpKernel = a.kernel("kernel_size"), a.kernel("up_kernel_size")
	a.get("num_res_units", &u.ResUnits)
	u.Activation, u.Norm = a.activation("act", PReLU), a.norm("norm", InstanceNorm)
	a.noDropout("dropout")
	bias, order := true, "NDA"
	a.get("bias", &bias)
	a.get("adn_ordering", &order)
	u.NoBias = !bias
	if u.Order = strings.ReplaceAll(strings.ToUpper(order), "D", ""); u.Order == "" {
		a.fail("adn_ordering", "is %q, want one with N or A", order)
	}
	return Config{Architecture: u, InChannels: a.channels("in_channels", 0), OutChannels: a.channels("out_channels", 0)}
}

func monaiAttentionUnet(a *monaiCall) Config {
	u := AttUNet{Channels: a.ints("channels"), Strides: a.strides()}
	u.Kernel, u.UpKernel = a.kernel("kernel_size"), a.kernel("up_kernel_size")
	a.noDropout("dropout")
	return Config{Architecture: u, InChannels: a.channels("in_channels", 0), OutChannels: a.channels("out_channels", 0)}
}

func monaiRegUNet(a *monaiCall) Config {
	r := RegUNet{Levels: a.ints("extract_levels")}
	a.get("num_channel_initial", &r.Width)
	a.get("depth", &r.Depth)
	if len(r.Levels) == 0 {
		r.Levels = []int{r.Depth}
	}
	if slices.Max(r.Levels) != r.Depth {
		a.fail("extract_levels", "is %v, want the largest to be depth, %d", r.Levels, r.Depth)
	}
	if one := 0; a.args["encode_kernel_sizes"] != nil && json.Unmarshal(a.args["encode_kernel_sizes"], &one) == nil {
		delete(a.args, "encode_kernel_sizes")
		r.Kernels = []int{one}
	} else {
		r.Kernels = a.ints("encode_kernel_sizes")
	}
	pooling, initializer := true, "kaiming_uniform"
	a.get("pooling", &pooling)
	a.get("concat_skip", &r.ConcatSkip)
	a.get("out_kernel_initializer", &initializer)
	r.StridedDown, r.ZeroHead = !pooling, initializer == "zeros"
	if initializer != "zeros" && initializer != "kaiming_uniform" {
		a.fail("out_kernel_initializer", "is %q, want kaiming_uniform or zeros", initializer)
	}
	if r.HeadActivation = a.activation("out_activation", NoActivation); r.HeadActivation == NoActivation {
		r.HeadActivation = ""
	}
	return Config{Architecture: r, InChannels: a.channels("in_channels", 0), OutChannels: a.channels("out_channels", 3)}
}

func monaiSegResNet(a *monaiCall) Config {
	s := NewSegResNet()
	a.get("init_filters", &s.Width)
	a.get("dropout_prob", &s.Dropout)
	a.get("blocks_down", &s.BlocksDown)
	a.get("blocks_up", &s.BlocksUp)
	s.Activation, s.Norm = a.activation("act", ReLU), a.norm("norm", "group:8")
	var deprecated string
	a.get("norm_name", &deprecated)
	groups := 8
	a.get("num_groups", &groups)
	switch strings.ToLower(deprecated) {
	case "":
	case "group":
		s.Norm = Norm(fmt.Sprintf("%s%d", groupNorm, groups))
	default:
		a.fail("norm_name", "is %q, want group or nothing", deprecated)
	}
	a.only("use_conv_final", true, "without its last convolution the network gives features instead of logits, and is")
	mode := "nontrainable"
	a.get("upsample_mode", &mode)
	switch mode {
	case "nontrainable":
	case "deconv":
		s.Deconv = true
	default:
		a.fail("upsample_mode", "is %q, want nontrainable or deconv", mode)
	}
	return Config{Architecture: s, InChannels: a.channels("in_channels", 1), OutChannels: a.channels("out_channels", 2)}
}

func monaiVNet(a *monaiCall) Config {
	v := NewVNetMONAI()
	if bytes.Equal(bytes.TrimSpace(a.args["act"]), []byte(`"prelu"`)) { // this spelling alone
		delete(a.args, "act")
		v.Activation = PReLUPerChannel
	} else {
		v.Activation = a.activation("act", ELU)
	}
	a.get("bias", &v.Bias)
	const half = "other probabilities, which MONAI does not use for all skips, are set by the option Dropout of vnet_monai, for all, and are"
	a.only("dropout_prob", 0.5, half)
	a.only("dropout_prob_down", 0.5, half)
	a.only("dropout_prob_up", []any{0.5, 0.5}, half)
	a.only("dropout_dim", 3, "dropout of single values is")
	return Config{Architecture: v, InChannels: a.channels("in_channels", 1), OutChannels: a.channels("out_channels", 1)}
}

// monaiCall reads the arguments of a constructor. Those that were read are removed.
type monaiCall struct {
	class string
	args  map[string]json.RawMessage
	err   error // the first one
}

func (a *monaiCall) fail(name, format string, values ...any) {
	if a.err == nil {
		a.err = fmt.Errorf("models: MONAI's %s: argument %s %s", a.class, name, fmt.Sprintf(format, values...))
	}
}

// get reads an argument and reports whether it is given. None is as if it were not.
func (a *monaiCall) get(name string, to any) bool {
	raw, ok := a.args[name]
	delete(a.args, name)
	if !ok || string(raw) == "null" {
		return false
	}
	if err := json.Unmarshal(raw, to); err != nil {
		a.fail(name, "is %s: %v", raw, err)
	}
	return true
}

// only reads an argument of which a single value is offered. why says what is not.
func (a *monaiCall) only(name string, want any, why string) {
	raw := a.args[name]
	var got any
	if !a.get(name, &got) {
		return
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		a.fail(name, "has no default: %v", err)
	}
	if given, err := json.Marshal(got); err != nil || !bytes.Equal(given, wanted) {
		a.fail(name, "is %s, want %s: %s not offered", raw, wanted, why)
	}
}

// noDropout refuses a probability above 0.
func (a *monaiCall) noDropout(name string) {
	a.only(name, 0, "dropout of single values is")
}

// channels reads a number of channels. Without a default it has to be given.
func (a *monaiCall) channels(name string, otherwise int) int {
	n := otherwise
	if !a.get(name, &n) && otherwise == 0 {
		a.fail(name, "is missing")
	}
	if n < 1 {
		a.fail(name, "is %d, want at least 1", n)
	}
	return n
}

func (a *monaiCall) ints(name string) []int {
	var list []int
	a.get(name, &list)
	return list
}

// strides reads one number or one per axis for each level.
func (a *monaiCall) strides() [][3]int {
	var levels []json.RawMessage
	a.get("strides", &levels)
	strides := make([][3]int, len(levels))
	for i, raw := range levels {
		strides[i] = a.triple("strides", raw)
	}
	return strides
}

// kernel reads a kernel size, one number or one per axis.
func (a *monaiCall) kernel(name string) [3]int {
	var raw json.RawMessage
	if !a.get(name, &raw) {
		return [3]int{}
	}
	return a.triple(name, raw)
}

func (a *monaiCall) triple(name string, raw json.RawMessage) [3]int {
	var one int
	if json.Unmarshal(raw, &one) == nil {
		return cube(one)
	}
	var list []int
	if json.Unmarshal(raw, &list) != nil || len(list) != 3 {
		a.fail(name, "has %s, want a number or one for each of 3 axes", raw)
		return [3]int{}
	}
	return [3]int(list)
}

// named reads a layer: its name, or a list of its name and its own arguments.
func (a *monaiCall) named(argument string) (name string, args map[string]any, given bool) {
	raw, ok := a.args[argument]
	if !ok {
		return "", nil, false
	}
	delete(a.args, argument)
	if string(raw) == "null" {
		return "", nil, true
	}
	if json.Unmarshal(raw, &name) == nil {
		return strings.ToUpper(name), nil, true
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) != 2 || json.Unmarshal(list[0], &name) != nil || json.Unmarshal(list[1], &args) != nil {
		a.fail(argument, "is %s, want a name or a list of a name and its arguments", raw)
	}
	return strings.ToUpper(name), args, true
}

// number takes an argument of a layer; def is its default.
func (a *monaiCall) number(argument string, args map[string]any, name string, def float64) float64 {
	v, ok := args[name]
	delete(args, name)
	if !ok {
		return def
	}
	n, ok := v.(float64)
	if !ok {
		a.fail(argument, "has the setting %s = %v, want a number", name, v)
	}
	return n
}

// rest refuses the arguments of a layer other than the given ones.
func (a *monaiCall) rest(argument string, args, defaults map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if want, ok := defaults[name]; !ok {
			a.fail(argument, "has the setting %s, which is not offered", name)
		} else if want != nil && args[name] != want {
			a.fail(argument, "has the setting %s = %v, want %v", name, args[name], want)
		}
	}
}

// activation reads an activation.
func (a *monaiCall) activation(argument string, otherwise Activation) Activation {
	name, args, given := a.named(argument)
	if !given {
		return otherwise
	}
	anything := map[string]any{"inplace": nil}
	var act Activation
	switch name {
	case "":
		return NoActivation
	case "RELU":
		act = ReLU
	case "ELU":
		act = Activation(fmt.Sprintf("%s:%v", ELU, a.number(argument, args, "alpha", 1)))
	case "LEAKYRELU":
		act = Activation(fmt.Sprintf("%s:%v", LeakyReLU, a.number(argument, args, "negative_slope", 0.01)))
	case "PRELU":
		act, anything = PReLU, map[string]any{"num_parameters": 1.0, "init": 0.25}
	case "SIGMOID":
		act, anything = Sigmoid, nil
	default:
		a.fail(argument, "is %q, want RELU, ELU, LEAKYRELU, PRELU or SIGMOID", name)
	}
	a.rest(argument, args, anything)
	return act
}

// norm reads a norm.
func (a *monaiCall) norm(argument string, otherwise Norm) Norm {
	name, args, given := a.named(argument)
	if !given {
		return otherwise
	}
	defaults := map[string]any{"eps": 1e-5}
	var norm Norm
	switch name {
	case "":
		return NoNorm
	case "BATCH", "SYNCBATCH":
		norm = BatchNorm
		maps.Copy(defaults, map[string]any{"momentum": 0.1, "affine": true, "track_running_stats": true})
	case "INSTANCE":
		norm = InstanceNorm
		if args["affine"] == true {
			norm = InstanceNormAffine
		}
		maps.Copy(defaults, map[string]any{"momentum": nil, "affine": nil, "track_running_stats": false})
	case "GROUP":
		norm = Norm(fmt.Sprintf("%s%v", groupNorm, a.number(argument, args, "num_groups", 0)))
		defaults["affine"] = true
	default:
		a.fail(argument, "is %q, want BATCH, SYNCBATCH, INSTANCE or GROUP", name)
	}
	a.rest(argument, args, defaults)
	return norm
}
