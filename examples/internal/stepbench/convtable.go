package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/internal/atomicfile"
)

// convolutionRow is a line of convolutions.csv: one computation of a shape by one convolver, or,
// without an operation, that it failed. The limits of a device are rows too: the shapes limitOf.
type convolutionRow struct {
	shape, precision, operation, who string
	peer                             bool
	seconds                          float64
	failure                          string
}

// The shapes of rows that hold limits: the seconds of 10¹² operations of a product of large
// matrices, and of 10⁹ bytes, read and written, of a copy within the device's memory.
const (
	limitOfProducts = "limit: 10^12 operations"
	limitOfCopies   = "limit: 10^9 bytes"
)

// convolutionReport is what a run measures.
type convolutionReport struct {
	size, machine, date string
	networks            []string
	shapes              []*used
	rows                []convolutionRow
}

// has reports whether a convolver's times of a shape are there.
func (r *convolutionReport) has(s shape, p cuda.Precision, who string) bool {
	name := s.String()
	return slices.ContainsFunc(r.rows, func(row convolutionRow) bool {
		return row.shape == name && row.precision == p.String() && row.who == who
	})
}

// measureLimits measures those of a precision unless they are there.
func (r *convolutionReport) measureLimits(t *torchConvolver, p cuda.Precision) error {
	if !math.IsNaN(r.limit(limitOfCopies, p.String())) {
		return nil
	}
	l, err := t.limits(p)
	if err != nil {
		return err
	}
	row := convolutionRow{precision: p.String(), who: t.name(), peer: true}
	row.shape, row.operation, row.seconds = limitOfProducts, "matrix product", l.Product.Seconds*1e12/l.Product.Operations
	r.rows = append(r.rows, row)
	row.shape, row.operation, row.seconds = limitOfCopies, "copy", l.Copy.Seconds*1e9/l.Copy.Bytes
	r.rows = append(r.rows, row)
	return nil
}

// limit returns the seconds of a row that holds a limit, NaN without one.
func (r *convolutionReport) limit(of, precision string) float64 {
	for _, row := range r.rows {
		if row.shape == of && row.precision == precision {
			return row.seconds
		}
	}
	return math.NaN()
}

// least returns the seconds that a computation of a shape takes at least by the limits, NaN
// without them.
func (r *convolutionReport) least(u *used, precision string) float64 {
	bytesPerValue := 4
	if precision == cuda.BFloat16.String() {
		bytesPerValue = 2
	}
	products := u.operations() / 1e12 * r.limit(limitOfProducts, precision)
	copies := u.bytes(bytesPerValue) / 1e9 * r.limit(limitOfCopies, precision)
	return max(products, copies)
}

// seconds returns the time of a computation, or of all of a shape for an empty operation, NaN if
// it was not measured.
func (r *convolutionReport) seconds(u *used, precision, operation, who string) float64 {
	if operation == "" {
		sum := 0.0
		for _, o := range u.computations() {
			sum += r.seconds(u, precision, o, who)
		}
		return sum
	}
	name := u.String()
	for _, row := range r.rows {
		if row.shape == name && row.precision == precision && row.operation == operation && row.who == who && row.failure == "" {
			return row.seconds
		}
	}
	return math.NaN()
}

// convolvers returns the names of those with rows of a precision, ours first.
func (r *convolutionReport) convolvers(precision string) (names []string) {
	for _, peers := range []bool{false, true} {
		for _, row := range r.rows {
			if row.precision == precision && row.peer == peers && !strings.HasPrefix(row.shape, "limit:") && !slices.Contains(names, row.who) {
				names = append(names, row.who)
			}
		}
	}
	return names
}

// precisions returns those that have rows.
func (r *convolutionReport) precisions() (names []string) {
	for _, row := range r.rows {
		if !slices.Contains(names, row.precision) {
			names = append(names, row.precision)
		}
	}
	return names
}

// total is the time of all convolutions of a network's step by two convolvers, over the shapes
// that both have.
type total struct {
	own, other float64
	covered    float64 // the fraction of the operations that these shapes have
}

func (r *convolutionReport) total(network, precision, own, other string) total {
	var t total
	all := 0.0
	for _, u := range r.shapes {
		n := float64(u.count[network])
		if n == 0 {
			continue
		}
		operations := n * float64(len(u.computations())) * u.operations()
		all += operations
		a, b := r.seconds(u, precision, "", own), r.seconds(u, precision, "", other)
		if !math.IsNaN(a + b) {
			t.own, t.other, t.covered = t.own+n*a, t.other+n*b, t.covered+operations
		}
	}
	if all > 0 {
		t.covered /= all
	}
	if t.covered == 0 {
		t.own, t.other = math.NaN(), math.NaN()
	}
	return t
}

