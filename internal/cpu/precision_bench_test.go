package cpu_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/workload"
)

// BenchmarkPrecision times every kind of call with float32 and float64 logits by turns, on
// one core, and reports how many times as long float32 takes. It is about plain Go:
//
//	go test -tags noasm ./internal/cpu -run - -bench Precision -benchtime 1x
//	GOARCH=386 go test ./internal/cpu -run - -bench Precision -benchtime 1x
//	GOOS=js GOARCH=wasm go test -exec "$(go env GOROOT)/lib/wasm/go_js_wasm_exec" ./internal/cpu -run - -bench Precision -benchtime 1x
func BenchmarkPrecision(b *testing.B) {
	size := workload.NewSize([3]int{64, 64, 24})
	calls := append([]workload.Call{{Name: "class-indices"}}, workload.Calls...)
	for _, c := range calls {
		if c.Float64 || c.Images {
			continue
		}
		for _, loss := range []string{"ce", "fl", "afl", "dice", "dice-focal"} {
			name := c.Loss(loss)
			if name == "" {
				continue
			}
			b.Run("call="+c.Name+"/loss="+name, func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
				var evaluate [2]func() // in float32, in float64
				for i := range evaluate {
					c.Float64 = i == 1
					l, err := c.NewLoss(name)
					require.NoError(b, err)
					batch := c.NewBatch(c.Size(size, size))
					options, err := c.EvalOptions(l, batch, true)
					require.NoError(b, err)
					evaluate[i] = func() {
						_, err := l.Eval(batch.Logits, batch.Labels, batch.Grad, options...)
						require.NoError(b, err)
					}
				}
				best := [2]float64{1e9, 1e9} // ms
				for b.Loop() {
					for begin, n := time.Now(), 0; n < 4 || time.Since(begin) < 100*time.Millisecond; n++ {
						for i, run := range evaluate {
							start := time.Now()
							run()
							best[i] = min(best[i], time.Since(start).Seconds()*1e3)
						}
					}
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(best[0], "float32-ms")
				b.ReportMetric(best[1], "float64-ms")
				b.ReportMetric(best[0]/best[1], "ratio")
			})
		}
	}
}
