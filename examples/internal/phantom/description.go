package phantom

import (
	"encoding/json"
	"strconv"

	"github.com/x/afl/examples/internal/dataset"
)

// Description names the channels and labels of a phantom, as does its dataset.json.
func Description(kind Kind) *dataset.Description {
	d := &dataset.Description{
		Name:     "synthetic prostate MRI",
		Channels: []string{"T2W", "ADC", "HBV"},
		Labels: []dataset.Label{
			{Name: "background", Values: []int{0}},
			{Name: "grade 2", Values: []int{2}}, {Name: "grade 3", Values: []int{3}},
			{Name: "grade 4", Values: []int{4}}, {Name: "grade 5", Values: []int{5}},
		},
	}
	if kind == BraTS {
		d.Name = "synthetic brain MRI"
		d.Channels = []string{"FLAIR", "T1", "T1ce", "T2"}
		d.Labels = []dataset.Label{
			{Name: "background", Values: []int{0}},
			{Name: "necrotic core", Values: []int{necroticCore}}, {Name: "edema", Values: []int{edema}},
			{Name: "enhancing tumor", Values: []int{enhancingTumor}},
		}
	}
	return d
}

// descriptionJSON returns a description in the format of nnU-Net 2.
func descriptionJSON(d *dataset.Description) ([]byte, error) {
	channels, labels := map[string]string{}, map[string]int{}
	for i, name := range d.Channels {
		channels[strconv.Itoa(i)] = name
	}
	for _, l := range d.Labels {
		labels[l.Name] = l.Values[0]
	}
	raw, err := json.MarshalIndent(map[string]any{"name": d.Name, "channel_names": channels, "labels": labels}, "", "\t")
	return append(raw, '\n'), err
}
