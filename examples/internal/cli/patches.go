package cli

import (
	"flag"
	"fmt"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/train"
)

// patchFlags holds the values of the flags that say on which parts of the volumes networks are
// trained, and at how many resolutions. Their defaults are the paper's.
type patchFlags struct {
	patch           sizeOrWhole
	foreground      float64
	patches         int
	statistics      choice
	deepSupervision bool
}

// labelStatistics are the values of -statistics.
var labelStatistics = []string{"patch", "volume"}

// addTo defines the flags in f. paper is the size of the paper's random crop, zero if it has
// none.
func (v *patchFlags) addTo(f *flag.FlagSet, paper [3]int) {
	v.patch, v.statistics = sizeOrWhole{paper, true}, choice{value: labelStatistics[0], of: labelStatistics}
	f.Var(&v.patch, "patch", "`X,Y,Z` voxels of the random patches of the volumes on which networks are trained, or whole; a volume that\nis shorter along an axis is kept whole along it and padded with zeros to the next size that the network\naccepts")
	f.Float64Var(&v.foreground, "foreground", 0, "`probability` that a patch is centered on a voxel of a random class or region of its case, such as 0.33;\n0, or a case without foreground: patches are anywhere")
	f.IntVar(&v.patches, "patches", 1, "`number` of training steps for each case and epoch, each on a patch, or without -patch a volume, with a\nrandom augmentation of its own")
	f.Var(&v.statistics, "statistics", "`label` from which A-FL takes its gamma and class weights: patch, that of the training step, or volume, that of\nthe whole case; other losses do not depend on it")
	f.BoolVar(&v.deepSupervision, "deep_supervision", false, "train the lower levels of the decoder too, with the weights 1/2, 1/4, ... beside 1 for the network's output\n(which sum to 1) and the label of every 2nd, 4th, ... voxel; not of regunet and mrrn. Prediction and weights\nfiles are those of the network alone")
}

// check returns an error for the first invalid value. A resumed run has been checked before.
func (v *patchFlags) check(flags *flag.FlagSet, resume bool) error {
	whole := v.patch.size == triple{} && !resume
	switch {
	case !(v.foreground >= 0 && v.foreground <= 1):
		return usageErrorf("-foreground is %v; it must be from 0 to 1", v.foreground)
	case v.foreground > 0 && whole:
		return usageErrorf("-foreground has no effect on whole volumes; add -patch")
	case v.statistics.value == "volume" && whole:
		return usageErrorf("-statistics volume has no effect on whole volumes; add -patch")
	case v.patches < 1:
		return usageErrorf("-patches is %d; it must be at least 1", v.patches)
	}
	return nil
}

// setIn sets the fields of the job.
func (v *patchFlags) setIn(j *train.Job) {
	j.Patches, j.VolumeStatistics = v.patches, v.statistics.value == "volume"
}

// facts describes the patches, of which there may be none.
func (v *patchFlags) facts(p dataset.Protocol) (facts []string) {
	if p.Crop != [3]int{} {
		where := "drawn anywhere"
		if p.Foreground > 0 {
			where = fmt.Sprintf("centered with the probability %g on a foreground voxel and otherwise drawn anywhere", p.Foreground)
		}
		facts = append(facts, fmt.Sprintf("Training patches: %s voxels, %s; a volume that is shorter along an axis is kept whole along that axis. Volumes and patches are padded with zeros to a size that the network accepts; losses and metrics ignore the padding.",
			times(p.Crop), where))
	}
	if v.patches > 1 {
		facts = append(facts, fmt.Sprintf("Training steps per case and epoch: %d.", v.patches))
	}
	if v.statistics.value == "volume" {
		facts = append(facts, "A-FL takes its gamma and class weights from the label of the whole case.")
	}
	return facts
}
