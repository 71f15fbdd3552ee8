package main

import (
	"fmt"
	"io"
	"strings"
)

// unfinishedError says that there was no time for a part of the work. What was done is written.
type unfinishedError struct{ left []string }

// statusUnfinished is the exit status with which the program says so.
const statusUnfinished = 3

func (e *unfinishedError) add(what string) { e.left = append(e.left, what) }

func (e *unfinishedError) Error() string {
	return "the time (-budget) is up; left out: " + strings.Join(e.left, "; ")
}

// report prints what was left out and returns the error, nil if nothing was.
func (e *unfinishedError) report(progress io.Writer) error {
	if len(e.left) == 0 {
		return nil
	}
	for _, what := range e.left {
		fmt.Fprintf(progress, "%s: left out, as the time (-budget) is up\n", what)
	}
	return e
}
