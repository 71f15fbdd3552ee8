package kernel

// Sizes in voxels, from small to large.
const (
	Lanes = 16   // partial sums of a kernel: voxel i is added to sum i mod Lanes
	Block = 64   // the length of a kernel's arguments is a multiple of it
	Part  = 256  // what the loops of a vector kernel handle before they go on to the next part
	Tile  = 512  // the most that one call of a row kernel handles
	Strip = 1024 // the most that one call of a logistic kernel handles
)

// NoClass is the label of a voxel that takes no part.
const NoClass = 255

// LogisticBuffer is the scratch memory of a logistic kernel in float32 numbers: two rows
// of intermediates, and the voxel weights, which begin at LogisticWeights.
const (
	LogisticWeights = 2 * Strip
	LogisticBuffer  = 3 * Strip
)

// SoftmaxRows are the rows of Part numbers in the scratch memory of a softmax
// kernel that come before two rows for each channel.
const SoftmaxRows = 8

// SoftmaxBuffer is the scratch memory of a softmax kernel of so many channels in
// float32 numbers.
func SoftmaxBuffer(channels int) int { return Part * (SoftmaxRows + 2*channels) }

// ParabolaBlocks is the number of sizes of the blocks of a parabola kernel: of
// ParabolaBlock bytes, and twice as many each.
const (
	ParabolaBlocks = 3
	ParabolaBlock  = 64
)
