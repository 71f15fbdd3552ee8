package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/nn"
)

// share is what a process contributes to an update or to the prediction of cases.
type share[T any] struct {
	Results []T      `json:"results,omitempty"`
	Failure *failure `json:"failure,omitempty"`
	// Stop says that this process was asked to stop.
	Stop bool `json:"stop,omitempty"`
}

// failure is the first error of a process, at a position in the work of all processes.
type failure struct {
	At       int    `json:"at"`
	What     string `json:"what"`
	Diverged bool   `json:"diverged,omitempty"`
}

// gatherResults returns the results of all processes by rank. The error of any process is
// returned in all of them, the first one in the order of a single process. If one was asked to
// stop, the run's context is canceled in all of them.
func gatherResults[T any](j *Job, label string, own share[T], err error) ([][]T, error) {
	own.Stop = j.asked.Err() != nil
	if err != nil {
		own.Failure.What = err.Error()
		own.Failure.Diverged = errors.As(err, new(*divergence))
	}
	message, failed := json.Marshal(own)
	if failed != nil {
		return nil, fmt.Errorf("train: %w", failed)
	}
	all, failed := j.Group.Gather(label, message)
	if failed != nil {
		return nil, errors.Join(err, failed)
	}
	results := make([][]T, len(all))
	var first *failure
	rank, stop := 0, false
	for r, raw := range all {
		var s share[T]
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("train: results of process %d: %w", r, err)
		}
		results[r] = s.Results
		stop = stop || s.Stop
		if s.Failure != nil && (first == nil || s.Failure.At < first.At) {
			first, rank = s.Failure, r
		}
	}
	if stop {
		j.cancel()
	}
	switch {
	case first == nil:
		return results, nil
	case first.Diverged:
		return nil, &divergence{what: first.What, after: first.At}
	case rank == j.Group.Rank():
		return nil, dist.Common(err)
	}
	return nil, dist.Common(fmt.Errorf("process %d: %s", rank, first.What))
}

// trained is what an update needs of a sample besides its gradient.
type trained struct {
	ID         string       `json:"id"`
	Size       [3]int       `json:"size"`
	Loss       float64      `json:"loss"`
	Statistics []statistics `json:"statistics,omitempty"`

	later nn.LateNumber // Loss, where it is not read yet
}

// statistics are nn.Statistics. Float32 values are the bytes of their bits.
type statistics struct {
	// Norm is the position of the running mean among the buffers of the network. The running
	// variance and the counter follow it.
	Norm      int    `json:"norm"`
	Mean, Var []byte `json:",omitempty"`
}

// pack describes the statistics of a pass for other processes.
func pack(net nn.Network, passes []nn.Statistics) []statistics {
	position := map[*nn.Buffer]int{}
	for i, f := range net.Buffers() {
		position[f] = i
	}
	var packed []statistics
	for _, s := range passes {
		packed = append(packed, statistics{position[s.Norm.RunningMean], packBits(s.Mean), packBits(s.Var)})
	}
	return packed
}

// unpack is the inverse of pack.
func unpack(net nn.Network, packed []statistics) []nn.Statistics {
	buffers := net.Buffers()
	var passes []nn.Statistics
	for _, s := range packed {
		norm := &nn.BatchNorm{RunningMean: buffers[s.Norm], RunningVar: buffers[s.Norm+1], Batches: buffers[s.Norm+2]}
		passes = append(passes, nn.Statistics{Norm: norm, Mean: unpackBits(s.Mean), Var: unpackBits(s.Var)})
	}
	return passes
}

// packBits returns the bytes of the bits of numbers.
func packBits(values []float64) []byte {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return raw
}

// unpackBits is the inverse of packBits.
func unpackBits(raw []byte) []float64 {
	var values []float64
	for bits := range slices.Chunk(raw, 8) {
		values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(bits)))
	}
	return values
}

