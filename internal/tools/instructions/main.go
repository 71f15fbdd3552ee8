// Command instructions counts what the passes of the CUDA losses issue per voxel, for
// cuda/kernels/counts.md. It reads the disassembly of a module that ptxas has assembled and
// prints a row of that file's table for each loop over tiles by sigmoid and over two classes:
//
//	ptxas -arch=sm_90 -o bfloat16.cubin cuda/kernels/bfloat16.ptx
//	nvdisasm -c bfloat16.cubin | go -C internal/tools run ./instructions
//
// A loop is the shortest cycle through the loads of sixteen bytes and as many instructions of
// the special function unit as the loss needs.
package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
}

const (
	tileVoxels = 8 // that a thread computes per tile
	// Instructions, one for each of 128 threads per clock, that a multiprocessor of an H100 issues
	// while its 1/132 of the memory's rate moves a byte: counts.md has the figures.
	perByte = 128 * 1.7e9 / (3.0e12 / 132)
)

// row is a loop over tiles.
type row struct {
	loss string
	cost
}

func run(in io.Reader, out io.Writer) error {
	functions, err := parse(in)
	if err != nil {
		return err
	}
	found := false
	for _, f := range functions {
		bytes, pair, known := bytesPerVoxel(f.name)
		if !known {
			continue
		}
		found = true
		gradient := strings.Contains(f.name, "_gradient_")
		for _, r := range rows(&f, gradient, pair) {
			perVoxel := float64(r.instructions) / tileVoxels
			fmt.Fprintf(out, "| `%s` | %s | %.1f | %.1f | %d | %.2f |\n",
				f.name, r.loss, perVoxel, float64(r.special)/tileVoxels, bytes, perVoxel/(perByte*float64(bytes)))
		}
	}
	if !found {
		return fmt.Errorf("the input has no kernel afl_*_sigmoid_* or afl_*_softmax2_*, want the output of nvdisasm -c for a module of float32 passes")
	}
	return nil
}

// bytesPerVoxel returns what a pass moves: label, logits and, if it has one, the gradient.
func bytesPerVoxel(kernel string) (bytes int, pair, known bool) {
	name, ok := strings.CutPrefix(kernel, "afl_")
	parts := strings.Split(name, "_")
	if !ok || len(parts) != 3 || parts[1] != "sigmoid" && parts[1] != "softmax2" {
		return 0, false, false
	}
	size := 2
	if parts[2] == "f32" {
		size = 4
	}
	pair = parts[1] == "softmax2"
	if pair {
		size *= 2
	}
	if parts[0] == "gradient" {
		size *= 2
	}
	return 1 + size, pair, true
}

// rows returns the loops of a kernel with the losses that they compute. A loop is known by the
// special functions and the float64 sums of a tile, which follow from the terms of the loss,
// and among equals by its length: a further term makes it longer.
func rows(f *function, gradient, pair bool) []row {
	type kind struct{ mufu, doubles int }
	all := map[kind][]cost{}
	for _, l := range f.loops() {
		// The compiler may compute constants in the loop with functions of their own, fewer than
		// one per voxel.
		for mufu := tileVoxels; mufu < 4*tileVoxels; mufu++ {
			if c, ok := l.shortest(mufu); ok {
				k := kind{mufu / tileVoxels, c.doubles}
				all[k] = append(all[k], c)
				break
			}
		}
	}
	entropy := "BCE"
	sums := 2 // I and P
	if pair {
		entropy, sums = "CE", 4
	}
	names := map[kind][]string{
		{1, 1}:        {entropy},
		{2, 1}:        {"FL"},
		{2, sums}:     {"Dice", "Dice of squares"},
		{2, sums + 1}: {"Dice + " + entropy + ", value alone", "Dice of squares + " + entropy + ", value alone"},
		{3, sums + 1}: {"Dice + FL, value alone", "Dice of squares + FL, value alone"},
	}
	if gradient {
		names = map[kind][]string{
			{2, 0}: {"Dice", "Dice of squares"},
			{2, 1}: {entropy, "Dice + " + entropy, "Dice of squares + " + entropy},
			{3, 1}: {"A-FL, FL", "Dice + FL", "Dice of squares + FL"},
		}
	}
	var list []row
	for k, losses := range names {
		costs := all[k]
		slices.SortFunc(costs, func(a, b cost) int { return cmp.Compare(a.instructions, b.instructions) })
		for i, c := range costs {
			if i < len(losses) {
				list = append(list, row{losses[i], c})
			}
		}
	}
	slices.SortFunc(list, func(a, b row) int {
		return cmp.Compare(a.instructions, b.instructions)
	})
	return list
}
