package page

import (
	"fmt"
	"image/color"

	"github.com/x/afl/examples/internal/outcome"
)

// Chart is a chart of curves.
type Chart struct {
	Title string `json:"title"`
	// Note is below the chart; optional.
	Note   string  `json:"note,omitempty"`
	X      Axis    `json:"x"`
	Y      Axis    `json:"y"`
	Curves []Curve `json:"curves"`

	network string // title of the network
}

// Axis is an axis of a Chart. Without limits it shows all values.
type Axis struct {
	Label string   `json:"label"`
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
	Log   bool     `json:"log,omitempty"` // logarithmic; its limits are powers of ten
}

// Curve is a curve through the points (X[i], Y[i]), whose X do not decrease.
type Curve struct {
	Name   string   `json:"name"`
	Color  Color    `json:"color"`
	Dashed bool     `json:"dashed,omitempty"`
	X      []Number `json:"x"`
	Y      []Number `json:"y"`
	// Low and High bound a band around the curve, at each X; optional.
	Low  []Number `json:"low,omitempty"`
	High []Number `json:"high,omitempty"`
}

// Color is an opaque color as #rrggbb.
type Color string

// ColorOf returns a color without its opacity.
func ColorOf(c color.Color) Color {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return Color(fmt.Sprintf("#%02x%02x%02x", n.R, n.G, n.B))
}

// Number is a number of the page, which has six digits.
type Number outcome.Number

// MarshalJSON encodes n like an outcome.Number, with six digits.
func (n Number) MarshalJSON() ([]byte, error) {
	if v := outcome.Number(n); !v.Finite() {
		return v.MarshalJSON()
	}
	return fmt.Appendf(nil, "%.6g", float64(n)), nil
}
