package losstest

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// refusals: an element that a tensor must not hold gives an error that names the
// first of them, what it was and what was expected, in the same words on every
// backend, from every loss; and the next call is none the worse.
func (s suite) refusals(t *testing.T) {
	shape := []int{2, 3, 4, 5}
	target := RandomLabels(shape, 3, 1)
	with := func(v uint8, at ...int) *tensor.Dense {
		bad := target.Clone().(*tensor.Dense)
		for _, i := range at {
			bad.Data().([]uint8)[i] = v
		}
		return bad
	}
	label := func(backing any) *tensor.Dense {
		return tensor.New(tensor.WithShape(PerVoxel(shape)...), tensor.WithBacking(backing))
	}
	soft := func(dt tensor.Dtype, v float64, at ...int) *tensor.Dense {
		maps := Floats(dt, shape, func(int) float64 { return 0.5 })
		for _, i := range at {
			if dt == tensor.Float32 {
				maps.Data().([]float32)[i] = float32(v)
			} else {
				maps.Data().([]float64)[i] = v
			}
		}
		return maps
	}
	weight := func(dt tensor.Dtype, v float64, from int) *tensor.Dense {
		return Floats(dt, PerVoxel(shape), func(i int) float64 {
			if i < from {
				return 1
			}
			return v
		})
	}
	const class = "a class index from 0 to 2"
	cases := map[string]struct {
		target, weight      *tensor.Dense
		ignore              afl.IgnoreIndex
		argument, got, want string
	}{
		"label out of range":    {target: with(3, 27), argument: "target at sample 1, voxel 7", got: "3", want: class},
		"several of them":       {target: with(9, 38, 13, 14), argument: "target at sample 0, voxel 13", got: "9", want: class},
		"the very last":         {target: with(255, 39), argument: "target at sample 1, voxel 19", got: "255", want: class},
		"not the ignored":       {target: with(254, 0), ignore: afl.Ignore(255), argument: "target at sample 0, voxel 0", got: "254", want: class + ", or the ignored 255"},
		"ignored is negative":   {target: with(255, 1), ignore: afl.Ignore(-100), argument: "target at sample 0, voxel 1", got: "255", want: class + ", or the ignored -100"},
		"negative label":        {target: label(append(make([]int8, 39), -1)), argument: "target at sample 1, voxel 19", got: "-1", want: class},
		"negative int64":        {target: label(append(make([]int64, 39), math.MinInt64)), argument: "target at sample 1, voxel 19", got: "-9223372036854775808", want: class},
		"large uint32":          {target: label(append(make([]uint32, 39), math.MaxUint32)), argument: "target at sample 1, voxel 19", got: "4294967295", want: class},
		"label of 256 times 1":  {target: label(append(make([]int16, 39), 256)), argument: "target at sample 1, voxel 19", got: "256", want: class},
		"label of 2³² times 1":  {target: label(append(make([]int64, 39), 1<<32)), argument: "target at sample 1, voxel 19", got: "4294967296", want: class},
		"label between classes": {target: Floats(tensor.Float32, PerVoxel(shape), func(int) float64 { return 0.5 }), argument: "target at sample 0, voxel 0", got: "0.5", want: class},
		"float label NaN":       {target: label(append(make([]float32, 39), float32(math.NaN()))), argument: "target at sample 1, voxel 19", got: "NaN", want: class},
		"float label too large": {target: label(append(make([]float64, 39), 3)), argument: "target at sample 1, voxel 19", got: "3", want: class},
		"map above 1":           {target: Floats(tensor.Float32, shape, func(int) float64 { return 1.5 }), argument: "target at sample 0, channel 0, voxel 0", got: "1.5", want: "a value in [0,1]"},
		"map below 0":           {target: soft(tensor.Float64, -0.25, 119, 118), argument: "target at sample 1, channel 2, voxel 18", got: "-0.25", want: "a value in [0,1]"},
		"map NaN":               {target: soft(tensor.Float32, math.NaN(), 25), argument: "target at sample 0, channel 1, voxel 5", got: "NaN", want: "a value in [0,1]"},
		"weight negative":       {target: target, weight: weight(tensor.Float64, -1, 0), argument: "voxel weight at sample 0, voxel 0", got: "-1", want: "a finite number of at least 0"},
		"weight NaN":            {target: target, weight: weight(tensor.Float32, math.NaN(), 21), argument: "voxel weight at sample 1, voxel 1", got: "NaN", want: "a finite number of at least 0"},
		"weight infinite":       {target: target, weight: weight(tensor.Float64, math.Inf(1), 39), argument: "voxel weight at sample 1, voxel 19", got: "+Inf", want: "a finite number of at least 0"},
	}
	losses := map[string]afl.Loss{}
	for _, name := range []string{"ce", "fl", "afl-multiclass", "dice", "generalized-dice", "tversky", "focal-tversky", "dice-ce", "dice-focal", "bce"} {
		losses[name] = named(t, name)
	}
	weighted := afl.NewCrossEntropy()
	weighted.Weight = classWeights(3) // its mean asks for statistics of the label
	losses["weighted ce"] = weighted
	elements := afl.NewFocal()
	elements.Reduction = afl.ReduceNone
	losses["focal elements"] = elements
	groups := afl.NewDice()
	groups.Reduction = afl.ReduceNone
	losses["Dice groups"] = groups
	good := map[string][]float64{}
	cover := s.cover()
	for what, l := range losses {
		good[what] = Numbers(t, s.elements(t, what, l, Call{Logits: RandomLogits(tensor.Float32, shape, 1), Target: target}))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for what, l := range losses {
				for i, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
					for _, wantGrad := range []bool{false, true} {
						if !cover.needs(name+dt.String(), what+dt.String(), name+what) {
							continue
						}
						logits := RandomLogits(dt, shape, 1)
						refusing := setOptions(l, func(o *afl.Options) { o.IgnoreIndex = c.ignore })
						_, _, err := s.Eval(t, refusing, Call{Logits: logits, Target: c.target, VoxelWeight: c.weight, WantGrad: wantGrad})
						var refused *afl.ArgumentError
						require.True(t, errors.As(err, &refused), "%s: error %v", what, err)
						assert.Equal(t, afl.ArgumentError{Argument: c.argument, Got: c.got, Want: c.want}, *refused, what)
						if i == 0 {
							got := Numbers(t, s.elements(t, what, l, Call{Logits: logits, Target: target}))
							assert.Equal(t, good[what], got, "%s: after a refusal", what)
						}
					}
				}
			}
		})
	}
	_, err := s.StatsOf(t, tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int8{0, 1, -1, 0})))
	assert.ErrorContains(t, err, "label at sample 0, voxel 2 is -1")
	_, err = s.Parameters(t, afl.NewAdaptiveFocalMulticlass(), RandomLogits(tensor.Float32, shape, 1), with(3, 27))
	assert.ErrorContains(t, err, "target at sample 1, voxel 7 is 3, want "+class)
}
