package models

// FewSlicesUNet is a narrow [UNet] for volumes of few, thick slices, such as the 4 to 10 of a
// cardiac scan. Its strides leave the slices alone at the upper levels, where a voxel is longer
// across the plane than in it.
type FewSlicesUNet struct{ UNet }

// NewFewSlicesUNet returns widths 8, 16, 32, 64 and the strides 2×2×1, 2×2×1, 2×2×2, without
// residual units, and with instance norm, which normalizes a case in the same way in training
// and in prediction. The other settings are those of [NewUNet].
func NewFewSlicesUNet() FewSlicesUNet {
	u := NewUNet()
	u.Channels, u.Strides = []int{8, 16, 32, 64}, [][3]int{{2, 2, 1}, {2, 2, 1}, {2, 2, 2}}
	u.ResUnits, u.Norm = 0, InstanceNormAffine
	return FewSlicesUNet{u}
}

// Name implements Architecture.
func (FewSlicesUNet) Name() string { return "unet_few_slices" }
