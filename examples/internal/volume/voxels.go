package volume

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/zlib"
)

// maxPadding is the number of bytes that may follow the voxels. A stream must be read to its
// end for its checksum to be verified; more data than this means that the header does not
// describe the file.
const maxPadding = 64 << 10

// readVoxels reads, converts, transposes and scales the values that h describes; r is
// positioned after the header.
func readVoxels(r *bufio.Reader, h *Header) ([]float64, error) {
	if n, err := io.CopyN(io.Discard, r, h.skip); err != nil {
		return nil, fmt.Errorf("file ends %d bytes before its voxels: %w", h.skip-n, noEOF(err))
	}
	var src io.Reader = r
	if h.zlib {
		if h.zlibSize > 0 {
			src = io.LimitReader(r, h.zlibSize)
		}
		z, err := zlib.NewReader(src)
		if err != nil {
			return nil, fmt.Errorf("compressed voxels: %w", noEOF(err))
		}
		src = z
	}
	raw, err := readGrowing(src, int64(h.voxels())*int64(h.Type.Size()))
	if err != nil {
		return nil, fmt.Errorf("voxels of %v %v with %d channels: %w", h.Dims, h.Type, h.Channels, err)
	}
	switch n, err := io.CopyN(io.Discard, src, maxPadding+1); {
	case err == nil:
		return nil, fmt.Errorf("more than %d bytes follow the voxels of %v %v with %d channels", maxPadding, h.Dims, h.Type, h.Channels)
	case err != io.EOF:
		return nil, fmt.Errorf("%d bytes after the voxels: %w", n, err)
	}
	if h.BigEndian {
		swapBytes(raw, h.Type.Size())
	}
	if h.voxels() > math.MaxInt/8 {
		return nil, errTooLarge
	}
	data := make([]float64, h.voxels())
	gridOf(h).unpack(data, raw, h.Type)
	if h.Slope != 1 || h.Inter != 0 {
		if err := scale(data, h.Slope, h.Inter); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// readGrowing reads exactly n bytes. Its buffer starts small and doubles as data arrive, so
// that a stream that ends early uses at most about three times its own length.
func readGrowing(r io.Reader, n int64) ([]byte, error) {
	buf := make([]byte, 0, min(n, 64<<10))
	for int64(len(buf)) < n {
		if len(buf) == cap(buf) {
			if len(buf) > math.MaxInt/2 {
				return nil, errTooLarge
			}
			buf = slices.Grow(buf, int(min(int64(len(buf)), n-int64(len(buf)))))
		}
		got, err := io.ReadFull(r, buf[len(buf):min(int64(cap(buf)), n)])
		buf = buf[:len(buf)+got]
		if err != nil {
			return nil, fmt.Errorf("data ends after %d of %d bytes: %w", len(buf), n, noEOF(err))
		}
	}
	return buf, nil
}

// errTooLarge is only possible where an int has 32 bits.
var errTooLarge = errors.New("too large for the memory that this machine can address")

var errOverflow = errors.New("scaled value overflows float64")

// scale applies value = slope × stored + inter. The explicit conversion of the product keeps
// architectures from fusing it with the sum, so that every machine gets the same bits.
func scale(data []float64, slope, inter float64) error {
	for i, x := range data {
		y := float64(x*slope) + inter
		if math.IsInf(y, 0) && !math.IsInf(x, 0) {
			return fmt.Errorf("stored value %g, slope %g, intercept %g: %w", x, slope, inter, errOverflow)
		}
		data[i] = y
	}
	return nil
}

// grid maps between the order of a file (i fastest, then j, k and usually the channel) and
// the order of Volume.Data (k fastest, then j, i and the channel).
//
// The file is a sequence of rows, each contiguous along i. The rows are ordered by j, then
// k, then an outer index (the channel, or nothing if the channels are interleaved within a
// row).
type grid struct {
	x, y, z, outer int
	// offset is the position in Data of each element of a row, relative to the row's
	// j*z + k and its outer index.
	offset []int
}

func gridOf(h *Header) grid {
	g := grid{x: h.Dims[0], y: h.Dims[1], z: h.Dims[2], outer: h.Channels}
	perVoxel := 1
	if h.interleaved {
		perVoxel, g.outer = h.Channels, 1
	}
	g.offset = make([]int, g.x*perVoxel)
	for e := range g.offset {
		i, c := e/perVoxel, e%perVoxel
		g.offset[e] = (c*g.x + i) * g.y * g.z
	}
	return g
}

// unpack transposes blocks of up to blockRows rows by blockElements elements, so that what a
// block reads and writes stays in the cache. blockPitch, the distance between its rows, is an
// odd number of cache lines: the elements of a column then lie in different sets of the cache.
const (
	blockRows     = 256
	blockElements = 32
	blockPitch    = blockElements + 8
)

// unpack fills data from little-endian values in file order.
func (g grid) unpack(data []float64, raw []byte, t DataType) {
	width, size := len(g.offset), t.Size()
	depth := min(g.z, blockRows)
	height := blockRows / depth
	block := make([]float64, blockRows*blockPitch)
	for o := range g.outer {
		base := o * g.x * g.y * g.z
		for k := 0; k < g.z; k += depth {
			nz := min(depth, g.z-k)
			for j := 0; j < g.y; j += height {
				ny := min(height, g.y-j)
				for e := 0; e < width; e += blockElements {
					columns := g.offset[e:min(e+blockElements, width)]
					n := len(columns)
					for row := range ny * nz {
						at := (((o*g.z+k+row%nz)*g.y+j+row/nz)*width + e) * size
						t.load(block[row*blockPitch:][:n], raw[at:at+n*size])
					}
					for c, off := range columns {
						for row := 0; row < ny*nz; row += nz {
							at := row*blockPitch + c
							dst := data[base+off+(j+row/nz)*g.z+k:][:nz]
							for d := range dst {
								dst[d] = block[at]
								at += blockPitch
							}
						}
					}
				}
			}
		}
	}
}

// slabZ is the number of rows, consecutive along k, that pack processes together. Their
// elements are adjacent in Data, eight to a cache line.
const slabZ = 8

// pack is the inverse of unpack: it calls write with the little-endian values in file order,
// in pieces of up to slabZ planes. Before values are converted, prepare may modify a copy of
// them in place.
func (g grid) pack(data []float64, t DataType, prepare func([]float64), write func([]byte) error) error {
	width, size := len(g.offset), t.Size()
	rows := make([]float64, slabZ*width)
	raw := make([]byte, min(slabZ, g.z)*g.y*width*size)
	for o := range g.outer {
		base := o * g.x * g.y * g.z
		for k := 0; k < g.z; k += slabZ {
			depth := min(slabZ, g.z-k)
			for j := range g.y {
				line := base + j*g.z + k
				for e, off := range g.offset {
					for d, x := range data[line+off : line+off+depth] {
						rows[d*width+e] = x
					}
				}
				prepare(rows[:depth*width])
				for d := range depth {
					at := (d*g.y + j) * width * size
					if err := t.store(raw[at:at+width*size], rows[d*width:(d+1)*width]); err != nil {
						return err
					}
				}
			}
			if err := write(raw[:depth*g.y*width*size]); err != nil {
				return err
			}
		}
	}
	return nil
}
