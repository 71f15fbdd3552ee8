// Package dataset turns folders of medical images into the tensors that a
// segmentation network trains on.
//
// # From files to tensors
//
// [Find] recognizes the layout of a folder and lists its cases, and [ReadCases] reads a
// list of them. Both read the headers; [Set.Check] reads all voxels. A [Protocol]
// describes the preprocessing of a case: [PICAI] and [BraTS] return the settings of
// the paper as plain fields that can be changed. [Protocol.Train] returns an
// augmented sample whose randomness depends on its seed alone, and [Protocol.Valid]
// the sample without augmentation. [NewCache] caches the part that does not depend on
// the seed, and a [Loader] prepares the next samples while the network works on the
// current one.
//
// # Grids
//
// Every image has an affine map from voxel indices to world coordinates in
// millimeters (right, anterior, superior). The first file of a case defines its
// reference grid: channels on another grid are resampled onto it through the two
// affines (unless they agree within a hundredth of a voxel), and the label must be on
// it to within half a voxel. A label whose axes have another order or direction is
// reoriented; one on another grid is an error or, with Reading.ResampleLabels, resampled. Every transform, including the random ones, updates the
// affine so that a voxel keeps its world coordinates; distances in millimeters
// measured on a sample are therefore distances in the patient.
//
// # Labels
//
// Every nonzero label counts as tumor: BraTS labels its regions 1, 2 and 4 (3 in
// later years), PI-CAI grades its lesions 1 to 5. Protocol.Scheme selects classes or
// regions instead. Labels must be whole numbers from 0 on to within 10⁻³, the error
// of labels saved under the header of an integer scan; anything else (an interpolated
// mask, a NaN) is an error. A label without tumor remains empty.
package dataset

import "gorgonia.org/tensor"

// Case names the files of one case.
type Case struct {
	// ID is the file name without folder, suffix and extension.
	ID string
	// Images lists one file per channel, or one file that holds all channels. The
	// first defines the reference grid.
	Images []string
	// Label is the label file. If it is empty, the case has no label and Sample.Label
	// is nil.
	Label string
}

// Set is a data set as found on disk.
type Set struct {
	// Layout is the layout that was recognized.
	Layout Layout
	// Train and Valid are sorted by ID and have no case in common.
	Train, Valid []Case
	// HeldOut is true if the folder has no labeled validation cases and Valid was held
	// out of the training cases (see NNUNetLayout).
	HeldOut bool
	// Channels is the number of image channels, the same for every case.
	Channels int
	// ChannelNames are the names of the channels in channel order, from the names of the
	// files or folders, the list of cases or dataset.json; nil if they are not known.
	ChannelNames []string
	// Description is the content of the folder's dataset.json, nil if there is none.
	Description *Description
	// Notes are remarks for whoever uses the set: what was assumed or not used.
	Notes []string

	from string // folder or list of the set
}

// Sample is one case, ready for a network.
type Sample struct {
	ID string
	// Image is float32, 1×C×X×Y×Z.
	Image *tensor.Dense
	// Label is uint8, 1×X×Y×Z, 0 for background and 1 for tumor or the number of the
	// class, or a map of 0 and 1 for each region, 1×R×X×Y×Z; see Protocol.Scheme. It is
	// nil if the case has no label.
	Label *tensor.Dense
	// Scan is the part of the sample that shows the scan. The rest is padding required
	// by the network, which losses and metrics should ignore.
	Scan Box
	// Spacing is the size of a voxel along X, Y and Z in millimeters.
	Spacing [3]float64
	// Affine maps a voxel of the sample to world coordinates in millimeters.
	Affine [4][4]float64
}

// Box is a box of voxels: Size voxels along each axis, beginning at Start.
type Box struct{ Start, Size [3]int }

// Source produces the samples of a case. It is implemented by [Protocol] and [Cache].
// Both methods may be called concurrently.
type Source interface {
	// Train returns an augmented sample; the same case and seed give the same bits.
	Train(c Case, seed uint64) (*Sample, error)
	// Valid returns the sample without augmentation.
	Valid(c Case) (*Sample, error)
}
