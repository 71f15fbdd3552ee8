package models

import (
	"fmt"
	"slices"
	"strings"
)

// Fitted is a network and a size of volumes that go together.
type Fitted struct {
	Config Config
	// Size is that of the volumes, where need be padded at the high end of an axis.
	Size [3]int
	// Notes say in whole sentences what was chosen, and why; empty where the
	// published settings take the volumes as they are.
	Notes []string
}

// Fit makes a network and volumes of a given size go together: by other strides
// where the published ones do not divide the size and the network has such, else
// by padding.
//
// UNet and AttUNet leave an axis alone in their last step if it can be halved
// three times but not a fourth, such as PI-CAI's 24 slices. ResNetUNet has the
// released strides for PI-CAI's 160×128×24 voxels and takes them where they suit
// the size and its own do not. Of a VNet the notes tell where its input has a number
// of channels that its published classes refuse.
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
			f.note("Network strides: %s, those of the paper's code for PI-CAI; its others do not divide %s voxels.",
				stridesInWords(picai), times(size))
		}
	}
	if a, ok := cfg.Architecture.(VNet); ok && cfg.InChannels > 0 && a.Width%cfg.InChannels != 0 {
		f.note("Network input: %s repeats the %d channels in turn up to %d; the published classes refuse a number that does not divide %d.",
			cfg.Name(), cfg.InChannels, a.Width, a.Width)
	}
	multiple := f.Config.Multiple()
	f.Size = RoundUp(size, multiple)
	if f.Size != size {
		f.note("Volumes of %s voxels are padded with zeros to %s: %s takes multiples of %s.",
			times(size), times(f.Size), cfg.Name(), times(multiple))
	}
	return f
}

// skipLast returns strides that leave an axis alone in the last step where the
// size demands it and that is enough.
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
			stridesInWords(changed), times(f.Size), strings.Join(axes, " and "))
	}
	return changed
}

func (f *Fitted) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}

// RoundUp returns the smallest size, at least as large, that is a multiple of
// multiple on every axis.
func RoundUp(size, multiple [3]int) [3]int {
	for axis, m := range multiple {
		size[axis] = max(1, (size[axis]+m-1)/m) * m
	}
	return size
}

func divides(multiple, size [3]int) bool { return RoundUp(size, multiple) == size }

// stridesInWords writes strides as "(2,2,2), (2,2,1)".
func stridesInWords(strides [][3]int) string {
	words := make([]string, len(strides))
	for i, s := range strides {
		words[i] = fmt.Sprintf("(%d,%d,%d)", s[0], s[1], s[2])
	}
	return strings.Join(words, ", ")
}

// times writes a size as 160×128×24.
func times(size [3]int) string { return fmt.Sprintf("%d×%d×%d", size[0], size[1], size[2]) }
