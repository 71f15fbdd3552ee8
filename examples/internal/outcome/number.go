package outcome

import (
	"fmt"
	"math"
	"strconv"
)

// Number is a float64 for which NaN means undefined. Unlike a float64 it can always be
// encoded as JSON: undefined is null, and the infinities are strings.
type Number float64

// Undefined is the Number of a measure without a value.
var Undefined = Number(math.NaN())

// Defined reports whether n has a value.
func (n Number) Defined() bool { return !math.IsNaN(float64(n)) }

// Finite reports whether n can be part of a mean or a curve.
func (n Number) Finite() bool { return n.Defined() && !math.IsInf(float64(n), 0) }

// MarshalJSON encodes n so that UnmarshalJSON returns the same bits.
func (n Number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case math.IsNaN(v):
		return []byte("null"), nil
	case math.IsInf(v, 1):
		return []byte(`"inf"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-inf"`), nil
	default:
		return strconv.AppendFloat(nil, v, 'g', -1, 64), nil
	}
}

// UnmarshalJSON decodes the output of MarshalJSON.
func (n *Number) UnmarshalJSON(raw []byte) error {
	switch s := string(raw); s {
	case "null":
		*n = Undefined
	case `"inf"`:
		*n = Number(math.Inf(1))
	case `"-inf"`:
		*n = Number(math.Inf(-1))
	default:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("outcome: number %s: %w", s, err)
		}
		*n = Number(v)
	}
	return nil
}
