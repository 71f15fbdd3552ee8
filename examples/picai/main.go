// Command picai trains networks on PI-CAI, or on images in the same layout, with
// each of the given segmentation losses in turn, and prints the tables of the A-FL
// paper: the first for several losses, the second for several networks. Without
// -data_dir it runs on a synthetic phantom:
//
//	go run ./examples/picai -epochs 12 -loss afl,fl,dice -size 80,64,24
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
	Name: "picai",
	About: `
Trains 3-D networks on prostate cancer in MRI, each with every given segmentation
loss in turn, and compares them on the validation cases. Every nonzero label
counts as cancer, unless -classes or -regions tells labels apart. The defaults are
those of the A-FL paper (arXiv 2407.09828): SGD, batch 1, 200 epochs, volumes
resized to 160x128x24.

-data_dir holds TrainImage/<case>_t2w.nii.gz, <case>_adc and <case>_hbv, and
TrainLabel/<case>_gt.nii.gz, and likewise ValidImage and ValidLabel. The folder
TrainVolumes, the nnU-Net layout that PI-CAI's own preparation produces, a folder
per case and the layout of the Medical Segmentation Decathlon are also accepted;
-cases lists files of any names. Every file is read before training starts
(-check).

A -model_dir belongs to one run and to one process at a time. Ctrl-C stops after
the current step; -resume continues to a bit-identical result, also with more
-epochs, -loss, -model or -seeds than before. -folds 5 makes a cross-validation of
all cases, -seeds 3 repeats every training, and the tables pool both; -test_dir or
-report next_fold report cases by which no weights were selected. -join -model_dir
REPORT RUN RUN... makes one report of several runs.`,
	Protocol: dataset.PICAI(),
	// Small enough that a first run takes minutes on two cores.
	Phantom:         phantom.Options{Kind: phantom.PICAI, Train: 24, Valid: 8, Size: [3]int{80, 64, 24}},
	PhantomChannels: 3,
	Detection:       "dynamic-fast",
}
