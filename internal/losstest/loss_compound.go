package losstest

import (
	"fmt"
	"reflect"

	"github.com/x/afl"
)

// Every pair of terms that a compound takes.
var (
	_ = registerCompound(afl.NewCrossEntropy(), afl.NewDice(), afl.NewDiceCE())
	_ = registerCompound(afl.NewCrossEntropy(), afl.NewGeneralizedDice())
	_ = registerCompound(afl.NewCrossEntropy(), afl.NewTversky())
	_ = registerCompound(afl.NewCrossEntropy(), afl.NewFocalTversky())
	_ = registerCompound(afl.NewFocal(), afl.NewDice(), afl.NewDiceFocal())
	_ = registerCompound(afl.NewFocal(), afl.NewGeneralizedDice())
	_ = registerCompound(afl.NewFocal(), afl.NewTversky())
	_ = registerCompound(afl.NewFocal(), afl.NewFocalTversky())
	_ = registerCompound(afl.NewAdaptiveFocal(), afl.NewDice(), afl.NewDiceAdaptiveFocal())
	_ = registerCompound(afl.NewAdaptiveFocal(), afl.NewGeneralizedDice())
	_ = registerCompound(afl.NewAdaptiveFocal(), afl.NewTversky())
	_ = registerCompound(afl.NewAdaptiveFocal(), afl.NewFocalTversky())
)

// registerCompound registers the compound of two types of losses. constructed are
// those that have a constructor of their own.
func registerCompound[P afl.PointwiseLoss, O afl.OverlapLoss](p P, o O, constructed ...afl.Compound[P, O]) struct{} {
	d := descriptor{pointwise: true, golden: goldenCompounds[reflect.TypeFor[afl.Compound[P, O]]()]}
	switch any(p).(type) {
	case afl.AdaptiveFocal:
		d.labelStatistics = true
	case afl.CrossEntropy:
		softmax := func(l afl.Loss) bool {
			return any(l.(afl.Compound[P, O]).Pointwise).(afl.CrossEntropy).Activation != afl.Sigmoid
		}
		d.withoutElements = softmax
		d.meanOfNothingIsNaN = func(l afl.Loss) bool { return softmax(l) && l.(afl.Compound[P, O]).LambdaPointwise != 0 }
	}
	if _, ok := any(o).(afl.GeneralizedDice); ok {
		d.withoutElements = func(afl.Loss) bool { return true }
	}
	channels := []int(nil)
	if d.labelStatistics {
		channels = []int{2} // the released form
	}
	d.variants = func(add adder) {
		for _, l := range constructed {
			add(fmt.Sprintf("compound/%T+%T/constructed", p, o), l, channels...)
		}
		l := afl.NewCompound(p, o)
		add(fmt.Sprintf("compound/%T+%T", p, o), l, channels...)
		l.LambdaPointwise, l.LambdaOverlap = 1.7, 0.4
		// Both terms by softmax, of which one channel is read as a sigmoid.
		if f, ok := any(&l.Pointwise).(*afl.AdaptiveFocal); ok {
			f.Form = afl.FormMulticlass
		}
		setActivation(&l.Pointwise, afl.Softmax)
		setActivation(&l.Overlap, afl.Softmax)
		add(fmt.Sprintf("compound/%T+%T/softmax", p, o), l)
	}
	d.compared = func(add adder) {
		for _, lambda := range [][2]float64{{0, 1.5}, {1.5, 0}} {
			l := afl.NewCompound(p, o)
			l.LambdaPointwise, l.LambdaOverlap = lambda[0], lambda[1]
			add(fmt.Sprintf("compound/%T+%T/lambda=%v", p, o, lambda), l, channels...)
		}
		// Terms of different activations.
		l := afl.NewCompound(p, o)
		setActivation(&l.Pointwise, afl.Sigmoid)
		setActivation(&l.Overlap, afl.SoftmaxMONAI)
		add(fmt.Sprintf("compound/%T+%T/mixed", p, o), l, channels...)
		if d.labelStatistics {
			return
		}
		setActivation(&l.Pointwise, afl.SoftmaxMONAI)
		for _, a := range []afl.Activation{afl.Sigmoid, afl.Identity} {
			setActivation(&l.Overlap, a)
			add(fmt.Sprintf("compound/%T+%T/softmax+%v", p, o, a), l)
		}
		setField(&l.Overlap, "Batch", true)
		add(fmt.Sprintf("compound/%T+%T/batch", p, o), l)
	}
	return register(d, func(r *definition, l afl.Compound[P, O]) float64 {
		if r.c == 1 {
			for _, term := range []any{&l.Pointwise, &l.Overlap} {
				if field(term, "Activation").Interface() == any(afl.Softmax) {
					setActivation(term, afl.Sigmoid)
				}
			}
		}
		return l.LambdaPointwise*r.value(l.Pointwise) + l.LambdaOverlap*r.value(l.Overlap)
	})
}

// field returns a field of the struct that a pointer points to.
func field(pointer any, name string) reflect.Value {
	return reflect.ValueOf(pointer).Elem().FieldByName(name)
}

func setField(pointer any, name string, value any) { field(pointer, name).Set(reflect.ValueOf(value)) }

func setActivation(pointer any, a afl.Activation) { setField(pointer, "Activation", a) }

var goldenCompounds = map[reflect.Type]map[string]func(o goldenOptions, c int) afl.Loss{
	reflect.TypeFor[afl.Compound[afl.CrossEntropy, afl.Dice]](): {
		"dice_ce": func(o goldenOptions, c int) afl.Loss {
			dice := goldenDice(*o.Dice)
			dice.Weight = o.Weight // of all channels
			if first := 1; dice.ExcludeBackground && c > 1 && len(o.Weight) > 1 {
				dice.Weight = o.Weight[first:]
			}
			ce := goldenCrossEntropy(*o.CE)
			ce.Options = dice.Options
			ce.Weight, ce.ExcludeBackground, ce.SingleChannelWeight = o.Weight, false, true
			if c == 1 {
				ce.Activation, ce.Weight, ce.PosWeight = afl.Sigmoid, nil, o.Weight
			}
			l := afl.NewCompound(ce, dice)
			l.LambdaPointwise, l.LambdaOverlap = o.LambdaCE, o.LambdaDice
			return l
		},
	},
	reflect.TypeFor[afl.Compound[afl.Focal, afl.Dice]](): {
		"dice_focal": func(o goldenOptions, c int) afl.Loss {
			dice := goldenDice(*o.Dice)
			dice.Weight = o.Weight
			focal := goldenFocal(*o.Focal, c)
			focal.Options = dice.Options
			focal.SingleChannelWeight = true
			l := afl.NewCompound(focal, dice)
			l.LambdaPointwise, l.LambdaOverlap = o.LambdaFocal, o.LambdaDice
			return l
		},
	},
}
