// Package report turns what a run measured into what a person reads: tables
// in Markdown, CSV files, curves as PNG, and the progress line of a terminal.
//
// Numbers follow one rule throughout. A measure that has no value for a case
// (the sensitivity of a case without a tumour, say) is undefined: it is left
// out of every mean, the mean tells over how many cases it was taken, and it
// is shown as "–" in a table and as an empty cell in a CSV file. It is never
// printed as NaN and never replaced by 0 or 1.
package report

import (
	"fmt"
	"math"
	"strconv"
)

// Measure names one number that is taken per validation case.
type Measure int

// The measures. The soft ones are those of the paper's released training
// code: probabilities of an independent sigmoid per channel, squared sums in
// the denominator, averaged over both channels, background included. All
// others are taken on hard masks and on the foreground alone.
const (
	SoftDice        Measure = iota // soft Dice, background included
	SoftIoU                        // soft IoU (Jaccard), background included
	Dice                           // 2·TP / (2·TP + FP + FN); undefined without a reference
	IoU                            // TP / (TP + FP + FN); undefined without a reference
	Sensitivity                    // TP / (TP + FN); undefined without a reference
	Specificity                    // TN / (TN + FP); undefined where the reference fills the volume
	Hausdorff95                    // 95th percentile Hausdorff distance in mm; undefined unless both masks have voxels
	SurfaceDistance                // symmetric average surface distance in mm; undefined unless both masks have voxels
	LesionF1                       // TP / (TP + (FP+FN)/2) over lesions, 26-connected; 1 where both masks are empty
	LesionTP                       // reference lesions that the prediction touches
	LesionFP                       // predicted lesions that touch no reference voxel
	LesionFN                       // reference lesions that the prediction misses
	MeasureCount                   // how many measures there are
)

// overlapCount is how many measures, from the first on, are cheap enough to
// take after every epoch.
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

// String returns the name that heads the measure's CSV column.
func (m Measure) String() string {
	if m < 0 || m >= MeasureCount {
		return fmt.Sprintf("Measure(%d)", int(m))
	}
	return measureKeys[m]
}

// Number is a float64 for which NaN means undefined. Unlike a float64 it
// survives JSON: undefined is null, the infinities are strings.
type Number float64

// Undefined is the Number of a measure that has no value.
var Undefined = Number(math.NaN())

// Defined tells whether n has a value.
func (n Number) Defined() bool { return !math.IsNaN(float64(n)) }

// finite tells whether n can enter a mean or a curve.
func (n Number) finite() bool { return n.Defined() && !math.IsInf(float64(n), 0) }

// MarshalJSON writes n so that UnmarshalJSON returns the same bits.
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

// UnmarshalJSON reads what MarshalJSON wrote.
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

// cell writes n for a CSV file: every digit, or nothing where undefined.
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

// Case holds what was measured on one validation case.
type Case struct {
	ID     string `json:"id"`
	Values Values `json:"values"`
}

// Mean is the mean of a measure over the N cases where it is finite.
// Value is undefined where N is 0.
type Mean struct {
	Value Number `json:"value"`
	N     int    `json:"n"`
}

// Format writes the mean with so many decimals, and over how many cases it was
// taken where that is fewer than cases.
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

// MeanOf averages every measure over the cases that define it, in the order
// of the cases.
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

// Epoch holds what one epoch measured: the mean of the training loss over
// its steps, and the means of the overlap measures over the validation cases.
type Epoch struct {
	Epoch     int     `json:"epoch"` // from 1
	TrainLoss float64 `json:"train_loss"`
	Cases     int     `json:"cases"` // validation cases
	Valid     Means   `json:"valid"`
}

// Divergence tells where a training stopped because a number was
// no longer finite.
type Divergence struct {
	Epoch int    `json:"epoch"` // from 1
	Step  int    `json:"step"`  // from 1; 0 when validation found it
	What  string `json:"what"`  // the number and its value, such as "the training loss is NaN"
}

// String tells the place and the number in words.
func (d *Divergence) String() string {
	if d.Step == 0 {
		return fmt.Sprintf("diverged in the validation of epoch %d: %s", d.Epoch, d.What)
	}
	return fmt.Sprintf("diverged in epoch %d at step %d: %s", d.Epoch, d.Step, d.What)
}

// Result holds everything that was measured while training one network with one
// loss.
type Result struct {
	Network      string // the name by which it is asked for
	NetworkTitle string // the name that tables print

	Loss      string      // the name by which it is asked for
	Title     string      // the name of the loss that tables print
	Decision  string      // the rule that made the hard masks, in words
	Epochs    []Epoch     // in order
	BestEpoch int         // the epoch of the best weights; 0 where no epoch was completed
	Cases     []Case      // of the best weights
	Diverged  *Divergence // nil where training came to its end
}

// Run holds what a whole run measured, and the facts that its report opens
// with.
type Run struct {
	Title   string
	Facts   []string // one line each: data, sizes, settings
	Results []Result // by network, then by loss
}

// several tells whether the run has more than one network.
func (r *Run) several() bool {
	for _, l := range r.Results {
		if l.Network != r.Results[0].Network {
			return true
		}
	}
	return false
}

// title names a result in a sentence.
func (r *Run) title(l Result) string {
	if r.several() {
		return l.NetworkTitle + " with " + l.Title
	}
	return l.Title
}
