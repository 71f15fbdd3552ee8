package afl

import (
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
	small       bool   // of SmallLesionNames
	make        func() Loss
}

// registry lists every loss, those of the paper's first table first, in its order, and
// those for small lesions last.
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
	{
		name: "unified-focal", title: "Unified Focal", constructor: "NewUnifiedFocal", small: true,
		summary: "focal cross-entropy + focal Tversky with shared δ and γ",
		make:    func() Loss { return NewUnifiedFocal() },
	},
	{
		name: "boundary", title: "Boundary", constructor: "NewBoundary", small: true,
		summary: "probability times the signed distance from the boundary",
		make:    func() Loss { return NewBoundary() },
	},
	{
		name: "hausdorff", aliases: []string{"hausdorff-dt"}, title: "Hausdorff", constructor: "NewHausdorffDT", small: true,
		summary: "squared error weighted by distances",
		make:    func() Loss { return NewHausdorffDT() },
	},
	{
		name: "log-hausdorff", aliases: []string{"log-hausdorff-dt"}, title: "Log-Hausdorff", constructor: "NewLogHausdorffDT", small: true,
		summary: "its logarithm, log(1 + value)",
		make:    func() Loss { return NewLogHausdorffDT() },
	},
	{
		name: "lovasz", aliases: []string{"lovasz-softmax"}, title: "Lovász", constructor: "NewLovaszSoftmax", small: true,
		summary: "Lovász extension of the Jaccard index; NewLovaszHinge for one channel",
		make:    func() Loss { return NewLovaszSoftmax() },
	},
	{
		name: "topk-ce", aliases: []string{"topk", "topk-cross-entropy"}, title: "Top-k CE", constructor: "NewTopKCrossEntropy", small: true,
		summary: "mean of the largest 10 % of the cross-entropy",
		make:    func() Loss { return NewTopKCrossEntropy() },
	},
	{
		name: "log-cosh-dice", title: "Log-Cosh Dice", constructor: "NewLogCoshDice", small: true,
		summary: "log cosh of Dice",
		make:    func() Loss { return NewLogCoshDice() },
	},
	{
		name: "exponential-log", aliases: []string{"exponential-logarithmic", "ell"}, title: "Exponential Log", constructor: "NewExponentialLogarithmic", small: true,
		summary: "(−ln Dice)^γ + (−ln p)^γ",
		make:    func() Loss { return NewExponentialLogarithmic() },
	},
	{
		name: "blob", title: "Blob", constructor: "NewBlob", small: true,
		summary: "a loss of every lesion alike: here Dice + BCE",
		make: func() Loss {
			dice := NewDice()
			dice.SquaredPred = false
			return NewBlob(NewCompound(NewBinaryCrossEntropy(), dice))
		},
	},
}

const paperLosses = 8

// ByName returns a new loss with the settings of its constructor. [Names] and
// [SmallLesionNames] list the names. Other common ones, such as "focal" for "fl" and "jaccard" for "iou",
// are known too, and capitals, hyphens, underscores, spaces and a final "loss"
// make no difference: "DiceFocalLoss" is "dice-focal". A name that is not known gets an error with
// those that are nearest.
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

// CanonicalName returns the one of [Names] or [SmallLesionNames] that means the same to [ByName] as name:
// "fl" for "focal". A name that it does not know is an error.
func CanonicalName(name string) (string, error) {
	e, err := find(name)
	return e.name, err
}

func find(name string) (entry, error) {
	plain := plainName(name)
	for _, e := range registry {
		for _, known := range e.known() {
			if plainName(known) == plain {
				return e, nil
			}
		}
	}
	want := "one of " + strings.Join(slices.Concat(Names(), SmallLesionNames()), ", ")
	if near := nearestNames(name); near != nil {
		want += "; did you mean " + alternatives(near) + "?"
	}
	return entry{}, refuse("name of the loss", `"`+name+`"`, "%s", want)
}

// known returns all names of a loss.
func (e entry) known() []string { return append([]string{e.name}, e.aliases...) }

// nearestNames returns a name of each of the losses that an unknown name may mean: those of the same
// words in another order, or else those that are nearest and differ in at most a third of it, or
// else those that contain it or are contained in it.
func nearestNames(name string) []string {
	plain := plainName(name)
	if len(plain) < 3 {
		return nil
	}
	var same, near, parts []string
	distance := len(plain) / 3
	for _, e := range registry {
		var reordered, nearest, part string
		for _, known := range e.known() {
			other := plainName(known)
			if slices.Equal(sortedWords(known), sortedWords(name)) {
				reordered = known
			}
			if d := editdistance.Of(plain, other, distance+1); d < distance || d == distance && nearest == "" {
				if d < distance {
					near, distance = nil, d
				}
				nearest = known
			}
			if len(other) > 2 && part == "" && (strings.Contains(other, plain) || strings.Contains(plain, other)) {
				part = known
			}
		}
		for _, found := range []struct {
			list *[]string
			name string
		}{{&same, reordered}, {&near, nearest}, {&parts, part}} {
			if found.name != "" {
				*found.list = append(*found.list, found.name)
			}
		}
	}
	for _, names := range [][]string{same, near} {
		if names != nil {
			return names
		}
	}
	return parts
}

// sortedWords returns the words of a name in alphabetical order.
func sortedWords(name string) []string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("-_ ", r) })
	slices.Sort(words)
	return words
}

// alternatives joins names as "a, b or c".
func alternatives(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// plainName drops what makes no difference between names.
func plainName(name string) string {
	plain := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
	return strings.TrimSuffix(plain, "loss")
}

// Names returns the names of the losses that are evaluated on every backend, those of
// [PaperNames] first. [SmallLesionNames] has the others that [ByName] knows.
func Names() []string { return names(false) }

// SmallLesionNames returns the names of the losses made for small, rough or many lesions.
// But for the log-cosh Dice loss they are evaluated in Go memory alone.
func SmallLesionNames() []string { return names(true) }

func names(small bool) []string {
	var names []string
	for _, e := range registry {
		if e.small == small {
			names = append(names, e.name)
		}
	}
	return names
}

// PaperNames returns the names of the losses of the paper's first table, in its
// order.
func PaperNames() []string { return slices.Clone(Names()[:paperLosses]) }
