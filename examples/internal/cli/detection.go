package cli

import (
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/segment"
)

// detectionMethod is the value of -detection: a method of finding lesion candidates, or "off".
type detectionMethod string

const (
	detectionOff   = "off"
	detectionUsage = "`method` by which lesion candidates are found among the probabilities, as in the PI-CAI challenge:\ndynamic-fast, dynamic, dynamic-v2, static:T with a threshold such as static:0.5, or off"
)

func (d *detectionMethod) String() string {
	if *d == "" {
		return detectionOff
	}
	return string(*d)
}

func (d *detectionMethod) Set(s string) error {
	v := detectionMethod(s)
	if _, err := v.extraction(); err != nil {
		return err
	}
	*d = v
	return nil
}

// extraction returns the method with its defaults, nil for "off".
func (d *detectionMethod) extraction() (*detection.Extraction, error) {
	name, threshold, given := strings.Cut(d.String(), ":")
	e := &detection.Extraction{Method: detection.Static}
	switch {
	case name == detectionOff && !given:
		return nil, nil
	case name == detection.Static.String() && given:
		var err error
		if e.Threshold, err = strconv.ParseFloat(threshold, 64); err != nil || !(e.Threshold > 0 && e.Threshold <= 1) {
			return nil, fmt.Errorf("the threshold is %q, want a probability above 0 and at most 1", threshold)
		}
		return e, nil
	}
	methods := []detection.Method{detection.DynamicFast, detection.Dynamic, detection.DynamicV2}
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.String()
		if name == names[i] && !given {
			e.Method = m
			return e, nil
		}
	}
	return nil, fmt.Errorf("want %s, static:T with a threshold T, or %s", strings.Join(names, ", "), detectionOff)
}

// checkDetection turns -detection off for classes and regions, as only the foreground as a
// whole has lesion candidates, and returns an error if the flag was given.
func (o *options) checkDetection(flags *flag.FlagSet) (err error) {
	if o.scheme.kind() == segment.Binary || o.detection.String() == detectionOff {
		return nil
	}
	flags.Visit(func(g *flag.Flag) {
		if g.Name == "detection" {
			err = usageErrorf("-detection: lesion candidates are those of the foreground as a whole; leave out -%s, or -detection", o.scheme.kind())
		}
	})
	o.detection = detectionOff
	return err
}
