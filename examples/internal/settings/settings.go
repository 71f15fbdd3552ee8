// Package settings holds what has to be known beside a network's weights to
// use them: the network, what is done to a scan before it, and how its output
// becomes a mask. It travels in the metadata of the weights' file, so that
// nobody has to repeat it.
package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
)

// Keys of the metadata of a file of weights.
const (
	// Key holds a Settings as JSON.
	Key = "settings"
	// RuleKey holds the name of the rule that makes masks, which follows from
	// the loss and so differs between the files of one run.
	RuleKey = "decision"
)

// Settings says how a network was trained, as far as its use depends on it.
type Settings struct {
	// Config is the network with its options.
	Config models.Config `json:"network"`
	// Protocol is what was done to the scans.
	Protocol dataset.Protocol `json:"protocol"`
}

// Window returns the size of the volumes that the network was trained on: what
// scans were resized to, or the region cut out of them; zero where they were
// used whole.
func (s Settings) Window() [3]int {
	if s.Protocol.Size != [3]int{} {
		return s.Protocol.Size
	}
	return s.Protocol.Crop
}

// Store adds the settings to metadata.
func (s Settings) Store(metadata map[string]string) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	metadata[Key] = string(raw)
	return nil
}

// Read returns the settings in the metadata of a file of weights, and false
// where there are none, as in a file that another program wrote.
func Read(metadata map[string]string) (Settings, bool, error) {
	raw, ok := metadata[Key]
	if !ok {
		return Settings{}, false, nil
	}
	var s Settings
	d := json.NewDecoder(bytes.NewReader([]byte(raw)))
	// A setting that this version does not know would change the result.
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Settings{}, false, fmt.Errorf("settings: %w", err)
	}
	if s.Config.Architecture == nil {
		return Settings{}, false, errors.New("settings: they name no network")
	}
	if err := s.Protocol.Check(); err != nil {
		return Settings{}, false, fmt.Errorf("settings: %w", err)
	}
	return s, true, nil
}

// Rules are the rules that make masks of the programs' two channels, by name.
var Rules = map[string]afl.PredictionRule{
	afl.SigmoidChannel1.String(): afl.SigmoidChannel1,
	afl.Argmax.String():          afl.Argmax,
}

// ReadRule returns the rule in the metadata of a file of weights, and false
// where there is none.
func ReadRule(metadata map[string]string) (afl.PredictionRule, bool, error) {
	name, ok := metadata[RuleKey]
	if !ok {
		return 0, false, nil
	}
	rule, ok := Rules[name]
	if !ok {
		return 0, false, fmt.Errorf("settings: %s is %q, want %v or %v", RuleKey, name, afl.SigmoidChannel1, afl.Argmax)
	}
	return rule, true, nil
}
