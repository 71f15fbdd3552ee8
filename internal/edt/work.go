package edt

// The methods of [Grid.Nearest] decide when to stop by counts of their work and never by
// the time, so that every run does the same. The unit of work is the test of a word
// against a shell, which takes about 2 ns.
const (
	// lookUpWork is the work of looking up the rows at an offset, and wordWork that for
	// each word of a row.
	lookUpWork, wordWork = 6, 2
	// offsetWork is the work of finding the next offset.
	offsetWork = 50
)

// The search of shells processes the rows in batches. Its work in a batch is limited to
// the lesser of
//
//	shellBudget·voxels + shellCredit·found
//	shellLimit·voxels + shellLimitCredit·found
//
// where voxels is the number of voxels of the volume in the batch and found the number of
// those whose distance was found. The first stops it soon where it finds nothing. The
// second bounds the loss where it finds something but leaves the rest to the transform,
// whose work is 5 to 20 per voxel.
const (
	shellBudget      = 1
	shellCredit      = 50
	shellLimit       = 3
	shellLimitCredit = 10

	// shellVoxels is the minimum number of voxels of the volume for each shell.
	shellVoxels = 64
	// smallVolume and narrowRow are the minimum numbers of voxels of the volume and of a
	// row for any shells at all.
	smallVolume, narrowRow = 1024, 8
)

// rowShare is the fraction of the transform's work that the search of rows may spend.
const rowShare = 0.43

// rowWork is the work of finding the nearest site in rows of some words that were looked
// up before, and of looking rows up.
func rowWork(words, visits, lookUps int) float64 {
	return (2+float64(words)/4)*float64(visits) + float64(lookUpWork+wordWork*words)*float64(lookUps)
}

// transformWork estimates the work of the transform for a number of voxels in a box of a
// size and the sites in another box.
func transformWork(voxels int, box, sites [3]int) float64 {
	lines := min(voxels, box[1]*box[2])
	planes := float64(sites[0]*box[2]) * float64(6*sites[1]+2*box[1])
	return planes + 5*float64(lines)*float64(sites[0]) + 2*float64(voxels)
}
