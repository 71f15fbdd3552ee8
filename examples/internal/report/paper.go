package report

import (
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/outcome"
)

// paperFigures are the figures that a table of the paper prints for a network with a loss.
type paperFigures struct {
	table                               int // 1 or 2
	iou, dice, sensitivity, specificity float64
}

// dataset is a data set of the paper.
type dataset struct {
	title string
	// losses is Table 1, the losses with paperNetwork.
	losses map[string]paperFigures
	// networks is Table 2, FL and A-FL with each network.
	networks map[string]map[string]paperFigures
	// note states where the paper's figures for the data set disagree.
	note string
}

// paperNetwork is the network of the paper's Table 1.
const paperNetwork = "unet_resnet50"

// paperVariants maps other forms of the paper's networks to the names under which its Table 2
// is stored.
var paperVariants = map[string]string{"unet3d_plain": "r2unet", "r2unet_untied": "r2unet", "vnet_monai": "vnet_authors"}

// paper holds Tables 1 and 2 of "Size and Smoothness Aware Adaptive Focal Loss for Small
// Tumor Segmentation", arXiv:2407.09828, by the name of the program for the data set.
var paper = map[string]dataset{
	"picai": {
		title: "PI-CAI",
		losses: map[string]paperFigures{
			"tversky":    {1, 0.641, 0.654, 0.917, 0.948},
			"ce":         {1, 0.630, 0.705, 0.870, 0.876},
			"iou":        {1, 0.654, 0.727, 0.917, 0.947},
			"dice":       {1, 0.665, 0.739, 0.904, 0.952},
			"dice-ce":    {1, 0.670, 0.742, 0.938, 0.927},
			"dice-focal": {1, 0.685, 0.757, 0.896, 0.949},
			"fl":         {1, 0.690, 0.726, 0.715, 0.924},
			"afl":        {1, 0.696, 0.769, 0.951, 0.9501},
		},
		networks: map[string]map[string]paperFigures{
			"unet":          {"fl": {2, 0.640, 0.710, 0.721, 0.749}, "afl": {2, 0.669, 0.740, 0.792, 0.825}},
			"attunet":       {"fl": {2, 0.647, 0.721, 0.997, 0.940}, "afl": {2, 0.679, 0.750, 0.992, 0.948}},
			"regunet":       {"fl": {2, 0.562, 0.622, 0.600, 0.950}, "afl": {2, 0.573, 0.635, 0.691, 0.944}},
			"r2unet":        {"fl": {2, 0.634, 0.709, 0.967, 0.946}, "afl": {2, 0.672, 0.740, 0.989, 0.949}},
			"unet_resnet50": {"fl": {2, 0.641, 0.715, 0.924, 0.947}, "afl": {2, 0.696, 0.769, 0.941, 0.949}},
			"segresnet":     {"fl": {2, 0.626, 0.701, 0.991, 0.934}, "afl": {2, 0.691, 0.763, 0.994, 0.943}},
			"vnet_authors":  {"fl": {2, 0.593, 0.656, 0.570, 0.958}, "afl": {2, 0.626, 0.689, 0.740, 0.947}},
			"mrrn":          {"fl": {2, 0.634, 0.708, 0.918, 0.945}, "afl": {2, 0.688, 0.760, 0.893, 0.948}},
		},
		note: "The paper prints the U-Net with ResNet50 and FL in both tables with different figures: IoU 0.690 and Dice 0.726 in Table 1, 0.641 and 0.715 in Table 2. Sens. and Spec. with A-FL differ too.",
	},
	"brats": {
		title: "BraTS",
		losses: map[string]paperFigures{
			"tversky":    {1, 0.875, 0.921, 0.5221, 0.6499},
			"ce":         {1, 0.813, 0.881, 0.754, 0.843},
			"iou":        {1, 0.893, 0.930, 0.701, 0.796},
			"dice":       {1, 0.891, 0.933, 0.654, 0.745},
			"dice-ce":    {1, 0.829, 0.889, 0.845, 0.882},
			"dice-focal": {1, 0.884, 0.927, 0.954, 0.947},
			"fl":         {1, 0.869, 0.922, 0.954, 0.947},
			"afl":        {1, 0.884, 0.927, 0.960, 0.955},
		},
		networks: map[string]map[string]paperFigures{
			"unet":          {"fl": {2, 0.831, 0.894, 0.849, 0.827}, "afl": {2, 0.897, 0.940, 0.872, 0.849}},
			"attunet":       {"fl": {2, 0.783, 0.855, 0.956, 0.936}, "afl": {2, 0.878, 0.926, 0.904, 0.929}},
			"regunet":       {"fl": {2, 0.722, 0.807, 0.891, 0.925}, "afl": {2, 0.770, 0.841, 0.882, 0.947}},
			"r2unet":        {"fl": {2, 0.835, 0.874, 0.892, 0.927}, "afl": {2, 0.883, 0.905, 0.916, 0.937}},
			"unet_resnet50": {"fl": {2, 0.867, 0.922, 0.954, 0.947}, "afl": {2, 0.898, 0.951, 0.962, 0.949}},
			"segresnet":     {"fl": {2, 0.849, 0.908, 0.903, 0.967}, "afl": {2, 0.889, 0.941, 0.886, 0.949}},
			"vnet_authors":  {"fl": {2, 0.821, 0.884, 0.911, 0.947}, "afl": {2, 0.846, 0.897, 0.950, 0.928}},
			"mrrn":          {"fl": {2, 0.827, 0.889, 0.827, 0.931}, "afl": {2, 0.899, 0.940, 0.915, 0.938}},
		},
		note: "The paper gives A-FL with the U-Net with ResNet50 three times with different figures: IoU 0.884 and Dice 0.927 in Table 1, 0.898 and 0.951 in Table 2, 0.883 and 0.931 in the abstract. DiceFocal and FL have the same Sens. and Spec. in Table 1.",
	},
}

