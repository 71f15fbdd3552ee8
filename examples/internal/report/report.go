// Package report presents the results of a run: Markdown tables, CSV files, curves as
// PNG, and the progress line on a terminal.
//
// A measure that has no value for a case (such as the sensitivity for a case without a
// tumor) is undefined throughout: it is excluded from every mean, the mean states how
// many cases it includes, and the measure is shown as "–" in a table and as an empty
// cell in a CSV file. It is never printed as NaN and never replaced by 0 or 1.
package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/x/afl/examples/internal/segment"
)

// Measure identifies a number that is computed for each validation case.
type Measure int

// The measures. The soft ones are those of the paper's released training code:
// probabilities from an independent sigmoid per channel, squared sums in the
// denominator, and the mean over both channels, including the background. All others
// are computed on hard masks and on the foreground alone. Of a class or a region they are
// those of its own mask; the soft ones then leave the background out and take the
// probabilities of a softmax over the classes, or of the region's sigmoid.
const (
	SoftDice        Measure = iota // soft Dice, background included
	SoftIoU                        // soft IoU (Jaccard), background included
	Dice                           // 2·TP / (2·TP + FP + FN); undefined without a reference
	IoU                            // TP / (TP + FP + FN); undefined without a reference
	Sensitivity                    // TP / (TP + FN); undefined without a reference
	Specificity                    // TN / (TN + FP); undefined if the reference fills the volume
	Hausdorff95                    // 95th percentile Hausdorff distance in mm; undefined unless both masks have voxels
	SurfaceDistance                // symmetric average surface distance in mm; undefined unless both masks have voxels
	LesionF1                       // TP / (TP + (FP+FN)/2) over lesions, 26-connected; 1 if both masks are empty
	LesionTP                       // reference lesions that the prediction touches
	LesionFP                       // predicted lesions that touch no reference voxel
	LesionFN                       // reference lesions that the prediction misses
	MeasureCount                   // number of measures
)

// overlapCount is the number of measures, counted from the first, that are cheap enough
// to compute after every epoch.
const overlapCount = int(Specificity) + 1

var measureKeys = [MeasureCount]string{
	SoftDice:        "soft_dice",
	SoftIoU:         "soft_iou",
	Dice:            "foreground_dice",
	IoU:             "foreground_iou",
	Sensitivity:     "foreground_sensitivity",
	Specificity:     "foreground_specificity",
	Hausdorff95:     "hausdorff95_mm",
	SurfaceDistance: "average_surface_distance_mm",
	LesionF1:        "lesion_f1",
	LesionTP:        "lesions_found",
	LesionFP:        "lesions_false",
	LesionFN:        "lesions_missed",
}

// String returns the name of the measure's CSV column.
func (m Measure) String() string {
	if m < 0 || m >= MeasureCount {
		return fmt.Sprintf("Measure(%d)", int(m))
	}
	return measureKeys[m]
}

// Number is a float64 for which NaN means undefined. Unlike a float64 it can always be
// encoded as JSON: undefined is null, and the infinities are strings.
type Number float64

// Undefined is the Number of a measure without a value.
var Undefined = Number(math.NaN())

// Defined reports whether n has a value.
func (n Number) Defined() bool { return !math.IsNaN(float64(n)) }

// finite reports whether n can be part of a mean or a curve.
func (n Number) finite() bool { return n.Defined() && !math.IsInf(float64(n), 0) }

// MarshalJSON encodes n so that UnmarshalJSON returns the same bits.
func (n Number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case math.IsNaN(v):
		return []byte("null"), nil
	case math.IsInf(v, 1):
		return []byte(`"inf"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-inf"`), nil
	default:
		return strconv.AppendFloat(nil, v, 'g', -1, 64), nil
	}
}

// UnmarshalJSON decodes the output of MarshalJSON.
func (n *Number) UnmarshalJSON(raw []byte) error {
	switch s := string(raw); s {
	case "null":
		*n = Undefined
	case `"inf"`:
		*n = Number(math.Inf(1))
	case `"-inf"`:
		*n = Number(math.Inf(-1))
	default:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("report: number %s: %w", s, err)
		}
		*n = Number(v)
	}
	return nil
}

// cell formats n for a CSV file: with full precision, or empty if undefined.
func (n Number) cell() string {
	if !n.Defined() {
		return ""
	}
	return strconv.FormatFloat(float64(n), 'g', -1, 64)
}

// Values holds one Number per Measure.
type Values [MeasureCount]Number

// NoValues returns Values in which every measure is undefined.
func NoValues() Values {
	var v Values
	for i := range v {
		v[i] = Undefined
	}
	return v
}

