package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/internal/machine"
)

// thisMachine describes what times depend on besides the network.
func thisMachine() string {
	return fmt.Sprintf("%s, %d threads, %s", machine.CPU(), runtime.GOMAXPROCS(0), runtime.Version())
}

func shortest(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Min(v)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// seconds returns the shortest step of a contender, NaN if it did not run.
func (r *result) seconds(who string) float64 {
	for _, s := range r.sides {
		if s.who == who {
			return shortest(s.seconds)
		}
	}
	return math.NaN()
}

// bestPeer returns the shortest step of PyTorch in its fastest mode, and that mode; NaN
// without a comparison.
func (r *result) bestPeer() (seconds float64, who string) {
	seconds = math.NaN()
	for _, s := range r.sides {
		if t := shortest(s.seconds); s.peer && !math.IsNaN(t) && !(t >= seconds) {
			seconds, who = t, s.who
		}
	}
	return seconds, who
}

// ours returns the name of our first contender, to which all others are compared.
func ours(results []*result) string { return results[0].sides[0].who }

// others returns the names of the other contenders, in the order in which they first occur.
func others(results []*result) (names []string) {
	for _, r := range results {
		for _, s := range r.sides {
			if s.who != ours(results) && !slices.Contains(names, s.who) {
				names = append(names, s.who)
			}
		}
	}
	return names
}

// compared reports whether PyTorch ran in some mode.
func compared(results []*result) bool {
	return slices.ContainsFunc(results, func(r *result) bool { _, who := r.bestPeer(); return who != "" })
}

// geometricMean returns the geometric mean of the numbers that are not NaN, NaN if there are
// none, and their count.
func geometricMean(values []float64) (mean float64, n int) {
	sum := 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += math.Log(v)
			n++
		}
	}
	return math.Exp(sum / float64(n)), n
}

func markdown(results []*result) string {
	var b strings.Builder
	var made []string
	for _, r := range results {
		if when := r.date + " on " + r.machine; !slices.Contains(made, when) {
			made = append(made, when)
		}
	}
	first, rest := ours(results), others(results)
	fmt.Fprintf(&b, "# Training step\n\nMeasured %s.\n\n", strings.Join(made, "; "))
	fmt.Fprintf(&b, "Forward pass, adaptive focal loss, backward pass and SGD with Nesterov momentum,\n"+
		"float32 unless a name says otherwise. Seconds of the shortest step, in turns; the CSV file has every step.\n\n")
	columns := append([]string{"network", "input", "parameters", first}, rest...)
	fmt.Fprintf(&b, "| %s |\n|---|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|--:", len(columns)-2))
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %d | %s", r.network, r.input, r.parameters, number(r.seconds(first)))
		for _, who := range rest {
			fmt.Fprintf(&b, " | %s", number(r.seconds(who)))
		}
		fmt.Fprint(&b, " |\n")
	}
	if len(rest) > 0 {
		ratioTable(&b, results)
	}
	var a, p []float64
	for _, r := range results {
		for _, s := range r.sides {
			if unrest := median(s.seconds) / shortest(s.seconds); s.peer {
				p = append(p, unrest)
			} else {
				a = append(a, unrest)
			}
		}
	}
	fmt.Fprintf(&b, "\nThe median step took %s times as long as the shortest one in afl", number(median(a)))
	if len(p) > 0 {
		fmt.Fprintf(&b, " and %s times in PyTorch", number(median(slices.DeleteFunc(p, math.IsNaN))))
	}
	fmt.Fprint(&b, ".\nFar above 1 it means that the machine had other work.\n")
	var failures []string
	for _, r := range results {
		for _, s := range r.sides {
			if s.failure != "" {
				failures = append(failures, fmt.Sprintf("- %s with %s: %s\n", r.network, s.who, s.failure))
			}
		}
	}
	if len(failures) > 0 {
		fmt.Fprintf(&b, "\nNot measured:\n\n%s", strings.Join(failures, ""))
	}
	return b.String()
}

