// Package settings holds what is needed in addition to a network's weights to use them:
// the network, the preprocessing of a scan, and the prediction rule that turns the output
// into a mask. The settings are stored in the metadata of the weights file, so that
// users do not have to repeat them.
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

// Metadata keys of a weights file.
const (
	// Key holds a Settings as JSON.
	Key = "settings"
	// RuleKey holds the name of the prediction rule, which follows from the loss and so
	// differs between the files of one run.
	RuleKey = "prediction_rule"

	// earlierRuleKey is the key of the prediction rule in files of earlier versions.
	earlierRuleKey = "decision"
)

// Settings describes how a network was trained, as far as its use depends on it.
type Settings struct {
	// Config is the network with its options.
	Config models.Config `json:"network"`
	// Protocol is the preprocessing of the scans; its Scheme is what the output channels
	// mean.
	Protocol dataset.Protocol `json:"protocol"`
	// Channels are the names of the image channels in the order in which the network takes
	// them, nil if they are not known.
	Channels []string `json:"channels,omitempty"`
}

// Window returns the size of the volumes that the network was trained on: that of the
// patches taken from scans, or else the size to which they were resized, or zero if they
// were used whole.
func (s Settings) Window() [3]int {
	if s.Protocol.Crop != [3]int{} {
		return s.Protocol.Crop
	}
	return s.Protocol.Size
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

// Read returns the settings in the metadata of a weights file, and false if there are
// none, as in a file written by another program.
func Read(metadata map[string]string) (Settings, bool, error) {
	raw, ok := metadata[Key]
	if !ok {
		return Settings{}, false, nil
	}
	var s Settings
	d := json.NewDecoder(bytes.NewReader([]byte(raw)))
	// Ignoring a setting unknown to this version could change the result.
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Settings{}, false, fmt.Errorf("settings: %w", err)
	}
	if s.Config.Architecture == nil {
		return Settings{}, false, errors.New("settings: no network is named")
	}
	if err := s.Protocol.Check(); err != nil {
		return Settings{}, false, fmt.Errorf("settings: %w", err)
	}
	return s, true, nil
}

// Rules maps the names of the prediction rules to the rules.
var Rules = map[string]afl.PredictionRule{
	afl.SigmoidChannel1.String(): afl.SigmoidChannel1,
	afl.Argmax.String():          afl.Argmax,
	// Of networks for regions.
	afl.SigmoidPerChannel.String(): afl.SigmoidPerChannel,
}

// ReadRule returns the prediction rule in the metadata of a weights file, and false if
// there is none. It rejects a file of an earlier version, whose rule would otherwise be
// taken for missing.
func ReadRule(metadata map[string]string) (afl.PredictionRule, bool, error) {
	name, ok := metadata[RuleKey]
	if _, earlier := metadata[earlierRuleKey]; earlier && !ok {
		return 0, false, fmt.Errorf("settings: the file was written by an earlier version of this project, which stored %q instead of %q; train again with this version", earlierRuleKey, RuleKey)
	}
	if !ok {
		return 0, false, nil
	}
	rule, ok := Rules[name]
	if !ok {
		return 0, false, fmt.Errorf("settings: %s is %q, want %v, %v or %v", RuleKey, name, afl.SigmoidChannel1, afl.Argmax, afl.SigmoidPerChannel)
	}
	return rule, true, nil
}
