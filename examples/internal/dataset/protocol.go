package dataset

import (
	"fmt"
	"math"
)

// Protocol says how a case becomes a sample. The steps run in the order of the
// fields; a step whose field is zero is left out. The zero Protocol loads,
// orients and normalises.
//
//  1. The files are read; channels on another grid than the first are resampled
//     onto it (linear; 0 outside their field of view).
//  2. Spacing: resampled to this voxel size.
//  3. Axes are permuted and flipped, without interpolation, to point as nearly
//     as they can to the right, to the front and upwards (RAS). This comes
//     before Size so that Size means the same axes whatever the file's order;
//     for files whose axes are in RAS order up to direction it gives the same
//     voxels as the reverse order.
//  4. Size: resized.
//  5. Crop, Translate (training only).
//  6. MinSize, Multiple: the final size. Sample.Scan is what was not padded.
//     Flip (training only).
//  7. Intensities: every channel is shifted and scaled so that its non-zero
//     voxels have mean 0 and (population) standard deviation 1. Voxels that are
//     zero stay zero, and so does a channel that is zero everywhere; a channel
//     whose non-zero voxels are all equal becomes zero.
//  8. Noise, Scale, Shift (training only), one draw for all channels.
type Protocol struct {
	// Spacing is the voxel size in millimetres along the file's axes to which a
	// case is resampled, the image linearly and the label by nearest neighbour.
	// The centre of the field of view stays where it is, and axis i gets
	// max(1, round(n_i·spacing_i/Spacing_i)) voxels. An axis within 0.1% of it
	// is left alone. Zero leaves every axis alone.
	Spacing [3]float64

	// Size is the number of voxels to which a case is resized. The image is
	// averaged over the windows floor(i·n/m) … ceil((i+1)·n/m) of each axis
	// (adaptive average pooling, "area" interpolation), the label takes the
	// voxel under the centre of the new one. Zero leaves the size alone.
	Size [3]int
	// LabelArea resizes the label as the image is and calls every voxel whose
	// average is not zero a tumour, as the paper's code does. It swells every
	// lesion by up to a voxel on each side. Without it the label keeps the
	// lesion's volume on average, but a lesion thinner than a new voxel can
	// vanish.
	LabelArea bool

	// Crop is the size of the region cut out at random for training; an axis
	// that is shorter stays whole. Zero crops nothing. Validation is never
	// cropped, so that its scores are those of the whole volume.
	Crop [3]int

	// Translate is the largest shift, in voxels along each axis, and
	// TranslateProb its probability. The shift is drawn uniformly from the whole
	// numbers -Translate … Translate, for each axis on its own; what
	// enters the volume is zero. (The paper's code draws fractions of voxels and
	// interpolates, which blurs the image and the label.)
	Translate     [3]int
	TranslateProb float64

	// MinSize pads an axis that is shorter than this with zeros on both sides
	// (the odd voxel at the end), in training and validation.
	MinSize [3]int
	// Multiple pads an axis, as MinSize does, up to the next multiple of this,
	// so that the network can halve it. 0 and 1 pad nothing.
	Multiple [3]int

	// FlipProb is the probability of a flip, for each axis on its own.
	FlipProb float64

	// Noise is the largest standard deviation of the Gaussian noise, drawn
	// uniformly from 0 … Noise, and NoiseProb its probability.
	Noise     float64
	NoiseProb float64
	// NoiseFirst adds the noise before the intensities are normalised, as the
	// paper's code does: to intensities in the hundreds, where it changes
	// little except that no voxel is zero any more. Without it the noise is
	// added after, in units of the channel's standard deviation.
	NoiseFirst bool

	// Scale is the largest relative change of the intensities, x·(1+s) with s
	// uniform in -Scale … Scale, and ScaleProb its probability.
	Scale     float64
	ScaleProb float64
	// Shift is the largest offset of the intensities, uniform in
	// -Shift … Shift, and ShiftProb its probability.
	Shift     float64
	ShiftProb float64
}

// PICAI returns the paper's protocol for PI-CAI: resized to 160×128×24, shifted
// by up to 10 voxels (probability 0.2), each axis flipped (0.5), noise of
// standard deviation up to 0.1 (0.4), intensities scaled by ±10% (0.4) and
// shifted by ±0.1 (0.4). LabelArea and NoiseFirst, where the paper's code loses
// more than it gains, are off.
//
// A network that halves every axis four times cannot take 24 slices; set
// Multiple to {16, 16, 16} for it, which pads them to 32.
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

// BraTS returns the paper's protocol for BraTS: resampled to 1 mm, a random
// region of 224×224×144 for training, each axis flipped (probability 0.5),
// intensities always scaled by ±10% and shifted by ±0.1. Volumes are padded to a
// multiple of 16, which every network of the paper accepts.
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

// Check reports the first field that has no meaning: a negative or non-finite
// size or amplitude, a probability outside 0 … 1, a Spacing or Size that is
// zero on some axes only.
func (p Protocol) Check() error {
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
	}{{"TranslateProb", p.TranslateProb}, {"FlipProb", p.FlipProb}, {"NoiseProb", p.NoiseProb}, {"ScaleProb", p.ScaleProb}, {"ShiftProb", p.ShiftProb}} {
		if !(f.value >= 0 && f.value <= 1) {
			return fmt.Errorf("dataset: Protocol.%s is %v; a probability lies in 0 … 1", f.name, f.value)
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
