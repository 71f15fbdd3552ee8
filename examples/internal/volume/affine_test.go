package volume

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func assertAffine(t *testing.T, want, got [4][4]float64, tol float64) {
	t.Helper()
	for i := range want {
		assert.InDeltaSlice(t, want[i][:], got[i][:], tol, "row %d of %v", i, got)
	}
}

// TestNoForm reads files with pixdim only: the grid is centered and the first axis points
// to the left. The dimensions are 2×3×1, the spacing 2×3×4 mm.
func TestNoForm(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		want := [4][4]float64{{-2, 0, 0, 1}, {0, 3, 0, -3}, {0, 0, 4, 0}, {0, 0, 0, 1}}
		assertAffine(t, want, decodeBytes(t, file(nil)).Affine, 0)
		// The sign of pixdim does not define an orientation, and neither does pixdim[0]
		// without a qform.
		v := decodeBytes(t, file(func(b byteHeader, f specFields) { f.pixdim(b, -1, -2, 3, -4) }))
		assertAffine(t, want, v.Affine, 0)
	})
}

// TestQform uses quaternions whose rotation is known from geometry: a rotation by φ about
// a unit axis u is (cos φ/2, sin φ/2 · u).
func TestQform(t *testing.T) {
	h := math.Sqrt(0.5)
	for _, c := range []struct {
		name    string
		b, c, d float64
		qfac    float64
		want    [3][3]float64 // columns times the spacing 2, 3, 4
	}{
		{"identity", 0, 0, 0, 1, [3][3]float64{{2, 0, 0}, {0, 3, 0}, {0, 0, 4}}},
		{"qfac 0 counts as 1", 0, 0, 0, 0, [3][3]float64{{2, 0, 0}, {0, 3, 0}, {0, 0, 4}}},
		{"qfac -1", 0, 0, 0, -1, [3][3]float64{{2, 0, 0}, {0, 3, 0}, {0, 0, -4}}},
		{"quarter turn about x", h, 0, 0, 1, [3][3]float64{{2, 0, 0}, {0, 0, -4}, {0, 3, 0}}},
		{"quarter turn about y", 0, h, 0, 1, [3][3]float64{{0, 0, 4}, {0, 3, 0}, {-2, 0, 0}}},
		{"quarter turn about z", 0, 0, h, 1, [3][3]float64{{0, -3, 0}, {2, 0, 0}, {0, 0, 4}}},
		{"quarter turn about x, qfac -1", h, 0, 0, -1, [3][3]float64{{2, 0, 0}, {0, 0, 4}, {0, 3, 0}}},
		{"half turn about z", 0, 0, 1, 1, [3][3]float64{{-2, 0, 0}, {0, -3, 0}, {0, 0, 4}}},
		{"third of a turn about (1,1,1)", 0.5, 0.5, 0.5, 1, [3][3]float64{{0, 0, 4}, {2, 0, 0}, {0, 3, 0}}},
		{"60° about z", 0, 0, 0.5, 1, [3][3]float64{{1, -3 * math.Sqrt(0.75), 0}, {2 * math.Sqrt(0.75), 1.5, 0}, {0, 0, 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
				v := decodeBytes(t, file(func(b byteHeader, f specFields) {
					f.codes(b, 1, 0)
					f.pixdim(b, c.qfac)
					f.quatern(b, c.b, c.c, c.d, -7, 8.5, 9)
				}))
				want := [4][4]float64{
					{c.want[0][0], c.want[0][1], c.want[0][2], -7},
					{c.want[1][0], c.want[1][1], c.want[1][2], 8.5},
					{c.want[2][0], c.want[2][1], c.want[2][2], 9},
					{0, 0, 0, 1},
				}
				assertAffine(t, want, v.Affine, 2e-6) // quaternions in single precision
			})
		})
	}
}

// TestQformHalfTurnRoundedUp uses the quaternion of a half turn that rounding has made
// longer than 1.
func TestQformHalfTurnRoundedUp(t *testing.T) {
	a, err := qform{d: 1.000001, zooms: [3]float64{1, 1, 1}, qfac: 1}.affine()
	require.NoError(t, err)
	assertAffine(t, [4][4]float64{{-1}, {0, -1}, {0, 0, 1}, {0, 0, 0, 1}}, a, 1e-12)
}

