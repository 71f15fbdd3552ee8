package nn_test

import (
	"fmt"
	"log"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// This example trains a single 1×1×1 convolution to double its input.
func Example() {
	backend, err := portable.New(nn.Float64)
	if err != nil {
		log.Fatal(err)
	}
	layers := nn.NewBuilder(backend, 1)
	conv := layers.Conv3D("conv", 1, 1, [3]int{1, 1, 1}, nn.ConvSpec{}, true)
	if err := layers.Initialize(); err != nil {
		log.Fatal(err)
	}
	image := tensor.New(tensor.WithShape(1, 1, 1, 1, 4), tensor.WithBacking([]float64{-1, 1, 2, 3}))
	want := []float64{-2, 2, 4, 6}
	sgd := nn.SGD{LearningRate: 0.1, Momentum: 0.9, Nesterov: true}

	output := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 1, 1, 1, 4))
	var loss float64
	for step := range 400 {
		x, err := backend.FromHost(image, nn.Step)
		if err != nil {
			log.Fatal(err)
		}
		tape := nn.NewTape(backend, nn.Training, uint64(step))
		y, err := conv.Forward(tape, tape.Input(x))
		if err != nil {
			log.Fatal(err)
		}
		if err := backend.ToHost(y.Array(), output); err != nil {
			log.Fatal(err)
		}

		// The mean squared error and its gradient, on the host.
		loss = 0
		gradient := make([]float64, 4)
		for i, v := range output.Data().([]float64) {
			d := v - want[i]
			loss += d * d / 4
			gradient[i] = 2 * d / 4
		}
		gy, err := backend.FromHost(tensor.New(tensor.WithShape(1, 1, 1, 1, 4), tensor.WithBacking(gradient)), nn.Step)
		if err != nil {
			log.Fatal(err)
		}
		if err := tape.Backward(y, gy); err != nil {
			log.Fatal(err)
		}
		if err := sgd.Step(backend, layers.Parameters()); err != nil {
			log.Fatal(err)
		}
		backend.EndStep()
	}
	fmt.Printf("loss %.6f, output %.3f\n", loss, output.Data())
	// Output: loss 0.000000, output [-2.000 2.000 4.000 6.000]
}
