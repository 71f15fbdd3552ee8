package models_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
)

// TestFit checks for every network that the fitted settings accept the fitted size, and the
// choices for the sizes of the paper's two data sets.
func TestFit(t *testing.T) {
	const flat = "Network strides: (2,2,2), (2,2,2), (2,2,2), (2,2,1); 160×128×24 voxels cannot be divided once more along Z."
	picai := map[string]string{
		"unet": flat, "attunet": flat,
		"unet_resnet50": "Network strides: (2,2,2), (4,2,1), (2,2,2), (2,2,1), (1,2,3), those of the paper's code for PI-CAI; the others do not divide 160×128×24 voxels.",
		"regunet":       "", "segresnet": "", "mrrn": "", "unet_few_slices": "",
	}
	for _, name := range models.Names() {
		a, err := models.ByName(name)
		require.NoError(t, err)
		cfg := models.Config{Architecture: a, InChannels: 4}
		for _, size := range [][3]int{{160, 128, 24}, {224, 224, 144}, {32, 40, 24}, {17, 1, 100}} {
			fit := models.Fit(cfg, size)
			assert.NoError(t, nn.CheckMultiple(name, fit.Size, fit.Config.Multiple()))
			for axis := range 3 {
				assert.GreaterOrEqual(t, fit.Size[axis], size[axis])
				assert.Less(t, fit.Size[axis]-size[axis], fit.Config.Multiple()[axis])
			}
			unchanged := assert.ObjectsAreEqual(cfg, fit.Config) && fit.Size == size
			assert.Equal(t, unchanged, len(fit.Notes) == 0, "%s, %v", name, size)
			assert.Equal(t, cfg.InChannels, fit.Config.InChannels)
		}
		assert.Empty(t, models.Fit(cfg, [3]int{224, 224, 144}).Notes, "every network accepts the BraTS size unchanged")
		cfg.InChannels = 3

		want, ok := picai[name]
		if !ok {
			want = "Volumes of 160×128×24 voxels are padded with zeros to 160×128×32: " + name + " requires multiples of 16×16×16."
		}
		fit := models.Fit(cfg, [3]int{160, 128, 24})
		var notes []string
		if _, ok := a.(models.VNet); ok {
			notes = append(notes, "Network input: "+name+" repeats the 3 channels cyclically up to 16; the published classes reject a number that does not divide 16.")
		}
		if want != "" {
			notes = append(notes, want)
		}
		assert.Equal(t, notes, fit.Notes, name)
		again, err := models.ByName(name)
		require.NoError(t, err)
		assert.Equal(t, cfg, models.Config{Architecture: again, InChannels: 3}, "Fit does not modify its argument")
	}

	u := models.NewUNet()
	fit := models.Fit(models.Config{Architecture: u, InChannels: 1}, [3]int{40, 24, 20})
	assert.Equal(t, []string{
		"Network strides: (2,2,2), (2,2,2), (2,2,2), (1,1,2); 40×24×20 voxels cannot be divided once more along X and Y.",
		"Volumes of 40×24×20 voxels are padded with zeros to 40×24×32: unet requires multiples of 8×8×16.",
	}, fit.Notes)
	assert.Equal(t, [3]int{2, 2, 2}, u.Strides[3])
}
