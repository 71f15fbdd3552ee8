package phantom

import "fmt"

// readme returns the text of the phantom's README.txt.
func readme(o Options) string {
	what := `Each case has <case>_t2w (T2-weighted, 1x1x3 mm), <case>_adc (apparent
diffusion coefficient) and <case>_hbv (diffusion-weighted, high b-value), the
last two on a coarser 2x2x3 mm grid, and a label <case>_gt on the grid of T2W:
0 is background, 2 to 5 the grade of a lesion. Every fourth case has no lesion.`
	imitated := "prostate MRI as in PI-CAI"
	if o.Kind == BraTS {
		imitated = "brain MRI as in BraTS"
		what = `Each case has <case>_image, one file with four channels (FLAIR, T1,
contrast-enhanced T1, T2) at 1 mm, zero outside the brain, and a label
<case>_gt: 0 is background, 1 necrotic core, 2 edema, 4 enhancing tumor.`
	}
	return fmt.Sprintf(`SYNTHETIC DATA. No patient was scanned: a program generated these images.

They imitate %s, for trying out programs without patient data.
Scores on them say nothing about patients.

%s

Method: tissue is a set of ellipsoids with smooth random texture. A lesion is an
ellipsoid whose surface is displaced by noise, from smooth to ragged; its size is
drawn so that equal ratios are equally likely. Benign findings look like a lesion
in some channels and not in others. Boundaries are blended over about the width
of a voxel, a smooth factor imitates uneven coil sensitivity, and each voxel has
Gaussian noise. Values are 16-bit integers.

%d training and %d validation cases of %dx%dx%d voxels, seed %d, generator
version %d.
`, imitated, what, o.Train, o.Valid, o.Size[0], o.Size[1], o.Size[2], o.Seed, version)
}
