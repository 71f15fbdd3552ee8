package outcome

import "fmt"

// Measure identifies a number that is computed for each validation case.
type Measure int

// The measures. The soft ones are those of the paper's released training code:
// probabilities from an independent sigmoid per channel, squared sums in the
// denominator, and the mean over both channels, including the background. The calibration is
// that of the foreground's probability p over the voxels of the case, with y = 1 in the
// foreground and 0 outside. All others are computed on hard masks and on the foreground alone.
// Of a class or a region they are those of its own mask; the soft ones then leave the background
// out, and they and the calibration take the probabilities of a softmax over the classes, or of
// the region's sigmoid.
const (
	SoftDice         Measure = iota // soft Dice, background included
	SoftIoU                         // soft IoU (Jaccard), background included
	Brier                           // mean of (p − y)²
	CalibrationError                // Σ over ten bins of p of |Σ (p − y)|, divided by the number of voxels: the expected calibration error
	Dice                            // 2·TP / (2·TP + FP + FN); undefined without a reference
	IoU                             // TP / (TP + FP + FN); undefined without a reference
	Sensitivity                     // TP / (TP + FN); undefined without a reference
	Specificity                     // TN / (TN + FP); undefined if the reference fills the volume
	Hausdorff95                     // 95th percentile Hausdorff distance in mm; undefined unless both masks have voxels
	SurfaceDistance                 // symmetric average surface distance in mm; undefined unless both masks have voxels
	SurfaceDice                     // share of both surfaces within 1 mm of the other; 0 if one mask is empty, undefined if both are
	LesionF1                        // TP / (TP + (FP+FN)/2) over lesions, 26-connected; 1 if both masks are empty
	LesionF1IoU                     // the same where a lesion is found by a predicted one of an IoU of at least 0.1 with it, matched one to one
	LesionTP                        // reference lesions that the prediction touches
	LesionFP                        // predicted lesions that touch no reference voxel
	LesionFN                        // reference lesions that the prediction misses
	MeasureCount                    // number of measures
)

// OverlapCount is the number of measures, counted from the first, that are cheap enough
// to compute after every epoch.
const OverlapCount = int(Specificity) + 1

var measureKeys = [MeasureCount]string{
	SoftDice:         "soft_dice",
	SoftIoU:          "soft_iou",
	Brier:            "brier_score",
	CalibrationError: "calibration_error",
	Dice:             "foreground_dice",
	IoU:              "foreground_iou",
	Sensitivity:      "foreground_sensitivity",
	Specificity:      "foreground_specificity",
	Hausdorff95:      "hausdorff95_mm",
	SurfaceDistance:  "average_surface_distance_mm",
	SurfaceDice:      "surface_dice_1mm",
	LesionF1:         "lesion_f1",
	LesionF1IoU:      "lesion_f1_iou10",
	LesionTP:         "lesions_found",
	LesionFP:         "lesions_false",
	LesionFN:         "lesions_missed",
}

// String returns the name of the measure's CSV column.
func (m Measure) String() string {
	if m < 0 || m >= MeasureCount {
		return fmt.Sprintf("Measure(%d)", int(m))
	}
	return measureKeys[m]
}