func TestSformTakesPrecedence(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		// Sheared: a qform cannot represent it.
		sform := []float64{1.5, 0.25, 0, -4, 0, 2, 0.5, 5, 0, 0, -3, 6}
		v := decodeBytes(t, file(func(b byteHeader, f specFields) {
			f.codes(b, 1, 3)
			f.srow(b, sform...)
			f.quatern(b, 0, 0, 1)
		}))
		assertAffine(t, [4][4]float64{{1.5, 0.25, 0, -4}, {0, 2, 0.5, 5}, {0, 0, -3, 6}, {0, 0, 0, 1}}, v.Affine, 0)
		want := [3]float64{1.5, math.Hypot(0.25, 2), math.Hypot(0.5, 3)}
		got := v.Spacing()
		assert.InDeltaSlice(t, want[:], got[:], 1e-15)

		// It applies only if its code is set, even if its rows are filled.
		v = decodeBytes(t, file(func(b byteHeader, f specFields) {
			f.codes(b, 1, 0)
			f.srow(b, sform...)
		}))
		assertAffine(t, [4][4]float64{{2}, {0, 3}, {0, 0, 4}, {0, 0, 0, 1}}, v.Affine, 0)
	})
}

// TestUnusableSform leaves an sform without information beside a qform and alone.
func TestUnusableSform(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, sform := range map[string][]float64{
		"zero":            {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"zero but moved":  {0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9},
		"NaN":             {nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan},
		"one NaN":         {2, 0, 0, 0, 0, nan, 0, 0, 0, 0, 4, 0},
		"infinite":        {2, 0, 0, 0, 0, inf, 0, 0, 0, 0, 4, 0},
		"minus infinite ": {2, 0, 0, 0, 0, -inf, 0, 0, 0, 0, 4, 0},
	} {
		eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
			v := decodeBytes(t, file(func(b byteHeader, f specFields) {
				f.codes(b, 1, 2)
				f.srow(b, sform...)
				f.quatern(b, 0, 0, 1, -7, 8.5, 9)
			}))
			assertAffine(t, [4][4]float64{{-2, 0, 0, -7}, {0, -3, 0, 8.5}, {0, 0, 4, 9}, {0, 0, 0, 1}}, v.Affine, 1e-12)
			v = decodeBytes(t, file(func(b byteHeader, f specFields) { f.codes(b, 0, 2); f.srow(b, sform...) }))
			assert.Equal(t, decodeBytes(t, file(nil)).Affine, v.Affine, name)
		})
	}
}

// TestUnusableVoxelSize gives sizes that say nothing. They count as 1, with a note where the
// affine depends on them.
func TestUnusableVoxelSize(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		for _, x := range []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1)} {
			for name, edit := range map[string]func(b byteHeader, f specFields){
				"none":  func(b byteHeader, f specFields) {},
				"qform": func(b byteHeader, f specFields) { f.codes(b, 1, 0) },
			} {
				raw := file(func(b byteHeader, f specFields) { edit(b, f); f.pixdim(b, 1, 2, x, 4) })
				assert.Equal(t, [3]float64{2, 1, 4}, decodeBytes(t, raw).Spacing(), name)
				h, err := DecodeHeader(bytes.NewReader(raw))
				require.NoError(t, err)
				require.Len(t, h.Notes, 1)
				assert.Contains(t, h.Notes[0], "the voxel size along axis 2 (pixdim[2]) is")
			}
			raw := file(func(b byteHeader, f specFields) {
				f.codes(b, 0, 1)
				f.pixdim(b, x, x, x, x)
				f.srow(b, 5, 0, 0, 0, 0, 6, 0, 0, 0, 0, 7, 0)
			})
			h, err := DecodeHeader(bytes.NewReader(raw))
			require.NoError(t, err)
			assert.Equal(t, [3]float64{5, 6, 7}, h.Spacing())
			assert.Empty(t, h.Notes)
			raw = file(func(b byteHeader, f specFields) { f.dim(b, 2, 2, 3); f.pixdim(b, 1, 2, 3, x) })
			h, err = DecodeHeader(bytes.NewReader(raw))
			require.NoError(t, err)
			assert.Equal(t, [3]float64{2, 3, 1}, h.Spacing(), "a third axis that 2-D does not have")
			assert.Empty(t, h.Notes)
		}
		for _, qfac := range []float64{0, 1, 4, math.NaN(), math.Inf(1)} {
			v := decodeBytes(t, file(func(b byteHeader, f specFields) { f.codes(b, 1, 0); f.pixdim(b, qfac) }))
			assertAffine(t, [4][4]float64{{2}, {0, 3}, {0, 0, 4}, {0, 0, 0, 1}}, v.Affine, 0)
		}
	})
}