// newReducer returns the Reducer of the network's gradients, nil for a single process.
func (t *trainer) newReducer() (*dist.Reducer, error) {
	if t.job.Group.Size() == 1 {
		return nil, nil
	}
	var sizes []int
	for _, p := range t.net.Parameters() {
		sizes = append(sizes, nn.Elements(p.Value.Shape()))
	}
	return dist.NewReducer(t.job.Group, sizes)
}

// epochReport is what the processes compare after the steps of an epoch.
type epochReport struct {
	// State is the SHA-256 of the network's state_dict.
	State string
	// Steps is the time of the steps, ForData the part in which the process has waited for
	// samples, Waited that for the sums of gradients, Exchanged the time that these took.
	Steps, ForData, Waited, Exchanged time.Duration
}

// compareEpoch shows how long the processes have waited, and returns an error unless all have
// the same weights. Different processors or libraries can compute different bits, from which
// the weights would drift apart unnoticed.
func (t *trainer) compareEpoch(steps time.Duration) error {
	if t.job.Group.Size() == 1 {
		t.reportWaiting(t.waited, steps, "")
		return nil
	}
	own := epochReport{Steps: steps, ForData: t.waited, Waited: t.reducer.Waited, Exchanged: t.reducer.Exchanged}
	t.reducer.Waited, t.reducer.Exchanged = 0, 0
	var err error
	if own.State, err = t.hash(); err != nil {
		return err
	}
	message, err := json.Marshal(own)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	all, err := t.job.Group.Gather("weights of an epoch", message)
	if err != nil {
		return err
	}
	reports := make([]epochReport, len(all))
	least, most := math.Inf(1), 0.0
	slowest := 0 // to get its data
	for r, raw := range all {
		if err := json.Unmarshal(raw, &reports[r]); err != nil {
			return fmt.Errorf("train: report of process %d: %w", r, err)
		}
		if reports[r].State != reports[0].State {
			return dist.Common(fmt.Errorf("train: after epoch %d, process %d has other weights (SHA-256 %.16s) than process 0 (%.16s); all processes must run the same program on processors with the same vector instructions",
				t.state.Epoch, r, reports[r].State, reports[0].State))
		}
		if reports[r].ForData > reports[slowest].ForData {
			slowest = r
		}
		waited := float64(reports[r].Waited) / float64(max(reports[r].Steps, 1))
		least, most = min(least, waited), max(most, waited)
	}
	t.job.Progress.Println(fmt.Sprintf("%s  epoch %d/%d  steps %.2f s, of which the %d processes waited %.1f to %.1f %% for the sums of gradients (%.1f MB a step, exchanged in %.2f s); same weights everywhere",
		t.label, t.state.Epoch, t.job.Epochs, steps.Seconds(), len(all), 100*least, 100*most, float64(t.reducer.Bytes)/1e6, own.Exchanged.Seconds()))
	t.reportWaiting(reports[slowest].ForData, reports[slowest].Steps, fmt.Sprintf("process %d ", slowest))
	return nil
}

// hash returns the SHA-256 of the network's state_dict in hexadecimal.
func (t *trainer) hash() (string, error) {
	state, err := nn.StateDict(t.job.Backend, t.net)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	var raw []byte
	add := func(name string) error {
		raw = raw[:0]
		var err error
		switch values := state[name].Data().(type) {
		case []float32:
			for _, v := range values {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
			}
		default:
			raw, err = binary.Append(raw, binary.LittleEndian, values)
		}
		h.Write(raw) // writing to a hash never fails
		return err
	}
	for _, p := range t.net.Parameters() {
		if err := add(p.Name); err != nil {
			return "", fmt.Errorf("train: %s: %w", p.Name, err)
		}
	}
	for _, f := range t.net.Buffers() {
		if err := add(f.Name); err != nil {
			return "", fmt.Errorf("train: %s: %w", f.Name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// join makes the processes of the Job's Group act on the cancellation of ctx together: the
// returned context is done at the same point of the work in all of them; see gatherResults.
func (j *Job) join(ctx context.Context) (context.Context, context.CancelFunc) {
	j.asked, j.cancel = ctx, func() {}
	if j.Group.Size() == 1 {
		return ctx, j.cancel
	}
	ctx, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return ctx, j.cancel
}