// Case holds the measures of one validation case.
type Case struct {
	ID string `json:"id"`
	// Values are the measures of the foreground or, if there are Segments, their means.
	Values Values `json:"values"`
	// Segments are the measures of each class or region, none if the case is binary.
	Segments []SegmentValues `json:"segments,omitempty"`
}

// Mean is the mean of a measure over the N cases for which it is finite. Value is
// undefined if N is 0.
type Mean struct {
	Value Number `json:"value"`
	N     int    `json:"n"`
}

// Format formats the mean with the given number of decimals, followed by "(n=N)" if N is
// less than cases.
func (m Mean) Format(cases, decimals int) string {
	if !m.Value.finite() {
		return dash
	}
	s := strconv.FormatFloat(float64(m.Value), 'f', decimals, 64)
	if m.N < cases {
		s += fmt.Sprintf(" (n=%d)", m.N)
	}
	return s
}

// Means holds one Mean per Measure.
type Means [MeasureCount]Mean

// MeanOf returns the mean of every measure over the cases for which it is finite, summed
// in the order of the cases.
func MeanOf(cases []Case) Means {
	var means Means
	for m := range means {
		sum, n := 0.0, 0
		for _, c := range cases {
			if v := c.Values[m]; v.finite() {
				sum += float64(v)
				n++
			}
		}
		means[m] = Mean{Value: Undefined, N: n}
		if n > 0 {
			means[m].Value = Number(sum / float64(n))
		}
	}
	return means
}

// Epoch holds the results of one epoch: the mean training loss over its steps, and the
// means of the overlap measures over the validation cases.
type Epoch struct {
	Epoch     int     `json:"epoch"` // from 1
	TrainLoss float64 `json:"train_loss"`
	Cases     int     `json:"cases"` // number of validation cases
	Valid     Means   `json:"valid"`
	// Segments are the means for each class or region, none if the cases are binary.
	Segments []SegmentMeans `json:"segments,omitempty"`
}

// Divergence records where training stopped because a number was no longer finite.
type Divergence struct {
	Epoch int    `json:"epoch"` // from 1
	Step  int    `json:"step"`  // from 1; 0 if it was detected in validation
	What  string `json:"what"`  // the number and its value, such as "the training loss is NaN"
}

// String describes the divergence.
func (d *Divergence) String() string {
	if d.Step == 0 {
		return fmt.Sprintf("diverged in the validation of epoch %d: %s", d.Epoch, d.What)
	}
	return fmt.Sprintf("diverged in epoch %d at step %d: %s", d.Epoch, d.Step, d.What)
}

// Result holds the results of training one network with one loss.
type Result struct {
	// Run is the ID of the run, RunTitle its name in tables of several runs.
	Run, RunTitle string

	Network      string // name of the network in flags and files
	NetworkTitle string // name of the network in tables

	Loss   string // name of the loss in flags and files
	Title  string // name of the loss in tables
	Rule   string // description of the prediction rule for hard masks
	Scheme segment.Scheme
	Epochs []Epoch // in order

	// Evaluated is the number of epochs after which the best weights were last evaluated
	// with all measures. BestEpoch is their epoch, 0 if no epoch was completed, and Cases
	// holds their measures.
	Evaluated int
	BestEpoch int
	Cases     []Case

	Diverged *Divergence // nil unless training stopped early
	// Ongoing describes how far the training is, such as "in epoch 3 of 10"; it is empty
	// once the training and its evaluation are complete.
	Ongoing string
}

// shown reports whether the tables have a row for the result.
func (l *Result) shown() bool { return l.Ongoing == "" || l.Evaluated > 0 }

// SelectVaries is the Select of a Run whose results were selected in different ways.
const SelectVaries = "varies"

// Run holds the results of a whole run, or of several, and the facts that its report opens
// with.
type Run struct {
	Title   string
	Facts   []string // one line each: data, sizes, settings
	Select  string   // what the best weights were selected by; empty: soft_dice
	Results []Result // by run, then by network, then by loss
}

// severalRuns reports whether the results are those of more than one run.
func (r *Run) severalRuns() bool {
	for _, l := range r.Results {
		if l.RunTitle != r.Results[0].RunTitle {
			return true
		}
	}
	return false
}

// several reports whether the run has more than one network.
func (r *Run) several() bool {
	for _, l := range r.Results {
		if l.Network != r.Results[0].Network {
			return true
		}
	}
	return false
}

// title returns the name of a result in a sentence.
func (r *Run) title(l Result) string {
	title := l.Title
	if r.several() {
		title = l.NetworkTitle + " with " + l.Title
	}
	if r.severalRuns() {
		title += " in " + l.RunTitle
	}
	return title
}
