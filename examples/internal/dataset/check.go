package dataset

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/x/afl/examples/internal/segment"
)

// checkWorkers is the maximum number of cases that Check holds in memory.
const checkWorkers = 4

// Check reads all files of the training and validation cases as p does. It returns an error
// that names every case that cannot be read, up to 20, or says that no training label has
// foreground. Otherwise it returns warnings, each once for all the cases it concerns:
// constant channels, masks that are empty in every validation case or cover a whole scan,
// classes, regions and named labels that do not occur, and labels that count for nothing.
//
// If progress is not nil, it is called after each case. When ctx is done, Check returns its
// error.
func (s *Set) Check(ctx context.Context, p Protocol, progress func(done, total int)) (warnings []string, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	cases := slices.Concat(s.Train, s.Valid)
	results := make([]inspected, len(cases))
	var running sync.WaitGroup
	var mu sync.Mutex
	free := make(chan struct{}, min(checkWorkers, runtime.GOMAXPROCS(0)))
	done := 0
	for i, c := range cases {
		if ctx.Err() != nil {
			break
		}
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			if ctx.Err() != nil {
				return
			}
			results[i] = p.inspect(c)
			mu.Lock()
			defer mu.Unlock()
			done++
			if progress != nil {
				progress(done, len(cases))
			}
		})
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var problems []string
	for i, r := range results {
		if r.err != nil {
			problems = append(problems, fmt.Sprintf("case %s: %v", cases[i].ID, r.err))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("dataset: %s: %s%s", s.from, wrongCases(len(problems), len(cases)), listed(problems))
	}
	train, valid := results[:len(s.Train)], results[len(s.Train):]
	if !slices.ContainsFunc(train, func(r inspected) bool { return r.foreground }) {
		return nil, fmt.Errorf("dataset: %s: no training label has a voxel of the %v; there is nothing to learn", s.from, p.Scheme)
	}
	return s.warnings(p.Scheme, cases, train, valid), nil
}

// inspected is what Check finds in a case.
type inspected struct {
	contents
	foreground, background bool
	err                    error
}

func (p Protocol) inspect(c Case) inspected {
	prep, err := p.load(c)
	if err == nil && !prep.labeled {
		err = errors.New("it has no label")
	}
	if err != nil {
		return inspected{err: err}
	}
	r := inspected{contents: prep.found}
	for _, code := range prep.label.data {
		r.foreground = r.foreground || code != 0
		r.background = r.background || code == 0
		if r.foreground && r.background {
			break
		}
	}
	return r
}

func (s *Set) warnings(scheme segment.Scheme, cases []Case, train, valid []inspected) (list []string) {
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	constant, values := map[int]*occurrences{}, map[int]*occurrences{}
	full := map[bool]*occurrences{}
	for i, r := range slices.Concat(train, valid) {
		for _, channel := range r.constant {
			note(constant, channel, cases[i].ID)
		}
		for _, value := range r.labels {
			note(values, value, cases[i].ID)
		}
		if !r.background {
			note(full, true, cases[i].ID)
		}
	}
	for channel := range s.Channels {
		if o := constant[channel]; o != nil {
			warn("In %s, image channel %s has the same value everywhere; it becomes zero.", o.of(len(cases)), s.channelTitle(channel))
		}
	}
	if o := full[true]; o != nil {
		warn("In %s, every voxel of the label is foreground.", o.of(len(cases)))
	}
	has := func(part []inspected, labels []int) bool {
		return slices.ContainsFunc(part, func(r inspected) bool {
			return slices.ContainsFunc(labels, func(l int) bool { return slices.Contains(r.labels, l) })
		})
	}
	for _, g := range scheme.Segments {
		switch title := scheme.Title(); {
		case !has(train, g.Labels):
			warn("The %s %s (%s) occurs in no training case.", title, g.Name, valueList(g.Labels))
		case len(valid) > 0 && !has(valid, g.Labels):
			warn("The %s %s (%s) occurs in no validation case.", title, g.Name, valueList(g.Labels))
		}
	}
	if len(valid) > 0 && !slices.ContainsFunc(valid, func(r inspected) bool { return r.foreground }) {
		warn("The label of every validation case is empty.")
	}
	s.labelWarnings(scheme, values, len(cases), warn)
	return list
}

// labelWarnings compares the values of the labels with those that the data set names and
// those that the scheme uses.
func (s *Set) labelWarnings(scheme segment.Scheme, values map[int]*occurrences, total int, warn func(string, ...any)) {
	numbers := make([]int, 0, len(values))
	for value := range values {
		if value != 0 {
			numbers = append(numbers, value)
		}
	}
	slices.Sort(numbers)
	for _, value := range numbers {
		if scheme.Kind != segment.Binary && scheme.Code(value) == 0 {
			warn("Label %d, in %s, belongs to no %s and counts as background.", value, values[value].of(total), scheme.Title())
		}
	}
	if s.Description == nil || len(s.Description.Labels) == 0 {
		return
	}
	named := map[int]string{}
	for _, l := range s.Description.Labels {
		for _, value := range l.Values {
			if named[value] == "" {
				named[value] = l.Name
			}
		}
		known := func(value int) bool { return value == 0 || values[value] != nil }
		if scheme.Kind == segment.Binary && !slices.ContainsFunc(l.Values, known) {
			warn("The label %s (%s) of %s occurs in no case.", l.Name, valueList(l.Values), DescriptionName)
		}
	}
	for _, value := range numbers {
		switch {
		case named[value] == "":
			warn("Label %d, in %s, is not among those that %s names.", value, values[value].of(total), DescriptionName)
		case strings.EqualFold(named[value], "ignore") && scheme.Code(value) != 0:
			warn("Label %d, in %s, is named ignore, but no voxel is ignored: it counts as foreground.", value, values[value].of(total))
		}
	}
}

// channelTitle returns the number of a channel, from 1, and its name.
func (s *Set) channelTitle(channel int) string {
	if channel < len(s.ChannelNames) {
		return fmt.Sprintf("%d (%s)", channel+1, s.ChannelNames[channel])
	}
	return fmt.Sprint(channel + 1)
}

func valueList(values []int) string {
	text := strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ", "), "[]")
	if len(values) == 1 {
		return "label " + text
	}
	return "labels " + text
}
