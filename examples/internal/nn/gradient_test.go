package nn_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// TestOnGradient checks when each gradient is reported, with parameters that are used by
// several operations, twice by the same one, and only for a value on which the result does not
// depend.
func TestOnGradient(t *testing.T) {
	b := open(t, nn.Float64)
	params := map[string]*nn.Param{}
	for _, name := range []string{"p", "q", "r", "aside", "unused"} {
		value, err := b.FromHost(tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{1})), nn.Kept)
		require.NoError(t, err)
		params[name] = &nn.Param{Name: name, Value: value, Grad: value}
	}
	var events []string
	record := func() (*nn.Tape, nn.Var) {
		events = nil
		tape := nn.NewTape(b, nn.Training, 0)
		mean := func(name string, xs ...nn.Var) nn.Var {
			arrays := make([]nn.Array, len(xs))
			for i, x := range xs {
				arrays[i] = x.Array()
			}
			y, pullback, err := b.Mean(arrays...)
			require.NoError(t, err)
			v, err := tape.Record(y, func(g nn.Array, need []bool) ([]nn.Array, error) {
				events = append(events, name)
				return pullback(g, need)
			}, xs...)
			require.NoError(t, err)
			return v
		}
		param := func(name string) nn.Var { return tape.Param(params[name]) }
		param("unused")
		first := mean("first", tape.Input(put(t, b, []float64{1}, 1)), param("p"))
		second := mean("second", first, param("q"), param("q"))
		mean("side", second, param("aside"))
		third := mean("third", second, param("r"))
		return tape, mean("fourth", third, param("p"))
	}
	want := map[string]float64{"p": 1.0/2 + 1.0/24, "q": 1.0 / 6, "r": 1.0 / 4}
	order := []string{"fourth", "third", "final r", "second", "final q", "first", "final p"}

	tape, y := record()
	tape.OnGradient(func(p *nn.Param) error {
		events = append(events, "final "+p.Name)
		assert.InDelta(t, want[p.Name], get(t, b, p.Grad)[0], 1e-15, p.Name)
		return nil
	})
	require.NoError(t, tape.Backward(y, put(t, b, []float64{1}, 1)))
	assert.Equal(t, order, events)
	for name, p := range params {
		if want[name] == 0 {
			assert.Nil(t, p.Grad, name)
		} else {
			assert.InDelta(t, want[name], get(t, b, p.Grad)[0], 1e-15, name)
		}
	}

	replacement := put(t, b, []float64{7}, 1)
	tape, y = record()
	tape.OnGradient(func(p *nn.Param) error { p.Grad = replacement; return nil })
	require.NoError(t, tape.Backward(y, put(t, b, []float64{1}, 1)))
	assert.Same(t, replacement, params["p"].Grad)
	assert.Same(t, replacement, params["r"].Grad)

	lost := errors.New("connection lost")
	tape, y = record()
	tape.OnGradient(func(p *nn.Param) error {
		if p.Name == "q" {
			return lost
		}
		return nil
	})
	err := tape.Backward(y, put(t, b, []float64{1}, 1))
	assert.ErrorIs(t, err, lost)
	assert.ErrorContains(t, err, "gradient of q")
	assert.Nil(t, params["p"].Grad, "not yet final")
	assert.Equal(t, []string{"fourth", "third", "second"}, events)

	tape = nn.NewTape(b, nn.Training, 0)
	calls := 0
	tape.OnGradient(func(p *nn.Param) error { calls++; return nil })
	gy := put(t, b, []float64{3}, 1)
	require.NoError(t, tape.Backward(tape.Param(params["p"]), gy))
	assert.Equal(t, 1, calls)
	assert.Same(t, gy, params["p"].Grad, "the result is the parameter itself")
}
