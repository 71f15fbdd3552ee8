package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/x/afl/examples/internal/volume"
)

// folders are those of the data set's layout, with whether they hold labels.
var folders = []struct {
	name  string
	label bool
}{{"TrainImage", false}, {"TrainLabel", true}, {"ValidImage", false}, {"ValidLabel", true}}

// crop is the command of the same name.
func crop(args []string, out io.Writer) error {
	f := flag.NewFlagSet("study crop", flag.ContinueOnError)
	data := f.String("data", "", "`folder` with TrainImage, TrainLabel, ValidImage and ValidLabel (required)")
	to := f.String("out", "", "`folder` to which the same layout is written (required)")
	size := [2]int{}
	f.Func("size", "`X,Y` voxels of the central part, in which all slices remain (required)", func(s string) error {
		if n, err := fmt.Sscanf(s+" ", "%d,%d ", &size[0], &size[1]); n != 2 || err != nil || size[0] < 1 || size[1] < 1 {
			return errors.New("want two positive numbers such as 80,80")
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	if *data == "" || *to == "" || size[0] == 0 || f.NArg() > 0 {
		return errors.New("crop: -data, -out and -size are required, and there must be no other arguments")
	}
	cases, cut, lost, all := 0, 0, 0, 0
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(*data, folder.name, "*.nii.gz"))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("crop: %s has no files that end in .nii.gz", filepath.Join(*data, folder.name))
		}
		if err := os.MkdirAll(filepath.Join(*to, folder.name), 0o777); err != nil {
			return err
		}
		for _, file := range files {
			kept, before, err := cropFile(file, filepath.Join(*to, folder.name, filepath.Base(file)), size, folder.label)
			if err != nil {
				return err
			}
			if folder.label {
				cases++
				all += before
				lost += before - kept
				if kept < before {
					cut++
					fmt.Fprintf(out, "%s: %d of %d lesion voxels remain\n", strings.TrimSuffix(filepath.Base(file), ".nii.gz"), kept, before)
				}
			}
		}
	}
	fmt.Fprintf(out, "%d cases: %d×%d voxels of each slice; %d lesions are cut, which lose %d of all %d lesion voxels\n", cases, size[0], size[1], cut, lost, all)
	return nil
}

// cropFile writes the central part of an image or a label, and returns the numbers of its
// voxels that are not 0, in the part and in the whole.
func cropFile(from, to string, size [2]int, label bool) (kept, all int, err error) {
	read, kind := volume.Read, volume.Float32
	if label {
		read, kind = volume.ReadLabel, volume.Uint8
	}
	v, err := read(from)
	if err != nil {
		return 0, 0, err
	}
	part, err := center(v, size)
	if err != nil {
		return 0, 0, fmt.Errorf("%w (%s)", err, from)
	}
	return nonzero(part.Data), nonzero(v.Data), volume.Write(to, part, volume.WriteOptions{Type: kind})
}

// center returns the voxels from ⌊(n−size)/2⌋ on along the first two axes, at their place in
// the world.
func center(v *volume.Volume, size [2]int) (*volume.Volume, error) {
	part := &volume.Volume{Dims: [3]int{size[0], size[1], v.Dims[2]}, Channels: v.Channels, Affine: v.Affine}
	var start [2]int
	for axis, n := range size {
		if n > v.Dims[axis] {
			return nil, fmt.Errorf("the size is %v, but the image has %v voxels", size, v.Dims)
		}
		start[axis] = (v.Dims[axis] - n) / 2
		for row := range 3 {
			part.Affine[row][3] += v.Affine[row][axis] * float64(start[axis])
		}
	}
	for c := range v.Channels {
		for i := range size[0] {
			for j := range size[1] {
				at := ((c*v.Dims[0]+start[0]+i)*v.Dims[1] + start[1] + j) * v.Dims[2]
				part.Data = append(part.Data, v.Data[at:at+v.Dims[2]]...)
			}
		}
	}
	return part, nil
}

func nonzero(values []float64) int {
	n := 0
	for _, v := range values {
		if v != 0 {
			n++
		}
	}
	return n
}