// ofPaper returns what the paper prints for a network with a loss on a data set: nothing, a
// row of one of its tables, or one of each. All variants of A-FL have the figures of A-FL.
func ofPaper(data, network, loss string) []paperFigures {
	if isAFL(loss) {
		loss = "afl"
	}
	if main, ok := paperVariants[network]; ok {
		network = main
	}
	var all []paperFigures
	if f, ok := paper[data].losses[loss]; ok && network == paperNetwork {
		all = append(all, f)
	}
	if f, ok := paper[data].networks[network][loss]; ok {
		all = append(all, f)
	}
	return all
}

// paperTable sets the paper's figures beside those of the run. There is none for a phantom,
// for classes or regions, of which the paper has no figures, and without a network and loss
// of the paper.
func (r *Run) paperTable() []NamedTable {
	data, ok := paper[r.Dataset]
	if !ok || segmented(r.Results) {
		return nil
	}
	t := Table{Header: r.labels("Run", "Model", "Loss", "")}
	t.MoreLabels = len(t.Header) - 1
	t.Header = append(t.Header, "soft IoU", "paper: IoU", "soft Dice", "paper: Dice", "hard Sens.", "paper: Sens.", "hard Spec.", "paper: Spec.", "paper's table")
	variant := false
	for _, p := range r.Results.Pool() {
		if !shown(&p) {
			continue
		}
		cases := outcome.OverSeeds(p.Cases)
		means, n := outcome.MeanOf(cases), len(cases)
		for _, f := range ofPaper(r.Dataset, p.Network, p.Loss) {
			row := r.labels(p.RunTitle, p.NetworkTitle, p.Title, "")
			for _, pair := range []struct {
				m     outcome.Measure
				paper float64
			}{{outcome.SoftIoU, f.iou}, {outcome.SoftDice, f.dice}, {outcome.Sensitivity, f.sensitivity}, {outcome.Specificity, f.specificity}} {
				row = append(row, means[pair.m].Format(n, 3), fmt.Sprintf("%.3f", pair.paper))
			}
			t.Rows = append(t.Rows, append(row, fmt.Sprint(f.table)))
			_, other := paperVariants[p.Network]
			variant = variant || other || isAFL(p.Loss) && p.Loss != "afl"
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	notes := []string{
		"paper: the figures of Tables 1 and 2 of arXiv:2407.09828 for " + data.title + ". Table 1 has eight losses with the U-Net with ResNet50, Table 2 FL and A-FL with eight networks. The paper trained for 200 epochs: figures of a shorter run, or of other cases, do not contradict it.",
		"The IoU and Dice of the paper's released code are the soft IoU and soft Dice of this report; fg IoU and fg Dice have no counterpart. The paper's Sens. and Spec. are not known to be those of hard masks: they may be other measures than those beside them.",
		data.note,
	}
	if variant {
		notes = slices.Insert(notes, 1, "A variant of A-FL or of a network stands beside the paper's figures for A-FL or the network.")
	}
	return []NamedTable{{"Beside the paper's figures for " + data.title, t, notes}}
}
