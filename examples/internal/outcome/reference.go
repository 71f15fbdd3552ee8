package outcome

// Reference describes the label of a case: all that is to be segmented, whatever the classes
// or regions.
type Reference struct {
	// Volume is the volume of the foreground in ml, 0 if the label is empty.
	Volume float64 `json:"volume_ml"`
	// Smoothness is γ_mSa over the boundary: the mean magnitude of the mask's gradient over
	// the voxels where it is not zero, and 0 if the label is empty. γ_mSa over the whole
	// image, which A-FL uses, mostly measures the size of a lesion in its image. The one over
	// the boundary does not depend on the image: it is 0.5 on a face along the axes, more on oblique
	// ones and on edges, and less around details of a voxel.
	Smoothness float64 `json:"boundary_smoothness"`
}
