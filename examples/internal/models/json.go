package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// configJSON is the JSON form of a Config.
type configJSON struct {
	Network     string          `json:"network"`
	InChannels  int             `json:"in_channels"`
	OutChannels int             `json:"out_channels,omitempty"`
	Options     json.RawMessage `json:"options,omitempty"`
}

// MarshalJSON encodes the name of the network, its channels and all its options, for
// example {"network":"unet","in_channels":3,"options":{…}}. This is what a reader of weights
// needs to reconstruct the network.
func (c Config) MarshalJSON() ([]byte, error) {
	if c.Architecture == nil {
		return nil, errors.New("models: Architecture is nil")
	}
	options, err := json.Marshal(c.Architecture)
	if err != nil {
		return nil, err
	}
	return json.Marshal(configJSON{c.Name(), c.InChannels, c.OutChannels, options})
}

// UnmarshalJSON decodes the output of MarshalJSON. Missing options have their published
// values; an unknown option is an error. Options with the key _target_ are those of MONAI's
// constructor, from which the numbers of channels are taken too; see [FromMONAI].
func (c *Config) UnmarshalJSON(raw []byte) error {
	var j configJSON
	if err := decodeStrict(raw, &j); err != nil {
		return fmt.Errorf("models: network settings: %w", err)
	}
	a, err := ByName(j.Network)
	if err != nil {
		return err
	}
	var target struct {
		Class *string `json:"_target_"`
	}
	if json.Unmarshal(j.Options, &target) == nil && target.Class != nil {
		cfg, err := FromMONAI(j.Options)
		if err != nil {
			return err
		}
		if cfg.Name() != j.Network {
			return fmt.Errorf("models: the options of %s are those of %s", j.Network, cfg.Name())
		}
		*c = cfg
		return nil
	}
	if len(j.Options) > 0 {
		v := reflect.New(reflect.TypeOf(a))
		v.Elem().Set(reflect.ValueOf(a))
		if err := decodeStrict(j.Options, v.Interface()); err != nil {
			return fmt.Errorf("models: options of %s: %w", j.Network, err)
		}
		a = v.Elem().Interface().(Architecture)
		if a.Name() != j.Network {
			return fmt.Errorf("models: the options of %s select %s instead", j.Network, a.Name())
		}
	}
	*c = Config{Architecture: a, InChannels: j.InChannels, OutChannels: j.OutChannels}
	return nil
}

func decodeStrict(raw []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(to)
}
