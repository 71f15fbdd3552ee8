// Command picai trains networks on PI-CAI, or on images laid out like it, with one
// segmentation loss after the other, and prints the paper's tables for them: the
// first for several losses, the second for several networks. Without -data_dir it
// runs on a synthetic phantom:
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
Trains 3-D networks on prostate cancer in MRI, each with one segmentation loss
after the other, and compares them on the validation cases. All labels other
than 0 are cancer. The defaults are those of the A-FL paper (arXiv 2407.09828):
SGD, batch 1, 200 epochs, volumes resized to 160x128x24.

-data_dir holds TrainImage/<case>_t2w.nii.gz, <case>_adc and <case>_hbv,
TrainLabel/<case>_gt.nii.gz, and ValidImage and ValidLabel likewise; the folders
TrainVolumes and those of nnU-Net, as PI-CAI's own preparation makes them, are
read too. Ctrl-C stops after the running step; -resume goes on to the same
result, bit for bit.`,
	Protocol: dataset.PICAI(),
	// Small, so that a first try takes minutes on two cores.
	Phantom:         phantom.Options{Kind: phantom.PICAI, Train: 24, Valid: 8, Size: [3]int{80, 64, 24}},
	PhantomChannels: 3,
}
