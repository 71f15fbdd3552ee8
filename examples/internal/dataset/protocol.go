package dataset

import (
	"fmt"
	"math"

	"github.com/x/afl/examples/internal/segment"
)

// Protocol describes how a case becomes a sample. The steps run in the order of the
// fields; a step whose field is zero is skipped. The zero Protocol loads, orients and
// normalizes.
//
//  1. Read the files and map the label's values by Scheme. Channels on another grid than
//     the first image are resampled onto its grid (linear; 0 outside their field of view).
//     Files on the same grid with their axes in another order or direction are reoriented.
//  2. Spacing: resample to this voxel size.
//  3. Permute and flip the axes, without interpolation, to point as closely as
//     possible to the right, anterior and superior (RAS). This precedes Size so that
//     Size refers to the same axes whatever the order in the file. For files whose
//     axes are in RAS order up to direction, both orders of steps 3 and 4 give the
//     same voxels.
//  4. Size: resize.
//  5. Crop, Foreground, Translate (training only). A translation moves the crop within the
//     volume; voxels outside the volume are zero.
//  6. MinSize, Multiple: pad to the final size; Sample.Scan is the part that is not
//     padding. Flip (training only).
//  7. Normalize the intensities: shift and scale every channel so that its nonzero
//     voxels have mean 0 and (population) standard deviation 1. Zero voxels remain
//     zero, and so does a channel that is zero everywhere; a channel whose nonzero
//     voxels are all equal becomes zero.
//  8. Noise, Scale, Shift (training only), with one draw for all channels.
type Protocol struct {
	// Reading says how files are read that are not as they should be. It describes the
	// files and not the network, so that it is not stored with weights.
	Reading Reading `json:"-"`

	// Scheme is what the label's values mean. By default every nonzero label is tumor.
	Scheme segment.Scheme `json:",omitzero"`

	// Spacing is the voxel size in millimeters along the file's axes to which a case
	// is resampled, the image linearly and the label by nearest neighbor. The center
	// of the field of view does not move, and axis i gets
	// max(1, round(n_i·spacing_i/Spacing_i)) voxels. An axis whose spacing is within
	// 0.1% of Spacing is not resampled. Zero resamples no axis.
	Spacing [3]float64

	// Size is the number of voxels to which a case is resized. The image is averaged
	// over the windows floor(i·n/m) … ceil((i+1)·n/m) of each axis (adaptive average
	// pooling, "area" interpolation); the label takes the voxel at the center of the
	// new one. Zero does not resize.
	Size [3]int
	// LabelArea resizes the label like the image and marks every voxel with a nonzero
	// average as tumor, as the paper's code does. It enlarges every lesion by up to a
	// voxel on each side. Without it the label preserves the lesion's volume on
	// average, but a lesion thinner than a new voxel can vanish. Each region is enlarged
	// by itself. With classes it is an error, as a voxel has only one class.
	LabelArea bool

	// Crop is the size of the random region used for training, a patch; an axis shorter
	// than the crop is kept whole. Zero does not crop. Validation is never cropped, so its
	// scores are those of the whole volume.
	Crop [3]int
	// Foreground is the probability that a crop is drawn around the foreground, as nnU-Net
	// does: a class or region is drawn from those that the case has, and then one of its
	// voxels, which becomes the voxel ⌊Crop/2⌋ of the crop unless the crop would reach
	// beyond the volume. Otherwise, and in a case without foreground, all positions are
	// equally likely.
	Foreground float64 `json:",omitzero"`

	// Translate is the largest shift in voxels along each axis, and TranslateProb its
	// probability. The shift is drawn uniformly from the integers
	// -Translate … Translate, independently for each axis; voxels from outside the
	// volume are zero. (The paper's code draws fractions of voxels and interpolates,
	// which blurs the image and the label.)
	Translate     [3]int
	TranslateProb float64

	// MinSize is the minimum size of each axis in training and validation. A shorter
	// axis is padded with zeros on both sides (the odd voxel at the end).
	MinSize [3]int
	// Multiple pads each axis, in the same way, to the next multiple of this number so
	// that the network can halve it. 0 and 1 do not pad.
	Multiple [3]int

	// FlipProb is the probability of a flip, independently for each axis.
	FlipProb float64

	// Noise is the largest standard deviation of the Gaussian noise, which is drawn
	// uniformly from 0 … Noise, and NoiseProb its probability.
	Noise     float64
	NoiseProb float64
	// NoiseFirst adds the noise before the intensities are normalized, as the paper's
	// code does: to intensities in the hundreds, where its main effect is that no
	// voxel remains zero. Otherwise the noise is added afterward, in units of the
	// channel's standard deviation.
	NoiseFirst bool

	// Scale is the largest relative change of the intensities, x·(1+s) with s uniform
	// in -Scale … Scale, and ScaleProb its probability.
	Scale     float64
	ScaleProb float64
	// Shift is the largest offset of the intensities, uniform in -Shift … Shift, and
	// ShiftProb its probability.
	Shift     float64
	ShiftProb float64
}

