// Command predict segments the tumor in one case with trained weights. It writes
// the mask as NIfTI on the scan's own grid and, given a label, evaluates it:
//
//	go run ./examples/predict -weights runs/brats/unet/afl/best.safetensors -case DIR -label seg.nii.gz -out mask.nii.gz
//
// See -h for the flags.
package main

import (
	"os"

	"github.com/x/afl/examples/internal/cli"
)

func main() { os.Exit(cli.PredictMain(os.Args[1:])) }
