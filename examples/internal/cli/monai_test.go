package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
)

// TestOptionsOfMONAI gives -options the arguments of MONAI's constructor.
func TestOptionsOfMONAI(t *testing.T) {
	cfg, err := configOf("unet", `{"_target_":"UNet","spatial_dims":3,"in_channels":1,"out_channels":3,"channels":[4,8],"strides":[2],"num_res_units":1}`)
	require.NoError(t, err)
	want := models.UNet{Channels: []int{4, 8}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 1, Norm: models.InstanceNorm, Activation: models.PReLU, Order: "NA"}
	assert.Equal(t, models.Config{Architecture: want, InChannels: 1, OutChannels: 3}, cfg)
	_, err = configOf("unet", `{"_target_":"UNet","spatial_dims":3,"in_channels":1,"out_channels":3,"channels":[4,8],"strides":[2],"dropout":0.5}`)
	assert.ErrorContains(t, err, "MONAI's UNet: argument dropout is 0.5, want 0")
}
