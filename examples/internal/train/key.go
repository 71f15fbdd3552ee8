package train

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/segment"
)

// Key identifies a training within a run.
type Key struct {
	Network, Loss string
	Seed          uint64
	Fold          int // from 0; 0 if the cases are not divided into folds
}

// String returns the names of the network and the loss, the seed and the fold.
func (k Key) String() string {
	return fmt.Sprintf("%s %s, seed %d, fold %d", k.Network, k.Loss, k.Seed, k.Fold)
}

// Plan describes the trainings of a run as far as their states depend on it.
type Plan struct {
	Scheme segment.Scheme
	// Networks and Losses are names.
	Networks, Losses []string
	// Seed is the first of Seeds consecutive seeds.
	Seed  uint64
	Seeds int
	// Epochs is the number of epochs, Steps the maximum number of training steps in each; 0
	// means that an epoch has all samples.
	Epochs, Steps int
	// Batch is the number of samples in a training step, Patches that of each case in an epoch;
	// 0 means 1.
	Batch, Patches int
	// Train holds the IDs of the training cases of each fold, or of the only division.
	Train [][]string
}

// Keys returns the keys of all trainings, by network, then by loss, then by seed, then by
// fold.
func (p *Plan) Keys() []Key {
	var keys []Key
	for _, network := range p.Networks {
		for _, loss := range p.Losses {
			for seed := range uint64(p.Seeds) {
				for fold := range p.Train {
					keys = append(keys, Key{network, loss, p.Seed + seed, fold})
				}
			}
		}
	}
	return keys
}

// samples returns the number of training samples per epoch on a fold.
func (p *Plan) samples(fold int) int {
	n := len(p.Train[fold]) * p.patches()
	if p.Steps > 0 && p.Steps < p.steps(n) {
		n = p.Steps * p.batch()
	}
	return n
}

// steps returns the number of training steps that take the given number of samples. The last
// one may have fewer than the others.
func (p *Plan) steps(samples int) int {
	n := samples / p.batch()
	if samples%p.batch() != 0 {
		n++
	}
	return n
}

func (p *Plan) batch() int { return max(p.Batch, 1) }

func (p *Plan) patches() int { return max(p.Patches, 1) }

// dir returns the folder of a training in the folder of the run. That of the first seed has
// no part for the seed, so that a run can be given more seeds later.
func (p *Plan) dir(run string, k Key) string {
	parts := []string{run}
	if k.Seed != p.Seed {
		parts = append(parts, fmt.Sprintf("seed%d", k.Seed))
	}
	if len(p.Train) > 1 {
		parts = append(parts, fmt.Sprintf("fold%d", k.Fold))
	}
	return filepath.Join(append(parts, k.Network, k.Loss)...)
}

// Depth is the number of folders between the folder of a run and the files of a training.
const Depth = 4 // seed, fold, network, loss

// group names the seed and the fold of a key, as far as the plan has several.
func (p *Plan) group(k Key) string {
	var parts []string
	if p.Seeds > 1 {
		parts = append(parts, fmt.Sprintf("seed %d", k.Seed))
	}
	if len(p.Train) > 1 {
		parts = append(parts, fmt.Sprintf("fold %d", k.Fold))
	}
	return strings.Join(parts, " ")
}

// label names a training in progress lines.
func (p *Plan) label(k Key) string {
	parts := []string{k.Loss}
	if len(p.Networks) > 1 {
		parts = slices.Insert(parts, 0, k.Network)
	}
	if g := p.group(k); g != "" {
		parts = append(parts, g)
	}
	return strings.Join(parts, " ")
}
