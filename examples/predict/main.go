// Command predict segments the tumor in one case or in a folder of cases with trained
// weights. It writes masks, or label maps of several classes or regions, as NIfTI on the
// scan's own grid and, given labels, evaluates them:
//
//	go run ./examples/predict -weights runs/brats/unet/afl/best.safetensors -case DIR -label seg.nii.gz -out mask.nii.gz
//	go run ./examples/predict -weights a.safetensors,b.safetensors -mirror xyz -cases IMAGES -label LABELS -out MASKS -probabilities
//
// See -h for the flags.
package main

import (
	"os"

	"github.com/x/afl/examples/internal/cli"
)

func main() { os.Exit(cli.PredictMain(os.Args[1:])) }
