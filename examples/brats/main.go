// Command brats trains networks on BraTS, or on images laid out like it, with one
// segmentation loss after the other, and prints the paper's tables for them: the
// first for several losses, the second for several networks. Without -data_dir it
// runs on a synthetic phantom:
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
Trains 3-D networks on brain tumours, each with one segmentation loss after the
other, and compares them on the validation cases. All labels other than 0
are tumour. The defaults are those of the A-FL paper (arXiv 2407.09828): SGD,
batch 1, 200 epochs, random crops, volumes at 1 mm.

-data_dir holds TrainImage/<case>_image.nii.gz (all channels in one file),
TrainLabel/<case>_gt.nii.gz, and ValidImage and ValidLabel likewise; the folders
image_Tr, label_Tr and those of nnU-Net are read too. Ctrl-C stops after the
running step; -resume goes on to the same result, bit for bit.`,
	Protocol: dataset.BraTS(),
	// Small, so that a first try takes minutes on two cores.
	Phantom:         phantom.Options{Kind: phantom.BraTS, Train: 24, Valid: 8, Size: [3]int{64, 64, 48}},
	PhantomChannels: 4,
}
