package dataset

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadDescription(t *testing.T) {
	brats := []Label{
		{"background", []int{0}}, {"edema", []int{1}}, {"non-enhancing tumor", []int{2}}, {"enhancing tumour", []int{3}},
	}
	for name, c := range map[string]struct {
		text string
		want Description
	}{
		"decathlon": {`{"name": "BRATS", "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
			"labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
			"numTraining": 484, "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}], "test": []}`,
			Description{Name: "BRATS", Channels: []string{"FLAIR", "T1w", "t1gd", "T2w"}, Labels: brats}},
		"nnU-Net": {`{"channel_names": {"1": "T1w", "0": "FLAIR"}, "file_ending": ".nii.gz",
			"labels": {"enhancing tumour": 3, "background": 0, "edema": 1, "non-enhancing tumor": 2}}`,
			Description{Channels: []string{"FLAIR", "T1w"}, Labels: brats}},
		"regions": {`{"labels": {"background": 0, "whole": [3, 1, 2, 1], "core": [2, 3], "enhancing": [3], "ignore": 4}, "regions_class_order": [1, 2, 3]}`,
			Description{Labels: []Label{{"background", []int{0}}, {"whole", []int{1, 2, 3}}, {"core", []int{2, 3}}, {"enhancing", []int{3}}, {"ignore", []int{4}}}}},
		"one name for two values": {`{"labels": {"0": "background", "2": "lesion", "1": "lesion"}}`,
			Description{Labels: []Label{{"background", []int{0}}, {"lesion", []int{1, 2}}}}},
		"values as text":     {`{"labels": {"lesion": "1"}, "modality": ["MR"]}`, Description{Channels: []string{"MR"}, Labels: []Label{{"lesion", []int{1}}}}},
		"number as name":     {`{"labels": {"1": "17"}}`, Description{Labels: []Label{{"17", []int{1}}}}},
		"byte order mark":    {"\uFEFF{\"name\": \"x\"}", Description{Name: "x"}},
		"nothing about them": {`{"training": [], "labels": {}}`, Description{}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), DescriptionName)
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o644))
			got, err := ReadDescription(path)
			require.NoError(t, err)
			assert.Equal(t, &c.want, got)
		})
	}
}

func TestInvalidDescription(t *testing.T) {
	_, err := ReadDescription(filepath.Join(t.TempDir(), "absent.json"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	for text, want := range map[string]string{
		``:                         "not JSON: unexpected EOF",
		`{"labels": {"0": "a"`:     `"labels": not JSON: unexpected EOF`,
		`{} x`:                     "text follows the object",
		`[]`:                       "is [], want a JSON object",
		`{"labels": []}`:           "labels: is [], want a JSON object",
		`{"labels": {"a": -1}}`:    `labels: "a": -1, want a name and its values`,
		`{"labels": {"a": 1.5}}`:   `labels: "a": 1.5, want a name and its values`,
		`{"labels": {"a": []}}`:    `labels: "a": [], want a name and its values`,
		`{"labels": {"a": null}}`:  `labels: "a": null, want a name and its values`,
		`{"labels": {"a": "b"}}`:   `labels: "a": "b", want a name and its values`,
		`{"labels": {"1": " "}}`:   "the label with the value 1 has no name",
		`{"labels": {"": 2}}`:      "the label with the value 2 has no name",
		`{"labels":{"a":1,"a":2}}`: `labels: "a" appears twice`,
		`{"modality": {"1": "a"}}`: `modality has the key "1", want the channel numbers 0 to 0`,
		`{"modality": {"x": "a"}}`: `modality has the key "x", want the channel numbers 0 to 0`,
		`{"modality": {"0": 1}}`:   "modality: the name of channel 0 is 1, want a string",
		`{"modality": 3}`:          "modality: is 3, want a JSON object",
		`{"modality": {"0": "a"}, "channel_names": {"0": "a"}}`: "both name the channels",
		`{"name": 1}`: "name is 1, want a string",
	} {
		d, err := parseDescription([]byte(text))
		assert.ErrorContains(t, err, want, text)
		assert.Nil(t, d)
	}
}

func TestLabelOfDescription(t *testing.T) {
	d := &Description{Labels: []Label{{"Background", []int{0}}, {"edema", []int{1}}, {"a", []int{2}}, {"A", []int{3}}, {"all", []int{0, 1}}}}
	for name, values := range map[string][]int{"edema": {1}, "Edema": {1}, "a": {2}, "A": {3}, "background": {0}, "ALL": {0, 1}} {
		l, ok := d.Label(name)
		assert.True(t, ok, name)
		assert.Equal(t, values, l.Values, name)
	}
	_, ok := d.Label("tumor")
	assert.False(t, ok)
	d.Labels[2].Name = "Á"
	d.Labels[3].Name = "á"
	d.Labels[1].Name = "á́"
	assert.Equal(t, []string{"á́", "Á", "á", "all"}, d.LabelNames())

	_, ok = (&Description{Labels: []Label{{"aB", []int{1}}, {"Ab", []int{2}}}}).Label("ab")
	assert.False(t, ok, "two names match")
	_, ok = (*Description)(nil).Label("a")
	assert.False(t, ok)
	assert.Empty(t, (*Description)(nil).LabelNames())
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(`{"labels": {"0": "background", "1": "edema"}, "modality": {"0": "FLAIR"}}`))
	f.Add([]byte(`{"labels": {"background": 0, "whole": [3, 1]}, "channel_names": {"0": "FLAIR", "1": "T1"}, "name": "x"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parseDescription(raw)
		if err != nil {
			return
		}
		for i, l := range d.Labels {
			require.NotEmpty(t, l.Name)
			require.NotEmpty(t, l.Values)
			require.GreaterOrEqual(t, l.Values[0], 0)
			for j := range l.Values[1:] {
				require.Less(t, l.Values[j], l.Values[j+1])
			}
			if i > 0 {
				require.LessOrEqual(t, d.Labels[i-1].Values[0], l.Values[0])
			}
			got, ok := d.Label(l.Name)
			require.True(t, ok)
			require.Equal(t, l, got, "names are unique")
		}
	})
}
