package report

import (
	"fmt"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
)

// diceInterval formats the 95% confidence interval of the mean foreground Dice by
// Student's t distribution. It requires two cases with a defined Dice.
func diceInterval(cases []outcome.Case) string {
	var dice []float64
	for _, c := range cases {
		if v := c.Values[outcome.Dice]; v.Finite() {
			dice = append(dice, float64(v))
		}
	}
	if len(dice) < 2 {
		return dash
	}
	ci, err := afl.TInterval(dice, 0.95)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%.3f to %.3f", ci.Lower, ci.Upper)
}
