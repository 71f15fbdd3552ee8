package dataset

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCheckChannelOrder(t *testing.T) {
	for name, c := range map[string]struct {
		images, channels []string
		want             string // of the error
	}{
		"in order":                {[]string{"d/a_t2w.nii", "a_adc.nii.gz", "a_hbv.mha"}, []string{"t2w", "adc", "hbv"}, ""},
		"other order":             {[]string{"a_adc.nii", "a_t2w.nii", "a_hbv.nii"}, []string{"t2w", "adc", "hbv"}, "say that the channels are adc, t2w, hbv, but their order is t2w, adc, hbv: a_t2w.nii,a_adc.nii,a_hbv.nii"},
		"case of letters":         {[]string{"a-adc.nii", "a-t2w.nii", "a-hbv.nii"}, []string{"T2W", "ADC", "HBV"}, "a-t2w.nii,a-adc.nii,a-hbv.nii"},
		"the network's order":     {[]string{"a_adc.nii", "a_t2w.nii", "a_hbv.nii"}, []string{"adc", "t2w", "hbv"}, ""},
		"usual order":             {[]string{"a_t1.nii", "a_flair.nii", "a_t1ce.nii", "a_t2.nii"}, nil, "a_flair.nii,a_t1.nii,a_t1ce.nii,a_t2.nii"},
		"usual and in order":      {[]string{"a_t2f.nii", "a_t1n.nii", "a_t1c.nii", "a_t2w.nii"}, nil, ""},
		"numbers":                 {[]string{"a_0001.nii", "a_0000.nii"}, nil, "a_0000.nii,a_0001.nii"},
		"numbers of names":        {[]string{"a_0001.nii", "a_0000.nii"}, []string{"CT", "PET"}, "a_0000.nii,a_0001.nii"},
		"numbers in order":        {[]string{"a_0000.nii", "a_0001.nii"}, []string{"CT", "PET"}, ""},
		"other channels":          {[]string{"a_adc.nii", "a_t2w.nii", "a_hbv.nii"}, []string{"CT", "PET", "X"}, ""},
		"unknown name":            {[]string{"a_adc.nii", "a_t2w.nii", "b.nii"}, []string{"t2w", "adc", "hbv"}, ""},
		"one file":                {[]string{"a_adc.nii"}, []string{"t2w", "adc", "hbv"}, ""},
		"the same name":           {[]string{"a_adc.nii", "b_adc.nii", "c_adc.nii"}, []string{"t2w", "adc", "hbv"}, ""},
		"fewer than the usual":    {[]string{"a_adc.nii", "a_t2w.nii"}, nil, ""},
		"fewer than the channels": {[]string{"a_adc.nii", "a_t2w.nii"}, []string{"t2w", "adc", "hbv"}, ""},
	} {
		err := CheckChannelOrder(c.images, c.channels)
		if c.want == "" {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorContains(t, err, c.want, name)
		}
	}
	assert.Equal(t, []string{"t2w", "", "0001", "image"}, FileChannels([]string{"x/a_t2w.nii.gz", "b.nii", "c-0001.mhd", "image.hdr"}))
}
