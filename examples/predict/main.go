// Command predict writes the tumour's mask that trained weights see in one
// case, as NIfTI on the scan's own grid, and measures it where a label is given:
//
//	go run ./examples/predict -weights runs/brats/afl/best.safetensors -case DIR -label seg.nii.gz -out mask.nii.gz
//
// See -h for the flags.
package main

import (
	"os"

	"github.com/x/afl/examples/internal/cli"
)

func main() { os.Exit(cli.PredictMain(os.Args[1:])) }
