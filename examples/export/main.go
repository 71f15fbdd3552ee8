// Command export writes a trained network as an ONNX model, with all that is needed to use it
// as predict does in its metadata:
//
//	go run ./examples/export -weights runs/brats/unet/afl/best.safetensors -out unet.onnx
//	go run ./examples/export -weights runs/picai -model segresnet -out segresnet.onnx
//
// See -h for the flags.
package main

import (
	"os"

	"github.com/x/afl/examples/internal/cli"
)

func main() { os.Exit(cli.ExportMain(os.Args[1:])) }
