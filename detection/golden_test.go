package detection

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/golden"
)

// number is a JSON number, or NaN or an infinity as a string.
type number float64

func (n *number) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	v, err := strconv.ParseFloat(s, 64)
	*n = number(v)
	return err
}

func floats(n []number) []float64 {
	out := make([]float64, len(n))
	for i, v := range n {
		out[i] = float64(v)
	}
	return out
}

// goldenIndex holds what picai_eval and report_guided_annotation returned.
type goldenIndex struct {
	Candidates []struct {
		Volume    string `json:"volume"`
		HardBlobs string `json:"hard_blobs"`
		Threshold any    `json:"threshold"`
		Options   struct {
			MinVoxels      *int     `json:"min_voxels_detection"`
			Most           *int     `json:"num_lesions_to_extract"`
			Factor         *float64 `json:"dynamic_threshold_factor"`
			RemoveAdjacent *bool    `json:"remove_adjacent_lesion_candidates"`
		} `json:"options"`
		Confidences []float64 `json:"confidences"`
	} `json:"candidates"`
	Cases []struct {
		Map            string      `json:"detection_map"`
		Label          string      `json:"label"`
		MinOverlap     float64     `json:"min_overlap"`
		Overlap        string      `json:"overlap"`
		CaseConfidence string      `json:"case_confidence"`
		AllowUnmatched bool        `json:"allow_unmatched"`
		Entries        [][]float64 `json:"entries"`
		Confidence     float64     `json:"confidence"`
	} `json:"cases"`
	Sets []struct {
		Name         string                 `json:"name"`
		Results      map[string][][]float64 `json:"lesion_results"`
		CaseWeight   map[string]float64     `json:"case_weight"`
		LesionWeight map[string][]float64   `json:"lesion_weight"`
		AP           number                 `json:"AP"`
		AUROC        number                 `json:"AUROC"`
		Score        number                 `json:"score"`
		Precision    []number               `json:"precision"`
		Recall       []number               `json:"recall"`
		LesionTPR    []number               `json:"lesion_TPR"`
		LesionFPR    []number               `json:"lesion_FPR"`
		Thresholds   []number               `json:"thresholds"`
		CaseTPR      []number               `json:"case_TPR"`
		CaseFPR      []number               `json:"case_FPR"`
		Lesions      int                    `json:"num_lesions"`
		Cases        int                    `json:"num_cases"`
		TPRAtFPR     map[string]number      `json:"TPR_at_FPR"`
	} `json:"sets"`
}

func readGolden(t *testing.T) (index goldenIndex, volumes *golden.File, full bool) {
	dir, full, err := golden.Dir("picai")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &index))
	volumes, err = golden.Read(filepath.Join(dir, "volumes.safetensors"))
	require.NoError(t, err)
	return index, volumes, full
}

func dense(t *testing.T, f *golden.File, name string) *tensor.Dense {
	v, ok := f.Tensors[name]
	require.True(t, ok, name)
	if v.DType == "U8" {
		return tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(v.Uint8()))
	}
	return tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(v.Float32()))
}

func TestGoldenCandidates(t *testing.T) {
	index, volumes, full := readGolden(t)
	methods := map[string]Method{"dynamic": Dynamic, "dynamic-v2": DynamicV2, "dynamic-fast": DynamicFast}
	for _, g := range index.Candidates {
		e := Extraction{}
		if name, ok := g.Threshold.(string); !ok {
			e.Method, e.Threshold = Static, g.Threshold.(float64)
		} else if m, ok := methods[name]; ok {
			e.Method = m
		} else {
			e.Method = Static
			var err error
			e.Threshold, err = strconv.ParseFloat(name, 64)
			require.NoError(t, err)
		}
		if o := g.Options; o.MinVoxels != nil {
			e.MinVoxels, e.MaxCandidates, e.Factor = *o.MinVoxels+1, *o.Most, *o.Factor
		} else if o.RemoveAdjacent != nil {
			e.KeepAdjacent = !*o.RemoveAdjacent
		}
		what := fmt.Sprintf("%s %+v", g.Volume, e)
		c, err := e.Candidates(dense(t, volumes, g.Volume))
		require.NoError(t, err, what)
		assert.Equal(t, g.Confidences, append([]float64{}, c.Confidences...), what)
		require.True(t, slices.Equal(volumes.Tensors[g.HardBlobs].Float32(), c.Map.Data().([]float32)), what)
		for i, l := range c.Labels.Data().([]int32) {
			v := c.Map.Data().([]float32)[i]
			require.True(t, l == 0 && v == 0 || l > 0 && float64(v) == c.Confidences[l-1], what)
		}
	}
	t.Logf("%d candidate cases (full set: %v)", len(index.Candidates), full)
	assert.GreaterOrEqual(t, len(index.Candidates), 18)
}

