package memory

import (
	"io/fs"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLimit(t *testing.T) {
	const machine = "MemFree:  5 kB\nMemTotal:       16314060 kB\nBuffers: 3 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
		ok    bool
	}{
		"machine":           {map[string]string{meminfo: machine}, 16314060 << 10, true},
		"no container":      {map[string]string{meminfo: machine, cgroupV2: "max\n"}, 16314060 << 10, true},
		"container":         {map[string]string{meminfo: machine, cgroupV2: "1073741824\n"}, 1 << 30, true},
		"larger container":  {map[string]string{meminfo: machine, cgroupV2: "109951162777600\n"}, 16314060 << 10, true},
		"version 1":         {map[string]string{meminfo: machine, cgroupV1: "1073741824\n"}, 1 << 30, true},
		"version 1, none":   {map[string]string{meminfo: machine, cgroupV1: "9223372036854771712\n"}, 16314060 << 10, true},
		"container alone":   {map[string]string{cgroupV2: "1073741824\n"}, 1 << 30, true},
		"nothing":           {nil, 0, false},
		"another system":    {map[string]string{meminfo: "total 5"}, 0, false},
		"no number":         {map[string]string{meminfo: "MemTotal: x kB"}, 0, false},
		"negative":          {map[string]string{meminfo: "MemTotal: -4 kB", cgroupV2: "-1"}, 0, false},
		"larger than int64": {map[string]string{meminfo: "MemTotal: 9223372036854775807 kB"}, 0, false},
	} {
		got, ok := limitOf(func(path string) ([]byte, error) {
			if text, ok := c.files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		assert.Equal(t, c.ok, ok, name)
		if ok {
			assert.Equal(t, c.want, got, name)
		}
	}
	if runtime.GOOS == "linux" {
		limit, ok := Limit()
		assert.True(t, ok)
		assert.Greater(t, limit, int64(1<<26))
	}
}
