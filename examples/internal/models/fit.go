package models

import (
	"fmt"
	"slices"
	"strings"
)

// Fitted is a network and a volume size that the network accepts.
type Fitted struct {
	Config Config
	// Size is the size of the volumes, padded at the high end of an axis where necessary.
	Size [3]int
	// Notes are complete sentences that state what was changed and why. They are empty if
	// the network accepts the volumes with its published settings.
	Notes []string
}

// Fit adapts a network and volumes of a given size to each other. If the published strides
// do not divide the size, it uses other strides if the network has suitable ones, and
// otherwise pads the volumes.
//
// UNet and AttUNet do not divide an axis at their last stride if it can be halved three
// times but not a fourth time, such as PI-CAI's 24 slices. ResNetUNet has the released
// strides for PI-CAI's 160×128×24 voxels and uses them if they divide the size and its
// own do not. For a VNet the notes mention an unusual number of input channels that the
// published classes reject.
func Fit(cfg Config, size [3]int) Fitted {
	f := Fitted{Config: cfg, Size: size}
	switch a := cfg.Architecture.(type) {
	case UNet:
		a.Strides = f.skipLast(a.Strides)
		f.Config.Architecture = a
	case AttUNet:
		a.Strides = f.skipLast(a.Strides)
		f.Config.Architecture = a
	case ResNetUNet:
		if picai := picaiStrides(); !divides(a.Multiple(), size) && divides(product(picai), size) {
			a.Strides = picai
			f.Config.Architecture = a
			f.note("Network strides: %s, those of the paper's code for PI-CAI; the others do not divide %s voxels.",
				formatStrides(picai), times(size))
		}
	}
	if a, ok := cfg.Architecture.(VNet); ok && cfg.InChannels > 0 && a.Width%cfg.InChannels != 0 {
		f.note("Network input: %s repeats the %d channels cyclically up to %d; the published classes reject a number that does not divide %d.",
			cfg.Name(), cfg.InChannels, a.Width, a.Width)
	}
	multiple := f.Config.Multiple()
	f.Size = RoundUp(size, multiple)
	if f.Size != size {
		f.note("Volumes of %s voxels are padded with zeros to %s: %s requires multiples of %s.",
			times(size), times(f.Size), cfg.Name(), times(multiple))
	}
	return f
}

// skipLast returns strides with the last stride of an axis set to 1 if only then their
// product divides the size.
func (f *Fitted) skipLast(strides [][3]int) [][3]int {
	if len(strides) == 0 {
		return strides
	}
	last := len(strides) - 1
	changed := slices.Clone(strides)
	all, fewer := product(strides), product(strides[:last])
	var axes []string
	for axis, name := range []string{"X", "Y", "Z"} {
		if f.Size[axis]%all[axis] != 0 && f.Size[axis]%fewer[axis] == 0 {
			changed[last][axis] = 1
			axes = append(axes, name)
		}
	}
	if len(axes) > 0 {
		f.note("Network strides: %s; %s voxels cannot be divided once more along %s.",
			formatStrides(changed), times(f.Size), strings.Join(axes, " and "))
	}
	return changed
}

func (f *Fitted) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}

// RoundUp returns the size rounded up to a positive multiple of multiple on every axis.
func RoundUp(size, multiple [3]int) [3]int {
	for axis, m := range multiple {
		size[axis] = max(1, (size[axis]+m-1)/m) * m
	}
	return size
}

func divides(multiple, size [3]int) bool { return RoundUp(size, multiple) == size }

// formatStrides formats strides as "(2,2,2), (2,2,1)".
func formatStrides(strides [][3]int) string {
	parts := make([]string, len(strides))
	for i, s := range strides {
		parts[i] = fmt.Sprintf("(%d,%d,%d)", s[0], s[1], s[2])
	}
	return strings.Join(parts, ", ")
}

// times formats a size as 160×128×24.
func times(size [3]int) string { return fmt.Sprintf("%d×%d×%d", size[0], size[1], size[2]) }
