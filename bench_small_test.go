package afl_test

import (
	"testing"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

func BenchmarkSmallLesion(b *testing.B) {
	shape := []int{1, 2, 160, 128, 24}
	logits := losstest.RandomLogits(tensor.Float32, shape, 1)
	label := make([]uint8, 160*128*24)
	for k := range 50 {
		z, y, x := 5+(k*37)%150, 5+(k*53)%115, 4+(k*7)%15
		for d := range 27 {
			label[(z+d/9)*128*24+(y+d/3%3)*24+x+d%3] = 1
		}
	}
	target := tensor.New(tensor.WithShape(1, 160, 128, 24), tensor.WithBacking(label))
	grad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	for _, name := range append([]string{"ce", "dice-ce", "focal-tversky"}, afl.SmallLesionNames()...) {
		l, _ := afl.ByName(name)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := afl.GradInto(l, logits, target, grad); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	dice := afl.NewDice()
	dice.SquaredPred = false
	l := afl.NewCompound(afl.NewBinaryCrossEntropy(), dice)
	b.Run("inner of blob", func(b *testing.B) {
		for b.Loop() {
			if _, err := afl.GradInto(l, logits, target, grad); err != nil {
				b.Fatal(err)
			}
		}
	})
}
