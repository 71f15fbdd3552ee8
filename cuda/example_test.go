package cuda_test

import (
	"fmt"
	"log"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/cuda"
)

// A loss and its gradient on the GPU.
func Example() {
	gpu, err := cuda.Open(0)
	if err != nil {
		log.Fatal(err) // says what is missing
	}
	defer gpu.Close()

	logits, err := gpu.Upload(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 2, 64, 64, 32)))
	if err != nil {
		log.Fatal(err)
	}
	target, err := gpu.Upload(tensor.New(tensor.Of(tensor.Uint8), tensor.WithShape(1, 64, 64, 32)))
	if err != nil {
		log.Fatal(err)
	}
	value, grad, err := afl.Grad(afl.NewAdaptiveFocal(), logits, target)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(value, grad.Shape())
	if err := gpu.Release(grad); err != nil {
		log.Fatal(err)
	}
}

// A training step that is captured once and launched as a graph: new input is copied into
// the same tensors, and the value is read when it is needed.
func ExampleEngine_Capture() {
	gpu, err := cuda.Open(0)
	if err != nil {
		log.Fatal(err)
	}
	defer gpu.Close()
	logits, err := gpu.NewTensor(cuda.BFloat16, 1, 2, 64, 64, 32)
	if err != nil {
		log.Fatal(err)
	}
	target, err := gpu.NewTensor(tensor.Uint8, 1, 64, 64, 32)
	if err != nil {
		log.Fatal(err)
	}
	grad, err := gpu.NewTensor(cuda.BFloat16, 1, 2, 64, 64, 32)
	if err != nil {
		log.Fatal(err)
	}
	var value *tensor.Dense
	step, err := gpu.Capture(func() (err error) {
		value, err = afl.NewDiceCE().Eval(logits, target, grad)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 100 {
		// gpu.CopyToDevice(logits, …), gpu.CopyToDevice(target, …)
		if err := step.Launch(); err != nil {
			log.Fatal(err)
		}
	}
	last, err := gpu.Download(value) // synchronizes
	if err != nil {
		log.Fatal(err)
	}
	if err := gpu.Synchronize(); err != nil { // reports rejected labels
		log.Fatal(err)
	}
	fmt.Println(last.ScalarValue())
}
