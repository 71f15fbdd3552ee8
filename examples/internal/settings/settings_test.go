package settings

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/segment"
)

func TestRoundTrip(t *testing.T) {
	for i, name := range models.Names() {
		a, err := models.ByName(name)
		require.NoError(t, err)
		p := []dataset.Protocol{dataset.PICAI(), dataset.BraTS(), {}}[i%3]
		want := Settings{Config: models.Config{Architecture: a, InChannels: 3, OutChannels: i}, Protocol: p}
		metadata := map[string]string{"other": "kept"}
		require.NoError(t, want.Store(metadata))
		got, found, err := Read(metadata)
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, want, got)
		assert.Equal(t, "kept", metadata["other"])
	}
}

// TestEveryFieldIsStored sets every field of the protocol, so that a field missing from
// the JSON is detected.
func TestEveryFieldIsStored(t *testing.T) {
	want := Settings{Config: models.Config{Architecture: models.NewUNet(), InChannels: 1}, Channels: []string{"t2w", "adc"}}
	fill(t, reflect.ValueOf(&want.Protocol).Elem())
	metadata := map[string]string{}
	require.NoError(t, want.Store(metadata))
	got, _, err := Read(metadata)
	require.NoError(t, err)
	want.Protocol.Reading = dataset.Reading{} // describes the files and not the network
	assert.Equal(t, want, got)
}

// fill sets v, recursively, to nonzero values that are valid as probabilities.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	if scheme, ok := v.Addr().Interface().(*segment.Scheme); ok {
		*scheme = segment.Scheme{Kind: segment.Regions, Segments: []segment.Segment{{Name: "a", Labels: []int{2, 1}}, {Name: "b", Labels: []int{1}}}}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Int:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(0.375)
	case reflect.Bool:
		v.SetBool(true)
	default:
		require.Fail(t, "field of unsupported kind "+v.Kind().String())
	}
}

func TestWindow(t *testing.T) {
	assert.Equal(t, [3]int{160, 128, 24}, Settings{Protocol: dataset.PICAI()}.Window())
	assert.Equal(t, [3]int{224, 224, 144}, Settings{Protocol: dataset.BraTS()}.Window())
	assert.Equal(t, [3]int{}, Settings{}.Window())
}

func TestReadErrors(t *testing.T) {
	_, found, err := Read(map[string]string{"model": "unet"})
	require.NoError(t, err)
	assert.False(t, found)
	for text, want := range map[string]string{
		"{": "settings: unexpected EOF",
		`{"network":{"network":"unet"},"protocol":{"Sharpen":1}}`: `unknown field "Sharpen"`,
		`{"protocol":{}}`: "no network is named",
		`{"network":{"network":"unet"},"protocol":{"FlipProb":2}}`: "Protocol.FlipProb is 2",
	} {
		_, _, err := Read(map[string]string{Key: text})
		assert.ErrorContains(t, err, want)
	}
}

func TestRule(t *testing.T) {
	for _, rule := range []afl.PredictionRule{afl.Argmax, afl.SigmoidChannel1, afl.SigmoidPerChannel} {
		got, found, err := ReadRule(map[string]string{RuleKey: rule.String()})
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, rule, got)
	}
	_, found, err := ReadRule(nil)
	require.NoError(t, err)
	assert.False(t, found)
	_, _, err = ReadRule(map[string]string{RuleKey: "coin"})
	assert.ErrorContains(t, err, `prediction_rule is "coin", want SigmoidChannel1, Argmax or SigmoidPerChannel`)
	_, _, err = ReadRule(map[string]string{"decision": "Argmax"})
	assert.ErrorContains(t, err, "written by an earlier version")
}