// ratioTable writes the times of the others over ours.
func ratioTable(b *strings.Builder, results []*result) {
	first, rest := ours(results), others(results)
	columns := append([]string{"network"}, rest...)
	if compared(results) {
		columns = append(columns, "best of PyTorch", "which is")
	}
	fmt.Fprintf(b, "\nTimes over that of %s; above 1, %s is faster:\n\n", first, first)
	fmt.Fprintf(b, "| %s |\n|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|--:", len(columns)-1))
	ratios := make([][]float64, len(rest)+1)
	for _, r := range results {
		fmt.Fprintf(b, "| %s", r.network)
		own := r.seconds(first)
		for i, who := range rest {
			ratios[i] = append(ratios[i], r.seconds(who)/own)
			fmt.Fprintf(b, " | %s", number(r.seconds(who)/own))
		}
		if compared(results) {
			best, who := r.bestPeer()
			ratios[len(rest)] = append(ratios[len(rest)], best/own)
			fmt.Fprintf(b, " | %s | %s", number(best/own), strings.TrimPrefix(who, "PyTorch "))
		}
		fmt.Fprint(b, " |\n")
	}
	fmt.Fprint(b, "| geometric mean")
	for i := range ratios {
		if i == len(rest) && !compared(results) {
			break
		}
		mean, n := geometricMean(ratios[i])
		fmt.Fprintf(b, " | %s", number(mean))
		if 0 < n && n < len(results) {
			fmt.Fprintf(b, " of %d", n)
		}
	}
	if compared(results) {
		fmt.Fprint(b, " | ")
	}
	fmt.Fprint(b, " |\n")
}

func number(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

var csvHeader = []string{"network", "input", "parameters", "date", "machine", "who", "peer", "step", "seconds", "failure"}

// table returns a CSV with a line for every step, and one for every failure.
func table(results []*result) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(csvHeader)
	for _, r := range results {
		for _, s := range r.sides {
			line := func(step, seconds string) {
				w.Write([]string{r.network, r.input, strconv.Itoa(r.parameters), r.date, r.machine, s.who, strconv.FormatBool(s.peer), step, seconds, s.failure})
			}
			for i, t := range s.seconds {
				line(strconv.Itoa(i), strconv.FormatFloat(t, 'g', -1, 64))
			}
			if s.failure != "" {
				line("", "")
			}
		}
	}
	w.Flush()
	return b.Bytes()
}

// readLines returns the lines below the header of a CSV file, which has to have the given columns;
// a file that does not exist has none.
func readLines(path string, header []string) ([][]string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(lines) == 0 || !slices.Equal(lines[0], header) {
		return nil, fmt.Errorf("%s: its columns are not %s", path, strings.Join(header, ","))
	}
	return lines[1:], nil
}

// readTable reads what table wrote; a file that does not exist holds no results.
func readTable(path string) ([]*result, error) {
	lines, err := readLines(path, csvHeader)
	if err != nil {
		return nil, err
	}
	var results []*result
	for i, l := range lines {
		var r *result
		for _, known := range results {
			if known.network == l[0] {
				r = known
			}
		}
		parameters, err := strconv.Atoi(l[2])
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: parameters are %q, want a number", path, i+2, l[2])
		}
		if r == nil {
			r = &result{network: l[0], input: l[1], parameters: parameters, date: l[3], machine: l[4]}
			results = append(results, r)
		}
		if n := len(r.sides); n == 0 || r.sides[n-1].who != l[5] {
			r.sides = append(r.sides, side{who: l[5], peer: l[6] == "true"})
		}
		s := &r.sides[len(r.sides)-1]
		if s.failure = l[9]; s.failure != "" {
			continue
		}
		t, err := strconv.ParseFloat(l[8], 64)
		if err != nil || !(t > 0) {
			return nil, fmt.Errorf("%s, line %d: seconds are %q, want a positive number", path, i+2, l[8])
		}
		s.seconds = append(s.seconds, t)
	}
	return results, nil
}
