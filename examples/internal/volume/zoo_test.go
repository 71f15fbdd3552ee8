package volume

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// zooImage is what nibabel reads from a file of the zoo: see testdata/zoo.py.
type zooImage struct {
	File   string
	Shape  []int
	Affine [4][4]float64
	Values []float64 // first axis fastest
	Notes  int
}

// zoo writes the files of testdata/zoo.py. It skips the test where nibabel is not installed.
func zoo(t *testing.T) (dir string, images []zooImage) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import nibabel").Run(); err != nil {
		t.Skipf("%s with nibabel is not installed (%v)", python, err)
	}
	dir = t.TempDir()
	out, err := exec.Command(python, filepath.Join("testdata", "zoo.py"), dir).CombinedOutput()
	require.NoError(t, err, string(out))
	raw, err := os.ReadFile(filepath.Join(dir, "zoo.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &images))
	return dir, images
}

// TestZoo reads files as writers in the field leave them and compares shape, affine and
// values with nibabel's.
func TestZoo(t *testing.T) {
	dir, images := zoo(t)
	require.Greater(t, len(images), 100)
	for _, want := range images {
		t.Run(want.File, func(t *testing.T) {
			path := filepath.Join(dir, want.File)
			v, err := Read(path)
			require.NoError(t, err)
			h, err := ReadHeader(path)
			require.NoError(t, err)
			assert.Equal(t, v.Dims, h.Dims)
			assert.Equal(t, v.Channels, h.Channels)
			assert.Equal(t, v.Affine, h.Affine)
			assert.Len(t, h.Notes, want.Notes, "%v", h.Notes)

			shape := append(want.Shape, 1, 1, 1, 1)
			assert.Equal(t, [3]int(shape[:3]), v.Dims)
			assert.Equal(t, shape[3]*shape[4], v.Channels)
			// nibabel computes a qform's rotation in another order of operations.
			assertAffine(t, want.Affine, v.Affine, 1e-6)

			n := 0
			for c := range v.Channels {
				for k := range v.Dims[2] {
					for j := range v.Dims[1] {
						for i := range v.Dims[0] {
							got := v.Data[((c*v.Dims[0]+i)*v.Dims[1]+j)*v.Dims[2]+k]
							require.Equal(t, want.Values[n], got, "voxel %v of channel %d", [3]int{i, j, k}, c)
							n++
						}
					}
				}
			}
			assert.Len(t, want.Values, n)
		})
	}

	v, err := ReadLabel(filepath.Join(dir, "mask_under_int16_header.nii.gz"))
	require.NoError(t, err)
	for _, x := range v.Data {
		require.True(t, x == 0 || x == 1, "%v", x)
	}
}
