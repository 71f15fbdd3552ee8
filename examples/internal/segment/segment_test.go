package segment

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func brats(t *testing.T) Scheme {
	t.Helper()
	s, err := ParseRegions("WT=1,2,4;TC=1,4;ET=4", nil)
	require.NoError(t, err)
	return s
}

func TestParse(t *testing.T) {
	named := []Segment{{"anterior", []int{1}}, {"posterior", []int{2}}, {"whole", []int{1, 2}}}
	one, two := Segment{"1", []int{1}}, Segment{"3", []int{3}}
	for _, c := range []struct {
		parse func(string, []Segment) (Scheme, error)
		text  string
		named []Segment
		want  []Segment
	}{
		{ParseClasses, "1, 3", nil, []Segment{one, two}},
		{ParseClasses, "3,1", nil, []Segment{two, one}},
		{ParseClasses, "2,anterior", named, []Segment{named[1], named[0]}},
		{ParseClasses, "ANTERIOR", named, named[:1]},
		{ParseClasses, "all", named[:2], named[:2]},
		{ParseRegions, "WT=1,2,4;TC=1,4; ET = 4", nil, []Segment{{"WT", []int{1, 2, 4}}, {"TC", []int{1, 4}}, {"ET", []int{4}}}},
		{ParseRegions, "both=anterior,posterior;back=2", named, []Segment{{"both", []int{1, 2}}, {"back", []int{2}}}},
		{ParseRegions, "whole;posterior", named, []Segment{named[2], named[1]}},
		{ParseRegions, "4", nil, []Segment{{"4", []int{4}}}},
	} {
		got, err := c.parse(c.text, c.named)
		require.NoError(t, err, c.text)
		assert.Equal(t, c.want, got.Segments, c.text)
		assert.NoError(t, got.Check())
	}
}

func TestParseErrors(t *testing.T) {
	named := []Segment{{"anterior", []int{1}}, {"whole", []int{1, 2}}}
	for _, c := range []struct {
		parse func(string, []Segment) (Scheme, error)
		text  string
		named []Segment
		want  string
	}{
		{ParseClasses, "", nil, `"" is not a label, want a whole number (the data set names no labels)`},
		{ParseClasses, "all", nil, `"all" is not a label`},
		{ParseClasses, "posterior", named, `"posterior" is not a label, want a whole number or one of anterior, whole`},
		{ParseClasses, "whole", named, "several form a region"},
		{ParseClasses, "0,1", nil, "has the label 0, want 1 to 65535"},
		{ParseClasses, "65536", nil, "has the label 65536"},
		{ParseClasses, "1,2,1", nil, "two classes are named 1 and 1"},
		{ParseClasses, "1,-1", nil, "has the label -1"},
		{ParseRegions, "WT", nil, "a union is written as in WT=1,2,4"},
		{ParseRegions, "=1", nil, `the name of region 1 is ""`},
		{ParseRegions, "WT=", nil, `"" is not a label`},
		{ParseRegions, "WT=1,1", nil, "region WT has the label 1 twice"},
		{ParseRegions, "a b=1,2;a-b=2", nil, "two regions are named a b and a-b"},
		{ParseRegions, "ET=4;WT=1,2,4", nil, "every label of region ET belongs to a later region too"},
		{ParseRegions, "A=1;B=1", nil, "every label of region A belongs to a later region too"},
		{ParseRegions, "a=1;b=2;c=3;d=4;e=5;f=6;g=7;h=8;i=9", nil, "there are 9 regions, want at most 8"},
	} {
		_, err := c.parse(c.text, c.named)
		assert.ErrorContains(t, err, c.want, c.text)
	}
	assert.ErrorContains(t, Scheme{Kind: "parts", Segments: named}.Check(), `kind is "parts"`)
	assert.ErrorContains(t, Scheme{Segments: named}.Check(), `kind is ""`)
	assert.ErrorContains(t, Scheme{Kind: Classes}.Check(), "there are no classes")
	assert.ErrorContains(t, Scheme{Kind: Classes, Segments: named[1:]}.Check(), "class whole has 2 labels, want 1")
	assert.ErrorContains(t, Scheme{Kind: Regions, Segments: []Segment{{Name: "x"}}}.Check(), "region x has 0 labels, want at least 1")
	assert.ErrorContains(t, Scheme{Kind: Classes, Segments: []Segment{{"a", []int{1}}, {"b", []int{1}}}}.Check(), "the classes a and b both have the label 1")
}

func TestWords(t *testing.T) {
	assert.Equal(t, "regions WT (labels 1, 2, 4), TC (labels 1, 4), ET (label 4)", brats(t).String())
	assert.Equal(t, "foreground (every nonzero label)", Scheme{}.String())
	assert.Equal(t, "left-kidney-2+.", Segment{Name: "left kidney/2+."}.FileName())
}

// TestComposeInvertsCode composes the regions of every label and of sets of regions that no
// label has.
func TestComposeInvertsCode(t *testing.T) {
	overlapping, err := ParseRegions("A=1,2;B=2,3;C=5,6", nil)
	require.NoError(t, err)
	classes, err := ParseClasses("7,300,2", nil)
	require.NoError(t, err)
	for _, s := range []Scheme{brats(t), overlapping, classes, {}} {
		compose := s.Compose()
		assert.Zero(t, compose[0])
		for label := range 400 {
			code := s.Code(label)
			written := compose[code]
			assert.Equal(t, code, s.Code(written), "%v: label %d is written as %d", s, label, written)
		}
	}
	// Of a core outside its tumor the label of the core is written, as if it were painted
	// over the tumor.
	assert.Equal(t, []int{0, 2, 1, 1, 4, 4, 4, 4}, brats(t).Compose())
	assert.Equal(t, []int{0, 1, 3, 2, 5, 5, 5, 5}, overlapping.Compose(), "of labels 5 and 6, both only in C, the first is written")
	assert.Equal(t, []int{0, 7, 300, 2}, classes.Compose())
	assert.Equal(t, []int{0, 1}, Scheme{}.Compose())
}

func TestMaps(t *testing.T) {
	s := brats(t)
	var codes []uint8
	for _, label := range []int{0, 1, 2, 4, 3} {
		codes = append(codes, s.Code(label))
	}
	maps, channels := s.Maps(codes)
	assert.Equal(t, 3, channels)
	assert.Equal(t, []uint8{
		0, 1, 1, 1, 0,
		0, 1, 0, 1, 0,
		0, 0, 0, 1, 0,
	}, maps)
	maps, channels = Scheme{}.Maps([]uint8{0, 1})
	assert.Equal(t, 1, channels)
	assert.Equal(t, []uint8{0, 1}, maps)
}

func TestChannels(t *testing.T) {
	classes, err := ParseClasses("1,2,3", nil)
	require.NoError(t, err)
	assert.Equal(t, 4, classes.Channels())
	assert.Equal(t, 3, brats(t).Channels())
	assert.Equal(t, 2, Scheme{}.Channels())
}

func TestJSON(t *testing.T) {
	var holder struct {
		Scheme Scheme `json:",omitzero"`
	}
	raw, err := json.Marshal(holder)
	require.NoError(t, err)
	assert.Equal(t, "{}", string(raw))
	holder.Scheme = brats(t)
	raw, err = json.Marshal(holder)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(raw), `{"Scheme":{"kind":"regions","segments":[{"name":"WT","labels":[1,2,4]},`), "%s", raw)
	back := holder
	back.Scheme = Scheme{}
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.Equal(t, holder, back)
}
