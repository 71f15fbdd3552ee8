package main

import (
	"fmt"

	"github.com/x/afl/cuda"
)

// describe returns the properties of the device for the report.
func describe(d cuda.Device) []field {
	return []field{
		{"GPU", fmt.Sprintf("%s, compute capability %d.%d", d.Name, d.ComputeMajor, d.ComputeMinor)},
		{"Memory of the GPU", fmt.Sprintf("%.1f GiB", float64(d.Memory)/(1<<30))},
		{"Multiprocessors, second-level cache", fmt.Sprintf("%d, %.1f MiB", d.Multiprocessors, float64(d.L2)/(1<<20))},
		{"CUDA of the driver", d.CUDA()},
	}
}
