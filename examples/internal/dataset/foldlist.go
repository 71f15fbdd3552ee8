package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ReadFolds reads the folds of the cases from a CSV file whose first row names the columns case
// and fold, in any order; commas, semicolons or tabs separate them, and other columns are not
// read:
//
//	case,fold
//	10000_1000000,0
//	10001_1000001,3
//
// The folds are numbered from 0 without gaps, at least 0 and 1. Every one of the cases must be
// listed once, and no other case may be listed.
func ReadFolds(path string, cases []Case) (Folds, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	folds, err := parseFolds(raw)
	if err == nil {
		err = folds.match(cases)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	return folds, nil
}

func parseFolds(raw []byte) (Folds, error) {
	r := newCSVReader(bytes.TrimPrefix(raw, []byte("\uFEFF")))
	columns, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("is empty; want a row with the column names case and fold, and a row for each case")
	}
	if err != nil {
		return nil, err
	}
	for i, name := range columns {
		columns[i] = strings.ToLower(strings.TrimSpace(name))
	}
	caseColumn, foldColumn := slices.Index(columns, "case"), slices.Index(columns, "fold")
	if caseColumn < 0 || foldColumn < 0 {
		return nil, fmt.Errorf("the columns are %s; want case and fold", strings.Join(columns, ", "))
	}
	folds, lines := Folds{}, map[string]int{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return folds, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		id, text := strings.TrimSpace(row[caseColumn]), strings.TrimSpace(row[foldColumn])
		fold, err := strconv.Atoi(text)
		if err != nil || fold < 0 {
			return nil, fmt.Errorf("line %d: the fold of case %s is %q, want a whole number from 0 on", line, id, text)
		}
		if other, twice := lines[id]; twice {
			return nil, fmt.Errorf("lines %d and %d: case %s is listed twice", other, line, id)
		}
		folds[id], lines[id] = fold, line
	}
}

// match returns an error unless the folds are those of the cases and are numbered without gaps.
func (f Folds) match(cases []Case) error {
	known := map[string]bool{}
	var missing, unknown []string
	for _, c := range cases {
		known[c.ID] = true
		if _, ok := f[c.ID]; !ok {
			missing = append(missing, c.ID)
		}
	}
	for _, id := range sortedKeys(f) {
		if !known[id] {
			unknown = append(unknown, id)
		}
	}
	slices.Sort(missing)
	switch {
	case len(unknown) > 0 && len(missing) > 0:
		return fmt.Errorf("the data have no case %s; and case %s of the data is not listed", firstFew(unknown), firstFew(missing))
	case len(unknown) > 0:
		return fmt.Errorf("the data have no case %s", firstFew(unknown))
	case len(missing) > 0:
		return fmt.Errorf("case %s of the data is not listed", firstFew(missing))
	}
	used := map[int]bool{}
	for _, fold := range f {
		used[fold] = true
	}
	// The largest number may be huge, so look for a gap among as many as there are folds.
	for fold := range max(len(used), 2) {
		if !used[fold] {
			return fmt.Errorf("no case is in fold %d; want at least two folds, numbered from 0 without gaps", fold)
		}
	}
	return nil
}
