package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/segment"
)

func TestDetectionMethod(t *testing.T) {
	for text, want := range map[string]*detection.Extraction{
		"off":          nil,
		"dynamic-fast": {Method: detection.DynamicFast},
		"dynamic":      {Method: detection.Dynamic},
		"dynamic-v2":   {Method: detection.DynamicV2},
		"static:0.25":  {Method: detection.Static, Threshold: 0.25},
		"static:1":     {Method: detection.Static, Threshold: 1},
	} {
		var d detectionMethod
		require.NoError(t, d.Set(text))
		assert.Equal(t, text, d.String())
		got, err := d.extraction()
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	var d detectionMethod
	assert.Equal(t, "off", d.String())
	for _, text := range []string{"fast", "static", "off:1", "dynamic:0.5", "static:", "static:0", "static:1.5", "static:NaN"} {
		assert.Error(t, d.Set(text), text)
	}
	assert.Equal(t, "off", d.String())
}

// TestDetectionNeedsAForeground: the default does not hinder classes and regions, but nobody
// asks for both.
func TestDetectionNeedsAForeground(t *testing.T) {
	p := tinyPICAI()
	p.Detection = "dynamic-fast"
	for want, args := range map[string][]string{
		"dynamic-fast": nil,
		"dynamic":      {"-detection", "dynamic"},
		"off":          {"-classes", "1,2"},
	} {
		f, o := newFlags(p)
		require.NoError(t, f.Parse(args))
		require.NoError(t, o.check(f))
		assert.Equal(t, want, o.detection.String())
	}
	f, o := newFlags(p)
	require.NoError(t, f.Parse([]string{"-regions", "a=1", "-detection", "dynamic"}))
	assert.ErrorContains(t, o.check(f), "leave out -regions, or -detection")
	f, o = newFlags(p)
	require.NoError(t, f.Parse([]string{"-regions", "a=1", "-detection", "off"}))
	assert.NoError(t, o.check(f))

	predicting := predictOptions{detection: "dynamic"}
	assert.NoError(t, predicting.checkDetection(segment.Scheme{}))
	assert.ErrorContains(t, predicting.checkDetection(segment.Scheme{Kind: segment.Classes}), "-detection: ")
}
