package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSizes(t *testing.T) {
	sizes, err := ParseSizes("brats, picai,96x64x8,brats8")
	require.NoError(t, err)
	require.Len(t, sizes, 4)
	assert.Equal(t, BraTS, sizes[0])
	assert.Equal(t, PICAI, sizes[1])
	assert.Equal(t, "1×2×96×64×8", sizes[2].String())
	assert.Equal(t, 96*64*8, sizes[2].Voxels())
	assert.Equal(t, "8×2×224×224×144", sizes[3].String())
	assert.Equal(t, 8*sizes[0].Voxels(), sizes[3].Voxels())
	for _, bad := range []string{"", "lung", "96x64", "96x64x7", "96x64x2000", "96xbx8", "1x96x64x8", "picai,brats,picai"} {
		_, err := ParseSizes(bad)
		assert.ErrorContains(t, err, "-sizes", bad)
	}
}
