// Package detection scores lesion detection as the PI-CAI challenge does: which lesions
// of a set of cases are found at which confidence, and which cases hold any.
//
// A network gives a probability for every voxel. [Extraction.Candidates] turns them into
// lesion candidates, each with one confidence, and their detection map. [Matching.Case]
// compares a detection map with a label. [NewSet] takes the cases of a data set, and
// gives average precision, AUROC, the PI-CAI score (their mean), the precision-recall,
// ROC and FROC curves, and the sensitivity at a number of false positives per case.
// [Set.Bootstrap] gives an interval for any of them, [BootstrapMean] one for their mean
// over several trainings, and [PermutationTest] compares the scores of two methods.
//
//	candidates, err := detection.Extraction{}.Candidates(probabilities)
//	…
//	c, err := detection.Matching{}.Case("patient 1", candidates.Map, label)
//	…
//	set, err := detection.NewSet(cases, nil, nil)
//	…
//	fmt.Println(set.AUROC(), set.SensitivityAt(0.5))
//
// Volumes are slices×rows×columns, images rows×columns. Components are those of voxels
// that share at least a corner: 26 neighbors, 8 in two dimensions. Where a rule leaves a
// choice between equals, the first in row-major order is taken. The challenge's programs
// take the slices along z, as SimpleITK's arrays do: for the same choices, give z×y×x.
//
// Results equal those of picai_eval 1.4 and report_guided_annotation, the challenge's
// programs, but where a doc comment says otherwise.
//
// A. Saha et al., "Artificial intelligence and radiologists in prostate cancer detection
// on MRI (PI-CAI): an international, paired, non-inferiority, confirmatory study", The
// Lancet Oncology 25 (2024) 879–887. J. S. Bosma et al., "Semisupervised Learning with
// Report-guided Pseudo Labels for Deep Learning-based Prostate Cancer Detection Using
// Biparametric MRI", Radiology: Artificial Intelligence 5 (2023) e230031.
//
// Bad input is refused with an [afl.ArgumentError].
package detection
