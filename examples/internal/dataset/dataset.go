// Package dataset turns folders of medical images into the tensors that a
// segmentation network trains on.
//
// # From files to tensors
//
// [Find] recognises how a folder is laid out and lists its cases. A [Protocol]
// says what is done to a case: [PICAI] and [BraTS] give the settings of the
// paper, as plain fields that can be changed. [Protocol.Train] gives an
// augmented sample, whose randomness comes from its seed alone, and
// [Protocol.Valid] the sample without augmentation. [NewCache] keeps the part
// that does not depend on the seed in memory, and a [Loader] prepares the next
// samples while the network works on the present one.
//
// # Grids
//
// Every image carries an affine map from voxel indices to world coordinates in
// millimetres (right, anterior, superior). The first file of a case is its
// reference: channels on another grid are resampled onto it through the two
// affines (one within a hundredth of a voxel is taken as it is), and the label must
// lie on it, to within half a voxel. Each transform, the random ones
// included, updates the affine so that a voxel keeps its place in the world;
// distances in millimetres measured on a sample are therefore those of the
// patient.
//
// # Labels
//
// Every label other than 0 is tumour: BraTS codes its regions 1, 2 and 4 (3 in
// later years), PI-CAI grades its lesions 1 to 5. Labels must be whole numbers
// and not negative; anything else (a mask that was interpolated, a NaN) is an
// error. A label without any tumour stays empty.
package dataset

import "gorgonia.org/tensor"

// Case names the files of one case.
type Case struct {
	// ID is the file name without folder, suffix and extension.
	ID string
	// Images holds one file per channel, or one file that holds all channels.
	// The first is the reference grid.
	Images []string
	// Label is the file of the label. Empty means that the case has none;
	// Sample.Label is then nil.
	Label string
}

// Set is a data set as found on disk.
type Set struct {
	// Layout says which layout was recognised.
	Layout Layout
	// Train and Valid are sorted by ID and have no case in common.
	Train, Valid []Case
	// HeldOut is true where the layout has no labelled validation folder and
	// Valid was held out of the training cases (see Find).
	HeldOut bool
	// Channels is the number of image channels, the same for every case.
	Channels int
}

// Sample is one case, ready for a network.
type Sample struct {
	ID string
	// Image is float32, 1×C×X×Y×Z.
	Image *tensor.Dense
	// Label is uint8, 1×X×Y×Z, 0 for background and 1 for tumour; nil where the
	// case has no label.
	Label *tensor.Dense
	// Scan is where the sample shows the scan. What lies around it is padding
	// for the network's sake, which no loss or metric should count.
	Scan Box
	// Spacing is the size of a voxel along X, Y and Z in millimetres.
	Spacing [3]float64
	// Affine maps a voxel of the sample to world coordinates in millimetres.
	Affine [4][4]float64
}

// Box is a block of voxels: Size of them along each axis, from Start on.
type Box struct{ Start, Size [3]int }

// Source gives the samples of a case: a Protocol, or a Cache around one. Both
// methods may be called from several goroutines at once.
type Source interface {
	// Train returns an augmented sample; the same case and seed give the same bits.
	Train(c Case, seed uint64) (*Sample, error)
	// Valid returns the sample without augmentation.
	Valid(c Case) (*Sample, error)
}
