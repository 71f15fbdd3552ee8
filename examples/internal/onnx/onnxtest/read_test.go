package onnxtest_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/onnx"
	"github.com/x/afl/examples/internal/onnx/onnxtest"
)

// encoded returns a small model.
func encoded(t testing.TB) []byte {
	a := models.SegResNet{Width: 2, BlocksDown: []int{1, 1}, BlocksUp: []int{1}, Groups: 1}
	m, err := onnx.Record(func(b nn.Backend) (nn.Network, error) {
		return models.New(models.Config{Architecture: a, InChannels: 1}, b, 1)
	}, onnx.Options{Channels: 1, Size: [3]int{2, 2, 4}, Metadata: map[string]string{"k": "v"}})
	require.NoError(t, err)
	var raw bytes.Buffer
	require.NoError(t, m.Encode(&raw))
	return raw.Bytes()
}

func TestReadDamage(t *testing.T) {
	good := encoded(t)
	_, err := onnxtest.Read(good)
	require.NoError(t, err)
	for want, raw := range map[string]string{
		"the model has 0 graphs":                        "\x08\x08",
		"the tag of a field is damaged":                 "\xff",
		"field 1 ends early":                            "\x08\x80",
		"field 7 has 9 bytes, but only 1 follow":        "\x3a\x09a",
		"field 1 has the wire type 1":                   "\x09",
		"ModelProto has an unknown field 9":             "\x48\x01",
		"GraphProto has an unknown field 9":             "\x3a\x02\x48\x01",
		"\"\" has shape [3], but 0 bytes":               "\x3a\x06\x2a\x04\x08\x03\x10\x01",
		"\"\" has the element type 9":                   "\x3a\x04\x2a\x02\x10\x09",
		"attribute \"\" of type 2 has the values map[]": "\x3a\x07\x0a\x05\x2a\x03\xa0\x01\x02",
	} {
		_, err := onnxtest.Read([]byte(raw))
		assert.ErrorContains(t, err, want)
	}
}

// FuzzRead checks that any bytes are either rejected or read without an excess of memory.
func FuzzRead(f *testing.F) {
	f.Add(encoded(f))
	f.Add([]byte("\x3a\x06\x2a\x04\x08\x03\x10\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := onnxtest.Read(raw)
		if err != nil {
			return
		}
		values := 0
		for _, tensor := range m.Graph.Initializers {
			values += len(tensor.Floats) + len(tensor.Ints)
		}
		require.LessOrEqual(t, 4*values, len(raw))
	})
}
