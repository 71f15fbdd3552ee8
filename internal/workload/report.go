package workload

// Report adds the figures of one evaluation to a Go benchmark: the time per voxel in
// ns/voxel, and in GB/s the rate at which the bytes that must move were moved.
func (w Work) Report(b interface{ ReportMetric(n float64, unit string) }, s Size, seconds float64) {
	b.ReportMetric(1e9*seconds/float64(s.Voxels()), "ns/voxel")
	b.ReportMetric(float64(w.Bytes)/seconds/1e9, "GB/s")
}
