package afl

import (
	"slices"
	"strings"

	"github.com/x/afl/internal/plan"
)

// entry is a loss that can be asked for by name.
type entry struct {
	name  string
	title string // as the paper's tables print it
	make  func() Loss
}

// The losses of the paper's first table come first, in its order.
var registry = []entry{
	{"tversky", "Tversky", func() Loss { return NewTversky() }},
	{"ce", "CE", func() Loss { return NewCrossEntropy() }},
	{"iou", "IoU", func() Loss { return NewIoU() }},
	{"dice", "Dice", func() Loss { return NewDice() }},
	{"dice-ce", "Dice CE", func() Loss { return NewDiceCE() }},
	{"dice-focal", "DiceFocal", func() Loss { return NewDiceFocal() }},
	{"fl", "FL", func() Loss { return NewFocal() }},
	{"afl", "A-FL", func() Loss { return NewAdaptiveFocal() }},
	{"afl-paper", "A-FL (paper)", func() Loss { return NewAdaptiveFocalPaper() }},
	{"afl-balanced", "A-FL (balanced)", func() Loss {
		l := NewAdaptiveFocalPaper()
		l.AlphaMode = AlphaBalanced
		return l
	}},
	{"afl-multiclass", "A-FL (multiclass)", func() Loss { return NewAdaptiveFocalMulticlass() }},
	{"bce", "BCE", func() Loss { return NewBinaryCrossEntropy() }},
	{"generalized-dice", "Generalized Dice", func() Loss { return NewGeneralizedDice() }},
	{"focal-tversky", "Focal Tversky", func() Loss { return NewFocalTversky() }},
}

const paperLosses = 8

// ByName returns a new loss with the settings of its constructor. Names are
// "tversky", "ce", "iou", "dice", "dice-ce", "dice-focal", "fl", "afl" (the rows
// of the paper's first table), "afl-paper", "afl-balanced", "afl-multiclass",
// "bce", "generalized-dice" and "focal-tversky".
func ByName(name string) (Loss, error) {
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	return e.make(), nil
}

// Title returns the name that the paper's tables print for the loss that
// [ByName] knows by name.
func Title(name string) (string, error) {
	e, err := find(name)
	return e.title, err
}

func find(name string) (entry, error) {
	for _, e := range registry {
		if e.name == name {
			return e, nil
		}
	}
	return entry{}, plan.Refuse("name of the loss", `"`+name+`"`, "one of %s", strings.Join(Names(), ", "))
}

// Names returns all names that [ByName] knows, those of [PaperNames] first.
func Names() []string {
	names := make([]string, len(registry))
	for i, e := range registry {
		names[i] = e.name
	}
	return names
}

// PaperNames returns the names of the losses of the paper's first table, in its
// order.
func PaperNames() []string { return slices.Clone(Names()[:paperLosses]) }
