package outcome

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// byName maps the names of the measures to values, for a file that outlives the order and
// the number of measures.
func byName[T any](values *[MeasureCount]T, has func(T) bool) map[string]T {
	named := map[string]T{}
	for m, v := range values {
		if has(v) {
			named[Measure(m).String()] = v
		}
	}
	return named
}

// setByName sets the values that are named and returns an error for the first unknown name,
// in alphabetical order.
func setByName[T any](values *[MeasureCount]T, named map[string]T) error {
	for _, name := range slices.Sorted(maps.Keys(named)) {
		m := slices.Index(measureKeys[:], name)
		if m < 0 {
			return fmt.Errorf("outcome: unknown measure %q", name)
		}
		values[m] = named[name]
	}
	return nil
}

// MarshalJSON encodes the defined values by the names of their measures.
func (v Values) MarshalJSON() ([]byte, error) {
	return json.Marshal(byName((*[MeasureCount]Number)(&v), Number.Defined))
}

// UnmarshalJSON decodes the output of MarshalJSON. A measure that is absent is undefined.
func (v *Values) UnmarshalJSON(raw []byte) error {
	var named map[string]Number
	if err := json.Unmarshal(raw, &named); err != nil {
		return err
	}
	*v = NoValues()
	return setByName((*[MeasureCount]Number)(v), named)
}

// MarshalJSON encodes the means that include a case by the names of their measures.
func (m Means) MarshalJSON() ([]byte, error) {
	return json.Marshal(byName((*[MeasureCount]Mean)(&m), func(mean Mean) bool { return mean.N > 0 }))
}

// UnmarshalJSON decodes the output of MarshalJSON. The mean of a measure that is absent
// includes no case.
func (m *Means) UnmarshalJSON(raw []byte) error {
	var named map[string]Mean
	if err := json.Unmarshal(raw, &named); err != nil {
		return err
	}
	for i := range m {
		m[i] = Mean{Value: Undefined}
	}
	return setByName((*[MeasureCount]Mean)(m), named)
}
