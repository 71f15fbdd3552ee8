package outcome

import "fmt"

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

// OverlapCount is the number of measures, counted from the first, that are cheap enough
// to compute after every epoch.
const OverlapCount = int(Specificity) + 1

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