// PICAI returns the paper's protocol for PI-CAI: resized to 160×128×24, shifted by up
// to 10 voxels (probability 0.2), each axis flipped (0.5), noise with a standard
// deviation of up to 0.1 (0.4), intensities scaled by ±10% (0.4) and shifted by ±0.1
// (0.4). LabelArea and NoiseFirst, which do more harm than good in the paper's code,
// are off.
//
// A network that halves every axis four times does not accept 24 slices; for it, set
// Multiple to {16, 16, 16}, which pads them to 32.
func PICAI() Protocol {
	return Protocol{
		Size:          [3]int{160, 128, 24},
		Translate:     [3]int{10, 10, 10},
		TranslateProb: 0.2,
		FlipProb:      0.5,
		Noise:         0.1,
		NoiseProb:     0.4,
		Scale:         0.1,
		ScaleProb:     0.4,
		Shift:         0.1,
		ShiftProb:     0.4,
	}
}

// BraTS returns the paper's protocol for BraTS: resampled to 1 mm, a random crop of
// 224×224×144 voxels for training, each axis flipped (probability 0.5), intensities
// always scaled by ±10% and shifted by ±0.1. Volumes are padded to a multiple of 16,
// which every network of the paper accepts.
func BraTS() Protocol {
	return Protocol{
		Spacing:   [3]float64{1, 1, 1},
		Crop:      [3]int{224, 224, 144},
		Multiple:  [3]int{16, 16, 16},
		FlipProb:  0.5,
		Scale:     0.1,
		ScaleProb: 1,
		Shift:     0.1,
		ShiftProb: 1,
	}
}

// Check returns an error for the first invalid field: a negative or non-finite size or
// amplitude, a probability outside 0 … 1, a Spacing or Size that is zero on some
// axes only, an invalid Scheme, or LabelArea with classes.
func (p Protocol) Check() error {
	if err := p.Scheme.Check(); err != nil {
		return fmt.Errorf("dataset: Protocol.Scheme: %w", err)
	}
	if p.LabelArea && p.Scheme.Kind == segment.Classes {
		return fmt.Errorf("dataset: Protocol.LabelArea is set, but averages of classes have no class; use it with a binary label or with regions")
	}
	for _, f := range []struct {
		name  string
		value [3]int
	}{{"Size", p.Size}, {"Crop", p.Crop}, {"MinSize", p.MinSize}, {"Multiple", p.Multiple}, {"Translate", p.Translate}} {
		for _, v := range f.value {
			if v < 0 {
				return fmt.Errorf("dataset: Protocol.%s is %v; it must not be negative", f.name, f.value)
			}
		}
	}
	if zero := p.Size == [3]int{}; !zero && (p.Size[0] == 0 || p.Size[1] == 0 || p.Size[2] == 0) {
		return fmt.Errorf("dataset: Protocol.Size is %v; set every axis or none", p.Size)
	}
	if p.Foreground > 0 && p.Crop == [3]int{} {
		return fmt.Errorf("dataset: Protocol.Foreground is %v, but there is no Crop for it to place", p.Foreground)
	}
	if p.Spacing != [3]float64{} {
		for _, s := range p.Spacing {
			if !(s > 0) || math.IsInf(s, 0) {
				return fmt.Errorf("dataset: Protocol.Spacing is %v mm; set every axis to a positive size or none", p.Spacing)
			}
		}
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"Foreground", p.Foreground}, {"TranslateProb", p.TranslateProb}, {"FlipProb", p.FlipProb}, {"NoiseProb", p.NoiseProb}, {"ScaleProb", p.ScaleProb}, {"ShiftProb", p.ShiftProb}} {
		if !(f.value >= 0 && f.value <= 1) {
			return fmt.Errorf("dataset: Protocol.%s is %v; a probability must be between 0 and 1", f.name, f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"Noise", p.Noise}, {"Scale", p.Scale}, {"Shift", p.Shift}} {
		if !(f.value >= 0) || math.IsInf(f.value, 0) {
			return fmt.Errorf("dataset: Protocol.%s is %v; it must be finite and not negative", f.name, f.value)
		}
	}
	return nil
}
