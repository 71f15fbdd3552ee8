package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// ascending makes a tensor of 0, 1, … in row-major order.
func ascending(shape ...int) *tensor.Dense {
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(i)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// inOrder returns the elements in row-major order, one by one from where the
// strides say they are.
func inOrder(t *tensor.Dense) []float32 {
	shape, strides := t.Shape(), t.Strides()
	out := make([]float32, shape.TotalSize())
	for i := range out {
		at, rest := 0, i
		for a := len(shape) - 1; a >= 0; a-- {
			at += rest % shape[a] * strides[a]
			rest /= shape[a]
		}
		out[i] = t.Data().([]float32)[at]
	}
	return out
}

func TestRemediesOfLayouts(t *testing.T) {
	columnMajor := func(shape ...int) *tensor.Dense {
		return tensor.New(tensor.WithShape(shape...), tensor.AsFortran(ascending(shape...).Data()))
	}
	slice := func(d *tensor.Dense, by ...tensor.Slice) *tensor.Dense {
		view, err := d.Slice(by...)
		require.NoError(t, err)
		return view.(*tensor.Dense)
	}
	transposed := func(d *tensor.Dense, axes ...int) *tensor.Dense {
		require.NoError(t, d.T(axes...))
		return d
	}
	moved := func(d *tensor.Dense) *tensor.Dense {
		require.NoError(t, d.Transpose())
		return d
	}
	clone := func(d *tensor.Dense) *tensor.Dense { return d.Clone().(*tensor.Dense) }
	safeT, err := ascending(2, 3, 4).SafeT(1, 2, 0)
	require.NoError(t, err)

	const materialize, sliceFirst = "as its Materialize method returns it", "as the Materialize method of its Slice() returns it"
	for name, c := range map[string]struct {
		tensor *tensor.Dense
		remedy string
	}{
		"column-major matrix":                  {columnMajor(3, 4), sliceFirst},
		"column-major":                         {columnMajor(2, 3, 4), sliceFirst},
		"clone of a column-major":              {clone(columnMajor(2, 3, 4)), sliceFirst},
		"transposed column-major":              {transposed(columnMajor(2, 3, 4), 1, 2, 0), materialize},
		"transposed column-major, moved":       {moved(transposed(columnMajor(2, 3, 4), 1, 2, 0)), sliceFirst},
		"slice of a column-major":              {slice(columnMajor(2, 3, 4), nil, tensor.S(1, 3)), materialize},
		"columns":                              {slice(ascending(3, 4), nil, tensor.S(1, 3)), materialize},
		"a column":                             {slice(ascending(3, 4), nil, tensor.S(1)), materialize},
		"every other row":                      {slice(ascending(7, 4), tensor.S(0, 7, 2)), materialize},
		"rows of planes":                       {slice(ascending(2, 3, 4), nil, tensor.S(1, 3)), materialize},
		"clone of rows of planes":              {clone(slice(ascending(2, 3, 4), nil, tensor.S(1, 3))), sliceFirst},
		"transposed matrix":                    {transposed(ascending(3, 4)), materialize},
		"transposed":                           {transposed(ascending(2, 3, 4), 1, 2, 0), materialize},
		"clone of a transposed":                {clone(transposed(ascending(2, 3, 4), 2, 0, 1)), materialize},
		"SafeT":                                {safeT, materialize},
		"transposed rows of planes":            {transposed(slice(ascending(2, 3, 4), nil, tensor.S(1, 3)), 2, 0, 1), materialize},
		"slice of a transposed":                {slice(transposed(ascending(2, 3, 4), 2, 0, 1), nil, nil, tensor.S(1, 3)), materialize},
		"clone of a slice of a transposed":     {clone(slice(transposed(ascending(2, 3, 4), 2, 0, 1), nil, nil, tensor.S(1, 3))), sliceFirst},
		"transposed, which can be moved too":   {moved(transposed(ascending(2, 3, 4), 1, 2, 0)), ""},
		"rows, which are contiguous already":   {slice(ascending(2, 3, 4), tensor.S(1)), ""},
		"column-major of one axis that counts": {columnMajor(1, 4, 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckRowMajor("it", c.tensor)
			if c.remedy == "" {
				require.NoError(t, err)
				assert.Equal(t, inOrder(c.tensor), c.tensor.Data())
				return
			}
			var refused *Refusal
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, "layout of it", refused.Argument)
			assert.True(t, strings.HasSuffix(refused.Want, "("+c.remedy+")"), refused.Want)

			want, shape := inOrder(c.tensor), slices.Clone([]int(c.tensor.Shape()))
			view := tensor.View(c.tensor)
			if c.remedy == sliceFirst {
				view, err = c.tensor.Slice()
				require.NoError(t, err)
			}
			got := view.Materialize().(*tensor.Dense)
			require.NoError(t, CheckRowMajor("it", got))
			assert.Equal(t, shape, []int(got.Shape()))
			assert.Equal(t, want, got.Data())
		})
	}
}

type deviceEngine struct{ tensor.StdEng }

func (deviceEngine) AllocAccessible() bool { return false }

func TestRemedyOfDeviceMemory(t *testing.T) {
	d := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(make([]float32, 12)), tensor.WithEngine(deviceEngine{}))
	rows, err := d.Slice(nil, tensor.S(1, 3))
	require.NoError(t, err)
	err = CheckRowMajor("it", rows.(*tensor.Dense))
	assert.ErrorContains(t, err, "in Go memory before it is copied to the device")
}
