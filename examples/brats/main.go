// Command brats trains networks on BraTS, or on images in the same layout, with
// each of the given segmentation losses in turn, and prints the tables of the A-FL
// paper: the first for several losses, the second for several networks. Without
// -data_dir it runs on a synthetic phantom:
//
//	go run ./examples/brats -epochs 3 -loss afl,fl,dice
//
// See -h for the flags.
package main

import (
	"os"

	"github.com/x/afl/examples/internal/cli"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/phantom"
)

func main() { os.Exit(cli.Main(program, os.Args[1:])) }

var program = cli.Program{
	Name: "brats",
	About: `
Trains 3-D networks on brain tumors, each with every given segmentation loss in
turn, and compares them on the validation cases. Every nonzero label counts as
tumor; -regions "WT=1,2,4;TC=1,4;ET=4" trains the regions of BraTS instead
(with labels from 2023 on "WT=1,2,3;TC=1,3;ET=3"), and -classes 1,2,4 the labels.
The defaults are those of the A-FL paper (arXiv 2407.09828): SGD, batch 1, 200
epochs, random patches of 224x224x144 voxels at 1 mm.

-data_dir holds TrainImage/<case>_image.nii.gz (all channels in one file) and
TrainLabel/<case>_gt.nii.gz, and likewise ValidImage and ValidLabel. A folder per
case with <case>_flair, _t1, _t1ce, _t2 and _seg, as BraTS is published, the
folders image_Tr and label_Tr, and the layouts of nnU-Net and of the Medical
Segmentation Decathlon (imagesTr, labelsTr, dataset.json) are also accepted; -cases
lists files of any names. Every file is read before training starts (-check).

A -model_dir belongs to one run and to one process at a time. Ctrl-C stops after
the current step; -resume continues to a bit-identical result, also with more
-epochs, -loss, -model or -seeds than before. -folds 5 makes a cross-validation of
all cases, -seeds 3 repeats every training, and the tables pool both; -test_dir or
-report next_fold report cases by which no weights were selected. -join -model_dir
REPORT RUN RUN... makes one report of several runs.`,
	Protocol: dataset.BraTS(),
	// Small enough that a first run takes minutes on two cores.
	Phantom:         phantom.Options{Kind: phantom.BraTS, Train: 24, Valid: 8, Size: [3]int{64, 64, 48}},
	PhantomChannels: 4,
}