// summary is the report without the table of all shapes.
func (r *convolutionReport) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Convolutions, %s\n\nMeasured %s on %s.\n\n", r.size, r.date, r.machine)
	fmt.Fprintf(&b, "The %d distinct convolutions of %s: the result and the gradients of x and of the weight,\neach timed alone, without a bias. convolutions.csv has every time.\n", len(r.shapes), strings.Join(r.networks, ", "))
	for _, p := range r.precisions() {
		who := r.convolvers(p)
		if len(who) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", p)
		if products := r.limit(limitOfProducts, p); !math.IsNaN(products) {
			fmt.Fprintf(&b, "The device attains %s TFLOP/s in products of large matrices and moves %s GB/s in copies.\n\n", number(1/products), number(1/r.limit(limitOfCopies, p)))
		}
		for _, other := range who[1:] {
			fmt.Fprintf(&b, "All convolutions of a step, %s beside %s; above 1, %s is faster:\n\n", who[0], other, who[0])
			fmt.Fprintf(&b, "| network | %s ms | %s ms | times | of the operations |\n|---|--:|--:|--:|--:|\n", who[0], other)
			var ratios []float64
			for _, network := range r.networks {
				t := r.total(network, p, who[0], other)
				ratios = append(ratios, t.other/t.own)
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %.0f %% |\n", network, number(1e3*t.own), number(1e3*t.other), number(t.other/t.own), 100*t.covered)
			}
			mean, _ := geometricMean(ratios)
			fmt.Fprintf(&b, "| geometric mean | | | %s | |\n\n", number(mean))
		}
	}
	if failures := r.failures(); len(failures) > 0 {
		fmt.Fprintf(&b, "Not measured:\n\n%s", strings.Join(failures, ""))
	}
	return b.String()
}

// failures returns a line for each reason.
func (r *convolutionReport) failures() (lines []string) {
	count := map[convolutionRow]int{}
	var order []convolutionRow
	for _, row := range r.rows {
		if row.failure == "" {
			continue
		}
		key := convolutionRow{precision: row.precision, who: row.who, failure: row.failure}
		if count[key]++; count[key] == 1 {
			order = append(order, key)
		}
	}
	for _, key := range order {
		lines = append(lines, fmt.Sprintf("- %d in %s by %s: %s\n", count[key], key.precision, key.who, key.failure))
	}
	return lines
}

// shapeTables has a line for every shape.
func (r *convolutionReport) shapeTables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Shapes of convolutions, %s\n\nMeasured %s on %s. Microseconds of the result, the gradient of x and the gradient of the\nweight, and the times of the others over them. The limit is the larger of the time of the operations and that\nof the bytes, by the device's own rates.\n", r.size, r.date, r.machine)
	for _, p := range r.precisions() {
		who := r.convolvers(p)
		if len(who) == 0 {
			continue
		}
		head := append([]string{"shape", "networks", who[0] + " µs", "TFLOP/s", "of the limit"}, who[1:]...)
		fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|---|---|%s\n", p, strings.Join(head, " | "), strings.Repeat("--:|", len(head)-2))
		for _, u := range r.shapes {
			var uses, times []string
			for _, network := range r.networks {
				if n := u.count[network]; n > 0 {
					uses = append(uses, fmt.Sprintf("%d %s", n, network))
				}
			}
			for _, o := range []string{forward, gradientOfX, gradientOfWt} {
				times = append(times, number(1e6*r.seconds(u, p, o, who[0])))
			}
			own, n := r.seconds(u, p, "", who[0]), float64(len(u.computations()))
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s", u, strings.Join(uses, ", "), strings.Join(times, ", "), number(n*u.operations()/own/1e12), number(n*r.least(u, p)/own))
			for _, other := range who[1:] {
				fmt.Fprintf(&b, " | %s", number(r.seconds(u, p, "", other)/own))
			}
			fmt.Fprint(&b, " |\n")
		}
	}
	return b.String()
}

// writeRows writes convolutions.csv.
func (r *convolutionReport) writeRows(folder string) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(convolutionHeader)
	for _, row := range r.rows {
		seconds := ""
		if row.failure == "" {
			seconds = strconv.FormatFloat(row.seconds, 'g', -1, 64)
		}
		w.Write([]string{row.shape, row.precision, row.operation, row.who, strconv.FormatBool(row.peer), seconds, row.failure})
	}
	w.Flush()
	return atomicfile.WriteString(filepath.Join(folder, "convolutions.csv"), b.String())
}

var convolutionHeader = []string{"shape", "precision", "operation", "who", "peer", "seconds", "failure"}

// write writes the tables, the CSV file and, after a comparison with PyTorch, the chart.
func (r *convolutionReport) write(folder string) error {
	if err := r.writeRows(folder); err != nil {
		return err
	}
	if err := atomicfile.WriteString(filepath.Join(folder, "convolutions.md"), r.summary()); err != nil {
		return err
	}
	if err := atomicfile.WriteString(filepath.Join(folder, "shapes.md"), r.shapeTables()); err != nil {
		return err
	}
	var all []series
	for _, p := range r.precisions() {
		who := r.convolvers(p)
		for _, other := range who {
			if !strings.HasPrefix(other, "PyTorch ") || other == who[0] {
				continue
			}
			s := series{name: other + " " + p}
			for _, network := range r.networks {
				t := r.total(network, p, who[0], other)
				s.ratios = append(s.ratios, t.other/t.own)
			}
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return drawRatios(filepath.Join(folder, "convolutions.png"), "Convolutions of a step: time of PyTorch over time of afl", r.networks, all)
}

// readConvolutions reads what writeRows wrote; a file that does not exist holds no rows.
func readConvolutions(path string) (rows []convolutionRow, err error) {
	lines, err := readLines(path, convolutionHeader)
	if err != nil {
		return nil, err
	}
	for i, l := range lines {
		row := convolutionRow{shape: l[0], precision: l[1], operation: l[2], who: l[3], peer: l[4] == "true", failure: l[6]}
		if row.failure == "" {
			if row.seconds, err = strconv.ParseFloat(l[5], 64); err != nil || !(row.seconds > 0) {
				return nil, fmt.Errorf("%s, line %d: seconds are %q, want a positive number", path, i+2, l[5])
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
