package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/x/afl/internal/atomicfile"
)

// WriteOptions specifies how a volume is stored. The zero value is little-endian NIfTI-1 with
// float32 values and no scaling.
type WriteOptions struct {
	// Type is the type of the stored values; 0 means Float32. Values of integer types are
	// rounded to even. A value that does not fit is an error, and so is NaN in an integer
	// type.
	Type DataType
	// Version is the version of NIfTI, 1 or 2; 0 means 1, whose axes are at most 32767
	// long.
	Version int
	// BigEndian stores the most significant byte first.
	BigEndian bool
	// Slope and Inter make the stored values (value − Inter)/Slope, which readers invert
	// by Slope × stored + Inter. 0 and 0 mean no scaling. NIfTI-1 stores both in single
	// precision, and the values are scaled with the rounded numbers.
	Slope, Inter float64
}

// Write stores v as a NIfTI file, compressed if path ends in .nii.gz and plain if it ends in
// .nii. The file appears only when it is complete; on an error nothing is left behind and an
// existing file is not changed. A single channel gives a 3-D file, several give a 4-D one.
//
// The affine is stored as sform and, if its axes are perpendicular as a qform requires, also
// as qform. Both get the code for scanner coordinates.
func Write(path string, v *Volume, o WriteOptions) error {
	lower := strings.ToLower(path)
	compressed := strings.HasSuffix(lower, ".nii.gz")
	if !compressed && !strings.HasSuffix(lower, ".nii") {
		return fmt.Errorf("volume: path %q, want a name that ends in .nii or .nii.gz", path)
	}
	err := atomicfile.Write(path, func(w io.Writer) error {
		if !compressed {
			return encode(w, v, o)
		}
		zw := gzip.NewWriter(w)
		if err := encode(zw, v, o); err != nil {
			return err
		}
		return zw.Close()
	})
	if err != nil {
		return fmt.Errorf("volume: %w (%s)", err, path)
	}
	return nil
}

// check returns an error if the volume cannot be stored.
func (v *Volume) check() error {
	if v == nil {
		return errors.New("volume is nil")
	}
	total := 1
	for _, d := range [...]int{v.Dims[0], v.Dims[1], v.Dims[2], v.Channels} {
		// The comparison divides because a product could overflow.
		if d < 1 || d > len(v.Data)/total {
			return fmt.Errorf("dimensions %v with %d channels, want at least 1 along each axis and as many values as Data has (%d)", v.Dims, v.Channels, len(v.Data))
		}
		total *= d
	}
	if total != len(v.Data) {
		return fmt.Errorf("the length of Data is %d, want %d for dimensions %v with %d channels", len(v.Data), total, v.Dims, v.Channels)
	}
	return checkAffine(v.Affine)
}

// encode writes header, extension flag and voxels. On an error, part of the file may have
// been written.
func encode(w io.Writer, v *Volume, o WriteOptions) error {
	if err := v.check(); err != nil {
		return err
	}
	if o.Type == 0 {
		o.Type = Float32
	}
	if err := o.Type.check(); err != nil {
		return err
	}
	l := nifti1
	switch o.Version {
	case 0, 1:
	case 2:
		l = nifti2
	default:
		return fmt.Errorf("option Version is %d, want 1 or 2", o.Version)
	}
	if !l.wide {
		for _, d := range [...]int{v.Dims[0], v.Dims[1], v.Dims[2], v.Channels} {
			if d > math.MaxInt16 {
				return fmt.Errorf("axis of length %d, want at most %d in NIfTI-1: use Version 2", d, math.MaxInt16)
			}
		}
	}
	scaled := o.Slope != 0 || o.Inter != 0
	slope, inter := o.Slope, o.Inter
	if scaled && !l.wide {
		slope, inter = float64(float32(slope)), float64(float32(inter))
	}
	if scaled && (slope == 0 || !finite(slope) || !finite(inter)) {
		return fmt.Errorf("options Slope %g and Inter %g, want finite numbers and Slope not 0 in %v", o.Slope, o.Inter, l.format)
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if o.BigEndian {
		order = binary.BigEndian
	}

	raw := make([]byte, l.minOffset()) // the last four bytes: no extensions
	f := fields{raw: raw, l: l, order: order}
	order.PutUint32(raw, l.headerSize)
	copy(raw[l.magicAt:], l.magic)
	if !l.wide {
		raw[38] = 'r' // field regular, which ANALYZE readers expect
	}
	order.PutUint16(raw[l.datatype:], uint16(o.Type))
	order.PutUint16(raw[l.bitpix:], uint16(8*o.Type.Size()))
	axes := 3
	if v.Channels > 1 {
		axes = 4
	}
	dims := [...]int{axes, v.Dims[0], v.Dims[1], v.Dims[2], v.Channels, 1, 1, 1}
	for i, d := range dims {
		f.setDim(i, int64(d))
	}
	if l.wide {
		order.PutUint64(raw[l.voxOffset:], uint64(l.minOffset()))
	} else {
		f.setFloat(l.voxOffset, 0, float64(l.minOffset()))
	}
	storedSlope := slope
	if !scaled {
		storedSlope = 1
	}
	f.setFloat(l.slope, 0, storedSlope)
	f.setFloat(l.inter, 0, inter)
	raw[l.units+f.unitByte()] = unitMM
	if err := f.setAffine(v.Affine); err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}

	g := gridOf(&Header{Dims: v.Dims, Channels: v.Channels})
	prepare := func(row []float64) {}
	if scaled {
		prepare = func(row []float64) {
			for i, x := range row {
				row[i] = (x - inter) / slope
			}
		}
	}
	return g.pack(v.Data, o.Type, prepare, func(b []byte) error {
		if o.BigEndian {
			swapBytes(b, o.Type.Size())
		}
		_, err := w.Write(b)
		return err
	})
}

// setAffine stores pixdim, sform and, where possible, qform.
func (f fields) setAffine(a [4][4]float64) error {
	const scanner = 1 // NIFTI_XFORM_SCANNER_ANAT
	q, ok := newQform(a)
	f.setFloat(f.l.pixdim, 0, q.qfac)
	for i := range 7 {
		zoom := 1.0
		if i < 3 {
			zoom = q.zooms[i]
		}
		f.setFloat(f.l.pixdim, i+1, zoom)
	}
	if ok {
		f.setCode(f.l.qformCode, scanner)
		for i, x := range [...]float64{q.b, q.c, q.d} {
			f.setFloat(f.l.quatern, i, x)
		}
		for i, x := range q.offset {
			f.setFloat(f.l.qoffset, i, x)
		}
	}
	f.setCode(f.l.sformCode, scanner)
	var stored [4][4]float64
	stored[3][3] = 1
	for i := range 3 {
		for c := range 4 {
			f.setFloat(f.l.srow, 4*i+c, a[i][c])
			stored[i][c] = f.float(f.l.srow, 4*i+c)
		}
	}
	// Detect numbers that overflow or underflow in single precision.
	if err := checkAffine(stored); err != nil {
		return fmt.Errorf("as stored in the file: %w", err)
	}
	return nil
}