// TestFlatSform reads a slice whose sform leaves the third axis zero: it becomes the normal
// of the slice, as long as the voxel.
func TestFlatSform(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		v := decodeBytes(t, file(func(b byteHeader, f specFields) {
			f.codes(b, 0, 1)
			f.srow(b, 0, 3, 0, 1, 2, 0, 0, 2, 0, 0, 0, 3)
		}))
		assertAffine(t, [4][4]float64{{0, 3, 0, 1}, {2, 0, 0, 2}, {0, 0, -4, 3}, {0, 0, 0, 1}}, v.Affine, 0)
		_, err := Decode(bytes.NewReader(file(func(b byteHeader, f specFields) {
			f.codes(b, 0, 1)
			f.srow(b, 0, 3, 0, 1, 0, 3, 0, 2, 0, 0, 0, 3)
		})))
		assert.ErrorContains(t, err, "affine with spacing")
		_, err = Decode(bytes.NewReader(file(func(b byteHeader, f specFields) {
			f.codes(b, 0, 1)
			f.dim(b, 3, 1, 3, 2)
			f.srow(b, 0, 3, 0, 1, 2, 0, 0, 2, 0, 0, 0, 3)
		})))
		assert.ErrorContains(t, err, "affine with spacing", "two slices")
	})
}

func TestUnitsBecomeMillimeters(t *testing.T) {
	eachSpec(t, func(t *testing.T, file func(func(byteHeader, specFields)) []byte) {
		for units, scale := range map[byte]float64{
			0: 1, 1: 1000, 2: 1, 3: 0.001,
			3 | 8: 0.001, // with seconds as the unit of time
		} {
			v := decodeBytes(t, file(func(b byteHeader, f specFields) {
				f.units(b, units)
				f.codes(b, 0, 1)
				f.srow(b, 2, 0, 0, 5, 0, 3, 0, 6, 0, 0, 4, 7)
			}))
			want := [4][4]float64{
				{2 * scale, 0, 0, 5 * scale}, {0, 3 * scale, 0, 6 * scale}, {0, 0, 4 * scale, 7 * scale}, {0, 0, 0, 1},
			}
			assertAffine(t, want, v.Affine, 1e-12)
		}
	})
}

// TestQformOfAffine checks that expressing a rotation with zooms as a qform and evaluating
// it returns the same affine, both near and far from half turns, where the quaternion's
// real part vanishes.
func TestQformOfAffine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	quaternions := [][4]float64{
		{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1},
		{1e-9, 1, 0, 0}, {0, 1, 1, 0}, {0, 1, 1, 1}, {1e-4, -1, 1e-3, 1}, {-1, 0.3, 0.2, 0.1},
	}
	for range 500 {
		quaternions = append(quaternions, [4]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()})
	}
	for n, q := range quaternions {
		zooms := [3]float64{0.1 + rng.Float64(), 1 + rng.Float64(), 10 * (0.1 + rng.Float64())}
		qfac := float64(1 - 2*(n%2))
		want := rotationAffine(q, zooms, qfac)
		got, ok := newQform(want)
		require.True(t, ok)
		assert.Equal(t, qfac, got.qfac)
		back, err := got.affine()
		require.NoError(t, err)
		assertAffine(t, want, back, 1e-6) // near a half turn, the square root of a small difference
	}
}

