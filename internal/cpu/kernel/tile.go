package kernel

// Tiles lists the variants of the tile kernels. A tile kernel computes what the row
// kernels of one channel by sigmoid, or of two by softmax, compute one after the other, in
// a single call: of an overlap term its sums, or with Grad its gradient, and of a pointwise
// term alone everything that its arguments ask for, always with Grad. Package cpu says what
// each computes at the plain kernel.
func Tiles() []Variant {
	var list []Variant
	for _, v := range Logistic() {
		if !v.Cached && !v.Weighted && !v.Above && (v.Grad || v.Overlap) {
			list = append(list, v)
		}
	}
	return list
}

// TileVariants is the number of values that [Variant.Index] can have for a tile kernel.
const TileVariants = 32

// TileName names the variant of a tile kernel: tilePairGamma2OverlapGrad.
func (v Variant) TileName() string {
	if v.Pair {
		return "tilePair" + v.features()
	}
	return "tile" + v.features()
}

// Scaled reports whether a tile kernel computes σ(−s·x), which by softmax is a probability.
func (v Variant) Scaled() bool { return !v.Pair && v.Exponent >= GammaTwo }

// The rows of ArgBuffer in a tile kernel.
const (
	TileX      = iota // logit, or the difference of two, and 0 for voxels of weight 0
	TileSmall         // σ(−|x|)
	TileLog           // −log σ(|x|)
	TileMiss          // by sigmoid: σ(−s·x), s = 2t−1
	TilePower         // (1−p_t)^γ, by sigmoid σ(−s·x)^γ
	TilePower0        // the same of channel 0 of a pair
)

var _ = [RowBuffer - TilePower0]struct{}{} // they are rows of it
