package afl

import (
	"github.com/x/afl/internal/plan"
)

// ArgumentError says which argument a call refused, what it was and what was
// expected. Every function of this package that refuses its input returns one, to
// be found with errors.As; so do the functions of package cuda.
type ArgumentError struct {
	Argument string // name of the argument or option, as in the API
	Got      string // what it was
	Want     string // what was expected
}

func (e *ArgumentError) Error() string { return "afl: " + (*plan.Refusal)(e).Error() }

// refuse returns an [ArgumentError]; got is formatted with %v.
func refuse(argument string, got any, want string, args ...any) error {
	return public(plan.Refuse(argument, got, want, args...))
}

// public turns the refusals in an error of an internal package into an
// [ArgumentError].
func public(err error) error {
	return plan.Reword(err, func(r *plan.Refusal) error { return (*ArgumentError)(r) })
}
