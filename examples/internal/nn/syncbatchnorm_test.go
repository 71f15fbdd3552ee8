package nn_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// TestSyncPassesFail checks which error and sample SyncPasses returns, and that no pass is left
// waiting for another.
func TestSyncPassesFail(t *testing.T) {
	broken := errors.New("broken")
	first := func(samples []*nn.ChannelSums) (*nn.ChannelSums, error) { return samples[0], nil }
	ended := 0
	sample, err := nn.SyncPasses(4, func(i int, sync nn.SyncFunc) error {
		defer func() { ended++ }()
		for range i + 1 {
			if _, err := sync(&nn.ChannelSums{}); err != nil {
				return err
			}
		}
		return broken
	}, first)
	assert.Equal(t, broken, err)
	assert.Zero(t, sample)
	assert.Equal(t, 4, ended)

	_, err = nn.SyncPasses(2, func(_ int, sync nn.SyncFunc) error {
		_, err := sync(&nn.ChannelSums{})
		return err
	}, func([]*nn.ChannelSums) (*nn.ChannelSums, error) { return nil, broken })
	assert.Equal(t, broken, err)

	for name, pass := range map[string]func(i int, sync nn.SyncFunc) error{
		"one norm more": func(i int, sync nn.SyncFunc) error {
			_, err := sync(&nn.ChannelSums{})
			if err == nil && i == 1 {
				_, err = sync(&nn.ChannelSums{})
			}
			return err
		},
		"backward too early": func(i int, sync nn.SyncFunc) error {
			_, err := sync(&nn.ChannelSums{Backward: i == 1})
			return err
		},
	} {
		_, err = nn.SyncPasses(2, pass, first)
		assert.EqualError(t, err, "nn: the samples of a batch pass different batch norms", name)
	}
	_, err = nn.SyncPasses(0, nil, nil)
	assert.NoError(t, err)
}

// TestSyncBatchNormOfOneValue has a single value per channel in the whole batch.
func TestSyncBatchNormOfOneValue(t *testing.T) {
	b := open(t, nn.Float64)
	build := nn.NewBuilder(b, 1)
	norm := build.BatchNorm("n", 2)
	require.NoError(t, build.Initialize())
	_, err := nn.SyncPasses(1, func(_ int, sync nn.SyncFunc) error {
		tape := nn.NewTape(b, nn.Training, 0)
		tape.SyncBatchNorm(sync)
		_, err := norm.Forward(tape, tape.Input(put(t, b, []float64{1, 2}, 1, 2, 1, 1, 1)))
		return err
	}, func(samples []*nn.ChannelSums) (*nn.ChannelSums, error) { return samples[0], nil })
	assert.EqualError(t, err, "n.weight: x has shape [1 2 1 1 1] and is the only sample, want more than one value per channel in training")
}

// TestChannelSumsOfDistantValues merges moments whose mean is large beside their deviation, in
// samples of different sizes.
func TestChannelSumsOfDistantValues(t *testing.T) {
	a := &nn.ChannelSums{Count: 2, First: []float64{1e9}, Second: []float64{2}}         // 1e9 ± 1
	a.Merge(&nn.ChannelSums{Count: 3, First: []float64{1e9 + 5}, Second: []float64{6}}) // 1e9 + 5, ± 3
	assert.Equal(t, 5.0, a.Count)
	assert.InDelta(t, 3, a.First[0]-1e9, 1e-6)
	assert.InDelta(t, 2+6+25*6.0/5, a.Second[0], 1e-6)
	s := a.Statistics()
	assert.InDelta(t, 38.0/4, s.Var[0], 1e-6)
}
