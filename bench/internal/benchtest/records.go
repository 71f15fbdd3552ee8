// Package benchtest reads the files of the benchmarks in their tests.
package benchtest

import (
	"encoding/csv"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// ReadCSV returns the records of a CSV file, each by the column names of the first line.
func ReadCSV(t testing.TB, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	var records []map[string]string
	for _, line := range lines[1:] {
		m := map[string]string{}
		for i, column := range lines[0] {
			m[column] = line[i]
		}
		records = append(records, m)
	}
	return records
}