func TestGoldenMatching(t *testing.T) {
	index, volumes, full := readGolden(t)
	for _, g := range index.Cases {
		m := Matching{MinOverlap: g.MinOverlap, CountSpareCandidates: !g.AllowUnmatched}
		if g.Overlap == "DSC" {
			m.Overlap = Dice
		}
		if g.CaseConfidence == "bayesian" {
			m.Confidence = Bayesian
		}
		what := fmt.Sprintf("%s %+v", g.Map, m)
		c, err := m.Case("case", dense(t, volumes, g.Map), dense(t, volumes, g.Label))
		require.NoError(t, err, what)
		assert.InDelta(t, g.Confidence, c.Confidence, 1e-15, what)
		var got [][]float64
		for _, e := range c.Entries {
			lesion := 0.0
			if e.Lesion {
				lesion = 1
			}
			got = append(got, []float64{lesion, e.Confidence, e.Overlap})
		}
		// SciPy numbers components in another order.
		want := g.Entries
		slices.SortFunc(want, slices.Compare)
		slices.SortFunc(got, slices.Compare)
		assert.Equal(t, len(want), len(got), what)
		for i := range want {
			assert.InDeltaSlice(t, want[i], got[i], 1e-15, what)
		}
	}
	t.Logf("%d matching cases (full set: %v)", len(index.Cases), full)
	assert.GreaterOrEqual(t, len(index.Cases), 76)
}

func TestGoldenSets(t *testing.T) {
	index, _, full := readGolden(t)
	for _, g := range index.Sets {
		var cases []Case
		var weights []float64
		var entryWeights [][]float64
		for _, name := range sortedNames(g.Results) {
			c := Case{Name: name}
			for _, e := range g.Results[name] {
				c.Entries = append(c.Entries, Entry{e[0] == 1, e[1], e[2]})
				c.Confidence = max(c.Confidence, e[1])
			}
			cases = append(cases, c)
			weight := 1.0
			if g.CaseWeight != nil {
				weight = g.CaseWeight[name]
			}
			weights = append(weights, weight)
			if g.LesionWeight != nil {
				entryWeights = append(entryWeights, g.LesionWeight[name])
			} else {
				entryWeights = append(entryWeights, slices.Repeat([]float64{1}, len(c.Entries)))
			}
		}
		s, err := NewSet(cases, weights, entryWeights)
		require.NoError(t, err)
		assert.Equal(t, g.Cases, s.Cases(), g.Name)
		assert.Equal(t, g.Lesions, s.Lesions(), g.Name)
		ap, err := s.AveragePrecision()
		require.NoError(t, err)
		assert.InDelta(t, float64(g.AP), ap, 1e-14, g.Name)
		near(t, float64(g.AUROC), s.AUROC(), 1e-14, g.Name)
		score, err := s.Score()
		require.NoError(t, err)
		near(t, float64(g.Score), score, 1e-14, g.Name)

		// The curve of scikit-learn goes from low to high thresholds and ends in (1, 0).
		points, err := s.PrecisionRecall()
		require.NoError(t, err)
		precision, recall := []float64{1}, []float64{0}
		for _, p := range points {
			precision = append(precision, p.Precision)
			recall = append(recall, p.Recall)
		}
		if s.Lesions() > 0 { // otherwise scikit-learn has a recall of 1
			slices.Reverse(precision)
			slices.Reverse(recall)
			assert.InDeltaSlice(t, floats(g.Precision), precision, 1e-14, g.Name)
			assert.InDeltaSlice(t, floats(g.Recall), recall, 1e-14, g.Name)
		}

		froc := s.FROCOfPICAIEval()
		require.Len(t, froc, len(g.LesionTPR), g.Name)
		for i, p := range froc {
			near(t, float64(g.LesionTPR[i]), p.Sensitivity, 1e-7, g.Name)
			near(t, float64(g.LesionFPR[i]), p.FalsePositives, 1e-6, g.Name)
		}
		for limit, want := range g.TPRAtFPR {
			fp, err := strconv.ParseFloat(limit, 64)
			require.NoError(t, err)
			got := 0.0
			for _, p := range froc {
				if float32(p.FalsePositives) <= float32(fp) {
					got = p.Sensitivity
				}
			}
			near(t, float64(want), got, 1e-7, g.Name+" at "+limit)
		}

		// The curve of scikit-learn leaves out points in the middle of straight lines.
		for i := range g.CaseTPR {
			tpr, fpr := float64(g.CaseTPR[i]), float64(g.CaseFPR[i])
			assert.True(t, slices.ContainsFunc(s.ROC(), func(p ROCPoint) bool {
				return equal(p.TruePositiveRate, tpr, 1e-14) && equal(p.FalsePositiveRate, fpr, 1e-14)
			}), "%s: (%v, %v)", g.Name, fpr, tpr)
		}
	}
	t.Logf("%d set cases (full set: %v)", len(index.Sets), full)
	assert.GreaterOrEqual(t, len(index.Sets), 10)
}

func sortedNames[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func equal(a, b, delta float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || a == b || math.Abs(a-b) <= delta
}

func near(t *testing.T, want, got, delta float64, what string) {
	t.Helper()
	assert.True(t, equal(want, got, delta), "%s: %v, want %v", what, got, want)
}
