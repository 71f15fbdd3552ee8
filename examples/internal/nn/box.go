package nn

import "fmt"

// Box is a part of a volume: Size voxels along each axis, beginning at Start.
type Box struct{ Start, Size [3]int }

// Check returns an error if shape is not N×C×X×Y×Z or if the box is empty or not inside the
// volume.
func (b Box) Check(shape []int) error {
	if len(shape) != 5 {
		return fmt.Errorf("y has shape %v, want N×C×X×Y×Z", shape)
	}
	for i, n := range shape[2:] {
		if b.Start[i] < 0 || b.Size[i] < 1 || b.Size[i] > n || b.Start[i] > n-b.Size[i] {
			return fmt.Errorf("the box of %v voxels from %v on is not inside a volume of %v", b.Size, b.Start, shape[2:])
		}
	}
	return nil
}

// Whole reports whether the box is the whole of a volume N×C×X×Y×Z.
func (b Box) Whole(shape []int) bool { return b.Size == [3]int(shape[2:]) }

// Crop copies the part of src inside a box to dst. src has the given shape, N×C×X×Y×Z, and dst
// the shape N×C×box.
func Crop[T any](dst, src []T, shape []int, b Box) {
	b.rows(shape, func(inside, full int) { copy(dst[inside:inside+b.Size[2]], src[full:]) })
}

// Pad is the reverse of [Crop]: it copies src to the part of dst inside the box, and sets the
// rest of dst to 0.
func Pad[T any](dst, src []T, shape []int, b Box) {
	clear(dst)
	b.rows(shape, func(inside, full int) { copy(dst[full:full+b.Size[2]], src[inside:]) })
}

// rows calls do for every row of the box in every channel. The arguments are the offsets of the
// row in an array of the box alone and in the whole array.
func (b Box) rows(shape []int, do func(inside, full int)) {
	inside := 0
	for c := range shape[0] * shape[1] {
		for x := range b.Size[0] {
			for y := range b.Size[1] {
				do(inside, ((c*shape[2]+b.Start[0]+x)*shape[3]+b.Start[1]+y)*shape[4]+b.Start[2])
				inside += b.Size[2]
			}
		}
	}
}