// rotationAffine applies v → q v q* to the axes by multiplying quaternions.
func rotationAffine(q [4]float64, zooms [3]float64, qfac float64) [4][4]float64 {
	var length float64
	for _, x := range q {
		length += x * x
	}
	for i := range q {
		q[i] /= math.Sqrt(length)
	}
	mul := func(p, q [4]float64) [4]float64 {
		return [4]float64{
			p[0]*q[0] - p[1]*q[1] - p[2]*q[2] - p[3]*q[3],
			p[0]*q[1] + p[1]*q[0] + p[2]*q[3] - p[3]*q[2],
			p[0]*q[2] - p[1]*q[3] + p[2]*q[0] + p[3]*q[1],
			p[0]*q[3] + p[1]*q[2] - p[2]*q[1] + p[3]*q[0],
		}
	}
	a := [4][4]float64{3: {0, 0, 0, 1}}
	for c := range 3 {
		var axis [4]float64
		axis[c+1] = zooms[c]
		if c == 2 {
			axis[3] *= qfac
		}
		turned := mul(mul(q, axis), [4]float64{q[0], -q[1], -q[2], -q[3]})
		for i := range 3 {
			a[i][c] = turned[i+1]
		}
	}
	a[0][3], a[1][3], a[2][3] = -30.5, 12, 100
	return a
}

func TestQformNeedsRightAngles(t *testing.T) {
	_, ok := newQform([4][4]float64{{1, 0.1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}})
	assert.False(t, ok)
}

func TestCheckAffine(t *testing.T) {
	good := [4][4]float64{{1e-20}, {0, 1e-20}, {0, 0, 1e20}, {0, 0, 0, 1}}
	require.NoError(t, checkAffine(good), "the scale does not matter")
	for name, edit := range map[string]func(a *[4][4]float64){
		"NaN":             func(a *[4][4]float64) { a[1][2] = math.NaN() },
		"Inf":             func(a *[4][4]float64) { a[2][3] = math.Inf(-1) },
		"projective":      func(a *[4][4]float64) { a[3][1] = 0.5 },
		"last row":        func(a *[4][4]float64) { a[3][3] = 2 },
		"zero column":     func(a *[4][4]float64) { a[2][2] = 0 },
		"parallel":        func(a *[4][4]float64) { a[0][1], a[1][1] = 3, 0 },
		"almost parallel": func(a *[4][4]float64) { a[0][1], a[1][1] = 3, 3e-7 },
		"infinite norm":   func(a *[4][4]float64) { a[0][0], a[1][0] = math.MaxFloat64, math.MaxFloat64 },
	} {
		a := good
		edit(&a)
		assert.Error(t, checkAffine(a), name)
	}
}

// TestObliqueWritten writes an oblique, left-handed affine and reads it back
// through the sform and, with the sform's code removed, through the qform.
func TestObliqueWritten(t *testing.T) {
	for version := 1; version <= 2; version++ {
		for _, qfac := range []float64{1, -1} {
			want := rotationAffine([4]float64{0.9, 0.1, -0.3, 0.2}, [3]float64{0.5, 0.5, 3}, qfac)
			v := filledVolume([3]int{3, 2, 5}, 1, want, func(c, i, j, k int) float64 { return 1 })
			raw := encodeBytes(t, v, WriteOptions{Version: version})
			tol := 1e-5
			if version == 2 {
				tol = 1e-12
			}
			assertAffine(t, want, decodeBytes(t, raw).Affine, tol)
			if version == 1 {
				binary.LittleEndian.PutUint16(raw[254:], 0)
			} else {
				binary.LittleEndian.PutUint32(raw[348:], 0)
			}
			assertAffine(t, want, decodeBytes(t, raw).Affine, tol)
		}
	}
}

// TestShearedWritten writes a sheared affine, which is stored as sform only.
func TestShearedWritten(t *testing.T) {
	want := [4][4]float64{{1, 0.5, 0, 3}, {0, 2, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}
	v := filledVolume([3]int{1, 1, 1}, 1, want, func(c, i, j, k int) float64 { return 1 })
	raw := encodeBytes(t, v, WriteOptions{})
	assert.Equal(t, uint16(0), binary.LittleEndian.Uint16(raw[252:]), "qform_code")
	assert.Equal(t, uint16(1), binary.LittleEndian.Uint16(raw[254:]), "sform_code")
	assertAffine(t, want, decodeBytes(t, raw).Affine, 0)
	// pixdim still has the spacing, for readers that use nothing else.
	for i, w := range v.Spacing() {
		got := math.Float32frombits(binary.LittleEndian.Uint32(raw[80+4*i:]))
		assert.InDelta(t, w, float64(got), 1e-6, fmt.Sprintf("pixdim[%d]", i+1))
	}
}
