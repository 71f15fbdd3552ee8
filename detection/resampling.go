package detection

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/x/afl/internal/bootstrap"
)

// Interval is a bootstrap interval. [Set.Bootstrap] makes it.
type Interval struct {
	Lower, Upper float64
	// Undefined is the number of resamples in which the statistic was NaN or an error,
	// such as AUROC where all cases are of one kind. They are left out.
	Undefined int
}

// Bootstrap returns the percentile bootstrap interval of a statistic: from the
// (1−confidence)/2 to the (1+confidence)/2 quantile, linearly interpolated, of its values
// on resamples, sets of as many cases drawn with replacement. Equal seeds give equal
// intervals. confidence, usually 0.95, is between 0 and 1.
//
//	set.Bootstrap((*detection.Set).Score, 1000, 0.95, 1)
//
// B. Efron, "Bootstrap Methods: Another Look at the Jackknife", The Annals of Statistics
// 7 (1979) 1–26.
func (s *Set) Bootstrap(statistic func(*Set) (float64, error), resamples int, confidence float64, seed uint64) (Interval, error) {
	return BootstrapMean([]*Set{s}, statistic, resamples, confidence, seed)
}

// BootstrapMean is [Set.Bootstrap] for the mean of a statistic over several sets with the
// same cases in the same order, such as the results of several trainings on one data set.
// Each resample draws the same cases from all of them. It is undefined where the statistic
// is undefined for one of them. Sets of different numbers of cases are an error.
func BootstrapMean(sets []*Set, statistic func(*Set) (float64, error), resamples int, confidence float64, seed uint64) (Interval, error) {
	if len(sets) == 0 {
		return Interval{}, refuse("sets", "empty", "at least one set")
	}
	for _, s := range sets {
		switch {
		case s == nil:
			return Interval{}, refuse("sets", "a list with a nil set", "sets of NewSet")
		case s.times != nil:
			return Interval{}, refuse("sets", "a list with a resample of a bootstrap", "sets of NewSet")
		case s.count != sets[0].count:
			return Interval{}, refuse("sets", fmt.Sprintf("sets of %d and %d cases", sets[0].count, s.count), "sets of the same cases")
		}
	}
	if resamples < 1 {
		return Interval{}, refuse("resamples", resamples, "at least 1")
	}
	if !(confidence > 0 && confidence < 1) {
		return Interval{}, refuse("confidence", confidence, "a number between 0 and 1")
	}
	lower, upper, undefined := bootstrap.Interval(sets[0].count, resamples, confidence, seed, func(times []int) (float64, error) {
		mean := 0.0
		for _, s := range sets {
			v, err := statistic(&Set{s.count, times, s.cases, s.entries})
			if err != nil {
				return 0, err
			}
			mean += v / float64(len(sets))
		}
		return mean, nil
	})
	if undefined == resamples {
		return Interval{}, refuse("statistic", "undefined in every resample", "a number in one at least")
	}
	return Interval{lower, upper, undefined}, nil
}

const (
	// exactScores is the number of scores up to which PermutationTest is exact.
	exactScores = 100
	// permutations is the number of random ones beyond.
	permutations = 1_000_000
)

// PermutationTest compares the scores that two methods reached over several trainings,
// where higher is better. It returns the one-sided p-value of the hypothesis that both
// methods' scores come from one distribution, against that the alternative's are better:
// the share of the ways to divide all scores between the two in which the probability
// that the alternative's score is larger than the baseline's (half for equal ones) is at
// least as large as it is.
//
// Up to 100 scores it counts all ways; beyond, it draws a million by the seed and returns
// (1+n)/(1+1,000,000), where n of them reach as far. An empty list and scores that are not
// finite are errors. Scores of one data set are not independent: the test speaks of
// trainings, not of cases.
func PermutationTest(baseline, alternative []float64, seed uint64) (float64, error) {
	for _, list := range []struct {
		name   string
		scores []float64
	}{{"baseline", baseline}, {"alternative", alternative}} {
		if len(list.scores) == 0 {
			return 0, refuse(list.name, "empty", "at least one score")
		}
		for i, v := range list.scores {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, refuse(fmt.Sprintf("score %d of %s", i, list.name), v, "a finite number")
			}
		}
	}
	ranks := doubledRanks(slices.Concat(alternative, baseline))
	// The probability grows with the sum of the alternative's ranks.
	observed := sum(ranks[:len(alternative)])
	if len(ranks) <= exactScores {
		return exactShare(ranks, len(alternative), observed), nil
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	reached := 0
	for range permutations {
		for i := range alternative {
			j := i + rng.IntN(len(ranks)-i)
			ranks[i], ranks[j] = ranks[j], ranks[i]
		}
		if sum(ranks[:len(alternative)]) >= observed {
			reached++
		}
	}
	return float64(1+reached) / (1 + permutations), nil
}

func sum(x []int) int {
	total := 0
	for _, v := range x {
		total += v
	}
	return total
}

// doubledRanks returns twice the rank of each score; equal ones share the mean of their
// ranks, which is half a whole number.
func doubledRanks(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	ranks := make([]int, len(scores))
	for from := 0; from < len(order); {
		to := from
		for to < len(order) && scores[order[to]] == scores[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			ranks[i] = from + 1 + to
		}
		from = to
	}
	return ranks
}

// exactShare returns the share of the ways to choose k of the ranks whose sum is at least
// the observed one. The number of ways for each k and sum is built up rank by rank; that
// of 50 out of 100 is 1e29, which float64 holds to a relative 1e-14 after all sums.
func exactShare(ranks []int, k, observed int) float64 {
	most := sum(ranks)
	ways := make([][]float64, k+1)
	for i := range ways {
		ways[i] = make([]float64, most+1)
	}
	ways[0][0] = 1
	for _, r := range ranks {
		for i := k; i > 0; i-- {
			for s := most; s >= r; s-- {
				ways[i][s] += ways[i-1][s-r]
			}
		}
	}
	var all, reached float64
	for s, n := range ways[k] {
		all += n
		if s >= observed {
			reached += n
		}
	}
	return reached / all
}
