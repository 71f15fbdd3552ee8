package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// step is the shortest training step of a network, in seconds; NaN where it was not measured.
type step struct {
	part, network, input, precision string
	own, cudnn, peer                float64
}

// readSteps reads what the parts that measure steps have written, in their order.
func readSteps(folder string) (all []step, err error) {
	for _, p := range allParts(false) {
		if !strings.HasPrefix(p.name, "steps-") {
			continue
		}
		path := filepath.Join(folder, p.name, "steps.csv")
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		steps, err := parseSteps(p.name, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, steps...)
	}
	return all, nil
}

// parseSteps reads the file steps.csv of stepbench.
func parseSteps(part string, text []byte) (steps []step, err error) {
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, errors.New("it is empty")
	}
	var at [6]int
	for i, name := range []string{"network", "input", "who", "peer", "seconds", "failure"} {
		if at[i] = slices.Index(lines[0], name); at[i] < 0 {
			return nil, fmt.Errorf("it has no column %s", name)
		}
	}
	precision := part[strings.LastIndexByte(part, '-')+1:]
	for i, l := range lines[1:] {
		network, input, who, peer := l[at[0]], l[at[1]], l[at[2]], l[at[3]] == "true"
		if n := len(steps); n == 0 || steps[n-1].network != network {
			steps = append(steps, step{part, network, input, precision, math.NaN(), math.NaN(), math.NaN()})
		}
		if l[at[5]] != "" {
			continue
		}
		seconds, err := strconv.ParseFloat(l[at[4]], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: seconds are %q, want a number", i+2, l[at[4]])
		}
		s := &steps[len(steps)-1]
		of := &s.own
		if peer {
			of = &s.peer
		} else if strings.HasSuffix(who, " cudnn") {
			of = &s.cudnn
		}
		if !(*of <= seconds) {
			*of = seconds
		}
	}
	return steps, nil
}
