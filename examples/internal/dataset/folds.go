package dataset

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// Folds maps the ID of each case to its fold, from 0, of a cross-validation.
type Folds map[string]int

// foldStream separates the random numbers of DealFolds from those of other uses of a seed.
const foldStream = 0x666f6c64

// patientIDs match the IDs of cases whose patient can have several: PI-CAI's
// <patient>_<study>, and BraTS's from 2023 on, BraTS-<part>-<patient>-<time point>.
var patientIDs = []*regexp.Regexp{
	regexp.MustCompile(`^(\d+)_\d+$`),
	regexp.MustCompile(`^(BraTS-[A-Za-z]+-\d+)-\d+$`),
}

// Patient returns the patient of a case by the case's ID, which is the ID itself unless its
// form is one of PI-CAI's or BraTS's.
func Patient(id string) string {
	for _, form := range patientIDs {
		if m := form.FindStringSubmatch(id); m != nil {
			return m[1]
		}
	}
	return id
}

// Patients returns the number of different patients of the cases.
func Patients(cases []Case) int {
	patients := map[string]bool{}
	for _, c := range cases {
		patients[Patient(c.ID)] = true
	}
	return len(patients)
}

// DealFolds deals the cases into k folds, which depend on their IDs and the seed alone. Cases
// of the same [Patient] are in the same fold. The patients are shuffled, and each one, those
// with the most cases first, goes to the fold with the fewest cases: if no patient has several
// cases, the sizes differ by at most one.
func DealFolds(cases []Case, k int, seed uint64) (Folds, error) {
	if k < 2 {
		return nil, fmt.Errorf("dataset: %d folds, want at least 2", k)
	}
	byPatient := map[string][]string{}
	for _, c := range cases {
		p := Patient(c.ID)
		byPatient[p] = append(byPatient[p], c.ID)
	}
	if len(byPatient) < k {
		what := fmt.Sprintf("%d cases", len(cases))
		if len(byPatient) < len(cases) {
			what = fmt.Sprintf("the cases of %d patients, by the IDs,", len(byPatient))
		}
		return nil, fmt.Errorf("dataset: %s cannot be divided into %d folds", what, k)
	}
	patients := sortedKeys(byPatient)
	r := rand.New(rand.NewPCG(seed, foldStream))
	r.Shuffle(len(patients), func(i, j int) { patients[i], patients[j] = patients[j], patients[i] })
	slices.SortStableFunc(patients, func(a, b string) int { return cmp.Compare(len(byPatient[b]), len(byPatient[a])) })
	folds, sizes := Folds{}, make([]int, k)
	for _, p := range patients {
		smallest := slices.Index(sizes, slices.Min(sizes))
		sizes[smallest] += len(byPatient[p])
		for _, id := range byPatient[p] {
			folds[id] = smallest
		}
	}
	return folds, nil
}

// Count returns the number of folds.
func (f Folds) Count() int {
	n := 0
	for _, fold := range f {
		n = max(n, fold+1)
	}
	return n
}

// Divided returns the patients with cases in more than one fold, sorted.
func (f Folds) Divided() []string {
	fold := map[string]int{}
	divided := map[string]bool{}
	for id, n := range f {
		p := Patient(id)
		if other, ok := fold[p]; ok && other != n {
			divided[p] = true
		}
		fold[p] = n
	}
	return sortedKeys(divided)
}

// Splits returns one Split for each fold, whose validation cases are those of the fold. Its
// test cases are test or, if next is true, those of the following fold, which for the last one
// is the first; that takes at least three folds. The other cases are the training cases. The
// order of the cases is kept.
func (f Folds) Splits(cases []Case, next bool, test []Case) ([]Split, error) {
	k := f.Count()
	if next && k < 3 {
		return nil, fmt.Errorf("dataset: to validate one fold and test the next takes at least 3 folds, not %d", k)
	}
	splits := make([]Split, k)
	for fold := range splits {
		s := &splits[fold]
		s.Test = test
		for _, c := range cases {
			n, ok := f[c.ID]
			switch {
			case !ok:
				return nil, fmt.Errorf("dataset: case %s is in no fold", c.ID)
			case n == fold:
				s.Valid = append(s.Valid, c)
			case next && n == (fold+1)%k:
				s.Test = append(s.Test, c)
			default:
				s.Train = append(s.Train, c)
			}
		}
	}
	for fold, s := range splits {
		if len(s.Valid) == 0 {
			return nil, fmt.Errorf("dataset: fold %d of %d has none of the %d cases", fold, k, len(cases))
		}
	}
	return splits, nil
}

// firstFew lists the first names, as in "a, b, c and 4 more".
func firstFew(names []string) string {
	const most = 5
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}
