package afl

import (
	"math"
	"slices"
	"strings"

	"github.com/x/afl/internal/editdistance"
)

// entry describes a loss that can be asked for by name.
type entry struct {
	name        string
	aliases     []string
	title       string // as the paper's tables print it
	constructor string
	summary     string // of the README's table
	make        func() Loss
}

// registry lists every loss, those of the paper's first table first, in its order.
var registry = []entry{
	{
		name: "tversky", title: "Tversky", constructor: "NewTversky",
		summary: "false positives weighted by α, false negatives by β",
		make:    func() Loss { return NewTversky() },
	},
	{
		name: "ce", aliases: []string{"cross-entropy"}, title: "CE", constructor: "NewCrossEntropy",
		summary: "softmax cross-entropy; label smoothing",
		make:    func() Loss { return NewCrossEntropy() },
	},
	{
		name: "iou", aliases: []string{"jaccard"}, title: "IoU", constructor: "NewIoU",
		summary: "Jaccard index",
		make:    func() Loss { return NewIoU() },
	},
	{
		name: "dice", title: "Dice", constructor: "NewDice",
		summary: "overlap by sample or batch, squared or plain",
		make:    func() Loss { return NewDice() },
	},
	{
		name: "dice-ce", aliases: []string{"dice-cross-entropy"}, title: "Dice CE", constructor: "NewDiceCE",
		summary: "Dice + cross-entropy with softmax",
		make:    func() Loss { return NewDiceCE() },
	},
	{
		name: "dice-focal", title: "DiceFocal", constructor: "NewDiceFocal",
		summary: "Dice + focal with sigmoid",
		make:    func() Loss { return NewDiceFocal() },
	},
	{
		name: "fl", aliases: []string{"focal"}, title: "FL", constructor: "NewFocal",
		summary: "γ and α for all classes or each, sigmoid or softmax",
		make:    func() Loss { return NewFocal() },
	},
	{
		name: "afl", aliases: []string{"adaptive-focal"}, title: "A-FL", constructor: "NewAdaptiveFocal",
		summary: "A-FL as its authors released it",
		make:    func() Loss { return NewAdaptiveFocal() },
	},
	{
		name: "afl-paper", aliases: []string{"adaptive-focal-paper"}, title: "A-FL (paper)", constructor: "NewAdaptiveFocalPaper",
		summary: "A-FL by the paper's formula",
		make:    func() Loss { return NewAdaptiveFocalPaper() },
	},
	{
		name: "afl-balanced", aliases: []string{"adaptive-focal-balanced"}, title: "A-FL (balanced)", constructor: "NewAdaptiveFocalBalanced",
		summary: "A-FL with α balancing tumor and background",
		make:    func() Loss { return NewAdaptiveFocalBalanced() },
	},
	{
		name: "afl-multiclass", aliases: []string{"adaptive-focal-multiclass"}, title: "A-FL (multiclass)", constructor: "NewAdaptiveFocalMulticlass",
		summary: "a γ and an α for every class, with softmax",
		make:    func() Loss { return NewAdaptiveFocalMulticlass() },
	},
	{
		name: "dice-afl", aliases: []string{"afl-dice", "dice-adaptive-focal"}, title: "Dice + A-FL", constructor: "NewDiceAdaptiveFocal",
		summary: "Dice + A-FL with sigmoid",
		make:    func() Loss { return NewDiceAdaptiveFocal() },
	},
	{
		name: "bce", aliases: []string{"binary-cross-entropy"}, title: "BCE", constructor: "NewBinaryCrossEntropy",
		summary: "cross-entropy of every channel with sigmoid",
		make:    func() Loss { return NewBinaryCrossEntropy() },
	},
	{
		name: "generalized-dice", aliases: []string{"gdl"}, title: "Generalized Dice", constructor: "NewGeneralizedDice",
		summary: "classes weighted by 1/volume²",
		make:    func() Loss { return NewGeneralizedDice() },
	},
	{
		name: "focal-tversky", title: "Focal Tversky", constructor: "NewFocalTversky",
		summary: "Tversky to the power of γ",
		make:    func() Loss { return NewFocalTversky() },
	},
}

const paperLosses = 8

// ByName returns a new loss with the settings of its constructor. [Names] lists
// the names. Other common ones, such as "focal" for "fl" and "jaccard" for "iou",
// are known too, and capitals, hyphens, underscores, spaces and a final "loss"
// make no difference: "DiceFocalLoss" is "dice-focal". A name that is not known gets an error with the one
// that is nearest.
func ByName(name string) (Loss, error) {
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	return e.make(), nil
}

// Title returns the name that the paper's tables print for the loss that
// [ByName] knows by name. A name that it does not know is an error.
func Title(name string) (string, error) {
	e, err := find(name)
	return e.title, err
}

// CanonicalName returns the one of [Names] that means the same to [ByName] as name:
// "fl" for "focal". A name that it does not know is an error.
func CanonicalName(name string) (string, error) {
	e, err := find(name)
	return e.name, err
}

func find(name string) (entry, error) {
	nearest, distance := "", math.MaxInt
	plain := plainName(name)
	for _, e := range registry {
		for _, known := range append([]string{e.name}, e.aliases...) {
			if plainName(known) == plain {
				return e, nil
			}
			if d := editdistance.Of(plain, plainName(known), distance); d < distance {
				nearest, distance = known, d
			}
		}
	}
	want := "one of " + strings.Join(Names(), ", ")
	if distance <= len(plain)/3+1 && len(plain) > 2 {
		want += "; did you mean " + nearest + "?"
	}
	return entry{}, refuse("name of the loss", `"`+name+`"`, "%s", want)
}

// plainName drops what makes no difference between names.
func plainName(name string) string {
	plain := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
	return strings.TrimSuffix(plain, "loss")
}

// Names returns the name of every loss that [ByName] knows, those of [PaperNames]
// first.
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
