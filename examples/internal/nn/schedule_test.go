package nn_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// TestSchedules compares learning rates with those of PyTorch's schedulers, which compute
// each rate from the previous one; nntest/testdata/make.py wrote the reference.
func TestSchedules(t *testing.T) {
	raw, err := os.ReadFile("nntest/testdata/schedules.json")
	require.NoError(t, err)
	var cases []struct {
		Schedule nn.Schedule
		Total    int
		Base     float64
		Rates    []float64
	}
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.Len(t, cases, 40)
	for _, c := range cases {
		require.Len(t, c.Rates, c.Total)
		for step, want := range c.Rates {
			factor, err := c.Schedule.Factor(step, c.Total)
			require.NoError(t, err)
			assert.InEpsilon(t, want, c.Base*factor, 1e-12, "%+v: step %d of %d", c.Schedule, step, c.Total)
		}
	}
}

// TestScheduleEnds checks the factors at both ends and at the end of the warm-up.
func TestScheduleEnds(t *testing.T) {
	for decay, end := range map[nn.Decay]float64{"": 1, nn.Constant: 1, nn.Polynomial: 0, nn.Cosine: 0} {
		for _, warmUp := range []int{0, 4} {
			s := nn.Schedule{Decay: decay, WarmUp: warmUp}
			at := func(step int) float64 {
				f, err := s.Factor(step, 9)
				require.NoError(t, err)
				return f
			}
			assert.Equal(t, 1.0, at(warmUp), decay)
			assert.Equal(t, end, at(9), decay)
			if warmUp > 0 {
				assert.Equal(t, 1.0/3, at(0), decay)
				assert.InDelta(t, 5.0/6, at(3), 1e-15, decay)
			}
		}
	}
	f, err := nn.Schedule{Decay: nn.Cosine, Minimum: 0.25}.Factor(1, 1)
	require.NoError(t, err)
	assert.Equal(t, 0.25, f)
}

func TestScheduleRejectsInvalidSettings(t *testing.T) {
	nan := math.NaN()
	for want, c := range map[string]struct {
		s        nn.Schedule
		t, total int
	}{
		"total is 0":            {nn.Schedule{}, 0, 0},
		"t is -1":               {nn.Schedule{}, -1, 3},
		"t is 4":                {nn.Schedule{}, 4, 3},
		"WarmUp is -1":          {nn.Schedule{WarmUp: -1}, 0, 3},
		"WarmUp is 3":           {nn.Schedule{WarmUp: 3}, 0, 3},
		"WarmUpStart is 2":      {nn.Schedule{WarmUpStart: 2}, 0, 3},
		"WarmUpStart is NaN":    {nn.Schedule{WarmUpStart: nan}, 0, 3},
		"Power is -1":           {nn.Schedule{Power: -1}, 0, 3},
		"Power is +Inf":         {nn.Schedule{Power: math.Inf(1)}, 0, 3},
		"Minimum is NaN":        {nn.Schedule{Minimum: nan}, 0, 3},
		`Decay is "step", want`: {nn.Schedule{Decay: "step"}, 0, 3},
	} {
		_, err := c.s.Factor(c.t, c.total)
		assert.ErrorContains(t, err, want)
	}
}
