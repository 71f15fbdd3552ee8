package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func fileCases(t *testing.T, n int) []Case {
	t.Helper()
	dir := t.TempDir()
	cases := make([]Case, n)
	for i := range cases {
		id := fmt.Sprintf("case%d", i)
		cases[i] = Case{ID: id, Images: []string{filepath.Join(dir, id+".nii")}, Label: filepath.Join(dir, id+"_gt.nii")}
		writeVolume(t, cases[i].Images[0], 2, [3]int{5, 4, 3}, identity, func(j int) float64 { return float64((i+1)*(j+3)%17) + 1 })
		writeVolume(t, cases[i].Label, 1, [3]int{5, 4, 3}, identity, sparse)
	}
	return cases
}

func TestCacheIsBitIdenticalToProtocol(t *testing.T) {
	cases := fileCases(t, 2)
	p := PICAI()
	p.Size, p.Translate = [3]int{4, 6, 3}, [3]int{2, 2, 2}
	for _, budget := range []int64{0, 1 << 20} {
		c := NewCache(p, budget)
		for round := range uint64(3) {
			for _, k := range cases {
				want, err := p.Train(k, round)
				require.NoError(t, err)
				got, err := c.Train(k, round)
				require.NoError(t, err)
				assert.Equal(t, bytesOf(want), bytesOf(got))
				// The owner of a sample may modify it.
				clear(got.Image.Data().([]float32))
				clear(got.Label.Data().([]uint8))
				want, err = p.Valid(k)
				require.NoError(t, err)
				got, err = c.Valid(k)
				require.NoError(t, err)
				assert.Equal(t, bytesOf(want), bytesOf(got))
				clear(got.Image.Data().([]float32))
				clear(got.Label.Data().([]uint8))
			}
		}
	}
}

func TestCacheStaysWithinItsBudget(t *testing.T) {
	cases := fileCases(t, 4)
	const size = 5 * 4 * 3 * (2*4 + 1)
	c := NewCache(Protocol{}, 2*size+size/2)
	for range 2 {
		for _, k := range cases {
			_, err := c.Valid(k)
			require.NoError(t, err)
		}
	}
	used, n := c.Used()
	assert.Equal(t, int64(2*size), used)
	assert.Equal(t, 2, n)

	// The first two are cached, the others are read again.
	for i, k := range cases {
		require.NoError(t, os.Remove(k.Images[0]))
		_, err := c.Valid(k)
		assert.Equal(t, i >= 2, err != nil, "case %d: %v", i, err)
	}
	_, err := c.Train(cases[3], 1)
	assert.ErrorContains(t, err, "case3")
}

func TestCacheFromManyGoroutines(t *testing.T) {
	cases := fileCases(t, 3)
	c := NewCache(Protocol{FlipProb: 0.5}, 1<<20)
	var wg sync.WaitGroup
	got := make([]string, 24)
	for i := range got {
		wg.Go(func() {
			s, err := c.Train(cases[i%3], 5)
			if assert.NoError(t, err) {
				got[i] = bytesOf(s)
			}
		})
	}
	wg.Wait()
	for i := range got {
		assert.Equal(t, got[i%3], got[i])
	}
	_, n := c.Used()
	assert.Equal(t, 3, n)
}
