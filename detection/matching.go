package detection

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/matching"
)

// Overlap measures how far a candidate and a lesion coincide, from 0 to 1.
type Overlap int

const (
	IoU  Overlap = iota // intersection over union |C∩L|/|C∪L|
	Dice                // Dice coefficient 2·|C∩L|/(|C|+|L|)
)

func (o Overlap) String() string {
	if names := [...]string{"IoU", "Dice"}; o >= 0 && int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("Overlap(%d)", int(o))
}

// CaseConfidence derives the confidence that a case holds a lesion from its candidates.
type CaseConfidence int

const (
	Largest  CaseConfidence = iota // the largest confidence of the detection map, 0 for an empty one
	Bayesian                       // 1 − Π(1 − c) over the candidates' confidences c, as if they were independent probabilities
)

func (c CaseConfidence) String() string {
	if names := [...]string{"largest", "Bayesian"}; c >= 0 && int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("CaseConfidence(%d)", int(c))
}

// Matching says when a candidate finds a lesion. Its zero value has the settings of the
// PI-CAI challenge.
type Matching struct {
	Overlap Overlap
	// MinOverlap is the least overlap of a candidate with the lesion that it finds,
	// above 0 and at most 1; 0 means 0.1.
	MinOverlap float64
	Confidence CaseConfidence
	// CountSpareCandidates counts a candidate as a false positive that overlaps a lesion
	// enough, while another candidate is matched with that lesion. By default such
	// candidates are dropped.
	CountSpareCandidates bool
	// CenterFit pads or crops a detection map of another shape than the label around
	// its center, axis by axis, instead of refusing it. Challenge entries leave out
	// border slices. (picai_eval does this, unasked, where the map has fewer slices.)
	CenterFit bool
}

// Entry is a lesion of a case, found or not, or a false positive.
type Entry struct {
	Lesion bool // a lesion of the label; otherwise a candidate that finds none
	// Confidence is that of the candidate, 0 for a lesion without one.
	Confidence float64
	// Overlap is that of the lesion and its candidate, 0 without one.
	Overlap float64
}

// Case is the result of one case.
type Case struct {
	Name       string
	Entries    []Entry
	Confidence float64 // that the case holds a lesion
}

// Positive reports whether the case holds a lesion.
func (c Case) Positive() bool {
	return slices.ContainsFunc(c.Entries, func(e Entry) bool { return e.Lesion })
}

// Case compares the detection map of a case with its label.
//
// detectionMap is float32 or float64, slices×rows×columns or rows×columns: at least 0,
// and above 0 on candidates, each of which is a connected component of such voxels and
// has the largest of them as its confidence; it is taken as float32, like picai_eval's.
// A map with fewer components than different confidences is refused, as it will be a
// volume of probabilities. label is of the map's shape, of any integer type, bool or a
// float type, and not zero on lesions, each of which is a connected component.
//
// A candidate may find a lesion where their overlap is at least MinOverlap. Candidates
// and lesions are matched one to one such that the sum of 1 + overlap over the matched
// pairs is largest. (Large overlaps can thus outweigh one lesion more.) Entries are the
// matched lesions in row-major order, the others, and the candidates that find no lesion.
func (m Matching) Case(name string, detectionMap, label *tensor.Dense) (Case, error) {
	m, err := m.complete()
	if err != nil {
		return Case{}, err
	}
	confidence, shape, err := readFloats("detection map", detectionMap, 0, math.MaxFloat32, "a confidence of at least 0")
	if err != nil {
		return Case{}, err
	}
	for i, v := range confidence {
		confidence[i] = float64(float32(v))
	}
	lesionMask, lesionShape, err := readMask("label", label)
	if err != nil {
		return Case{}, err
	}
	if axes := detectionMap.Dims(); axes != label.Dims() || shape != lesionShape {
		if !m.CenterFit || axes != label.Dims() {
			return Case{}, refuse("shape of detection map", detectionMap.Shape(), "%v, that of the label", label.Shape())
		}
		confidence, shape = centerFit(confidence, shape, lesionShape), lesionShape
	}
	c := Case{Name: name}
	candidates, err := readCandidates(confidence, shape)
	if err != nil {
		return Case{}, err
	}
	lesionRuns, lesions := components.Find(lesionMask, shape, components.Vertex)
	c.Entries = m.entries(candidates, lesionRuns, lesions)
	c.Confidence = m.caseConfidence(candidates.confidences)
	return c, nil
}

