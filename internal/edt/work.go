package edt

// The methods of [Grid.Nearest] count their work to decide when to stop, never the time,
// so that what they do is the same in every run. The unit is a test of a word against a
// shell, which takes about 2 ns.
const (
	// lookUpWork and wordWork are what it takes to look up the rows at an offset, and
	// each word of them.
	lookUpWork, wordWork = 6, 2
	// offsetWork is what it takes to find the next offset.
	offsetWork = 50
)

// The search of shells goes through batches of rows. The work in a batch is limited to the
// lesser of
//
//	shellBudget·voxels + shellCredit·found
//	shellLimit·voxels + shellLimitCredit·found
//
// where voxels is the number of voxels of the volume in the batch and found the number of
// those whose distance was found. The first stops it soon where it finds nothing; the
// second bounds what is lost where it leaves others to the transform.
const (
	shellBudget      = 1
	shellCredit      = 50
	shellLimit       = 3
	shellLimitCredit = 10

	// shellVoxels is the least number of voxels of the volume for every shell, and
	// smallVolume that for any shells at all.
	shellVoxels = 64
	smallVolume = 1024
)

// visitWork is what it takes to find the nearest site in a row of some words.
func visitWork(words int) float64 { return 2 + float64(words)/4 }

// transformWork estimates what the transform takes for a number of voxels in a box of a
// size and the sites in another box.
func transformWork(voxels int, box, sites [3]int) float64 {
	lines := min(voxels, box[1]*box[2])
	planes := float64(sites[0]*box[2]) * float64(6*sites[1]+2*box[1])
	return planes + 5*float64(lines)*float64(sites[0]) + 2*float64(voxels)
}
