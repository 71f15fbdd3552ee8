package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

type metrics map[string]float64

func (m metrics) ReportMetric(n float64, unit string) { m[unit] = n }

func TestReport(t *testing.T) {
	s := NewSize([3]int{8, 10, 25}) // 2000 voxels
	s.Samples = 2
	got := metrics{}
	Work{Bytes: 3e6}.Report(got, s, 2e-3)
	assert.InEpsilon(t, 500, got["ns/voxel"], 1e-12)
	assert.InEpsilon(t, 1.5, got["GB/s"], 1e-12)
	assert.Len(t, got, 2)
}