func (m Matching) complete() (Matching, error) {
	switch {
	case m.Overlap != IoU && m.Overlap != Dice:
		return m, refuse("Overlap", m.Overlap, "IoU or Dice")
	case m.Confidence != Largest && m.Confidence != Bayesian:
		return m, refuse("Confidence", m.Confidence, "Largest or Bayesian")
	case m.MinOverlap != 0 && !(m.MinOverlap > 0 && m.MinOverlap <= 1):
		return m, refuse("MinOverlap", m.MinOverlap, "above 0 and at most 1, or 0 for 0.1")
	}
	if m.MinOverlap == 0 {
		m.MinOverlap = 0.1
	}
	return m, nil
}

// candidateList holds the components of a detection map and their confidences.
type candidateList struct {
	runs        []components.Run
	confidences []float64
}

func readCandidates(confidence []float64, shape [3]int) (candidateList, error) {
	runs, count := find(shape, func(i int) bool { return confidence[i] != 0 })
	c := candidateList{runs, make([]float64, count)}
	different := map[float64]bool{}
	for _, r := range runs {
		for _, v := range confidence[r.Start:r.End] {
			c.confidences[r.Label-1] = max(c.confidences[r.Label-1], v)
			different[v] = true
		}
		if len(different) > count {
			return c, refuse("detection map", fmt.Sprintf("a volume of %d components with more different values", count),
				"one confidence for each component (Extraction.Candidates makes such a map from probabilities)")
		}
	}
	return c, nil
}

// tiny keeps the overlap of picai_eval, which adds it to the numerator and denominator.
const tiny = 1e-8

func (m Matching) overlap(shared, candidate, lesion int) float64 {
	if m.Overlap == Dice {
		return (2*float64(shared) + tiny) / (float64(candidate+lesion) + tiny)
	}
	return (float64(shared) + tiny) / (float64(candidate+lesion-shared) + tiny)
}

// entries matches candidates and lesions.
func (m Matching) entries(c candidateList, lesionRuns []components.Run, lesions int) []Entry {
	candidateSizes := components.Sizes(c.runs, len(c.confidences))
	lesionSizes := components.Sizes(lesionRuns, lesions)
	var pairs []matching.Pair
	var overlaps []float64                    // of the pairs
	spare := make([]bool, len(c.confidences)) // candidates that overlap a lesion enough
	matched := make([]bool, len(c.confidences))
	for _, o := range components.Overlaps(lesionRuns, c.runs) {
		i, j := o.A-1, o.B-1
		if v := m.overlap(o.Voxels, candidateSizes[j], lesionSizes[i]); v >= m.MinOverlap {
			pairs, overlaps = append(pairs, matching.Pair{Row: i, Column: j, Weight: 1 + v}), append(overlaps, v)
			spare[j] = true
		}
	}
	var entries []Entry
	missed := 0
	for _, k := range matching.Assign(lesions, len(c.confidences), pairs) {
		if k < 0 {
			missed++
			continue
		}
		j := pairs[k].Column
		matched[j] = true
		entries = append(entries, Entry{Lesion: true, Confidence: c.confidences[j], Overlap: overlaps[k]})
	}
	for range missed {
		entries = append(entries, Entry{Lesion: true})
	}
	for j, confidence := range c.confidences {
		if !matched[j] && (m.CountSpareCandidates || !spare[j]) {
			entries = append(entries, Entry{Confidence: confidence})
		}
	}
	return entries
}

func (m Matching) caseConfidence(confidences []float64) float64 {
	if m.Confidence == Bayesian {
		none := 1.0
		for _, c := range confidences {
			none *= 1 - c
		}
		return 1 - none
	}
	largest := 0.0
	for _, c := range confidences {
		largest = max(largest, c)
	}
	return largest
}

// centerFit pads with zeros or crops a volume around its center to another shape. Of an
// odd number of slices, the smaller half comes first.
func centerFit(values []float64, from, to [3]int) []float64 {
	out := make([]float64, to[0]*to[1]*to[2])
	var shift, start, end [3]int // an index of out is that of values + shift
	for a := range shift {
		if from[a] < to[a] {
			shift[a] = -((to[a] - from[a]) / 2)
		} else {
			shift[a] = (from[a] - to[a]) / 2
		}
		start[a], end[a] = max(0, -shift[a]), min(to[a], from[a]-shift[a])
	}
	for s := start[0]; s < end[0]; s++ {
		for y := start[1]; y < end[1]; y++ {
			row := values[((s+shift[0])*from[1]+y+shift[1])*from[2]:][:from[2]]
			copy(out[(s*to[1]+y)*to[2]:][start[2]:end[2]], row[start[2]+shift[2]:])
		}
	}
	return out
}
