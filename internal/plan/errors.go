package plan

import (
	"errors"
	"fmt"
	"strings"
)

// Refusal says which argument a call refused, what it was and what was expected.
// The public packages return it as an error type of their own, see [Reword].
type Refusal struct {
	Argument string // name of the argument or option, as in the API
	Got      string // what it was
	Want     string // what was expected
}

// Error is the message without the name of a package.
func (r *Refusal) Error() string {
	verb := "is"
	if strings.Contains(r.Argument, " and ") {
		verb = "are"
	}
	return fmt.Sprintf("%s %s %s, want %s", r.Argument, verb, r.Got, r.Want)
}

// Refuse returns a [Refusal]; got is formatted with %v.
func Refuse(argument string, got any, want string, args ...any) error {
	return &Refusal{Argument: argument, Got: fmt.Sprint(got), Want: fmt.Sprintf(want, args...)}
}

// Reword replaces every [Refusal] in an error by what public returns for it. It
// looks into joined errors, not into wrapped ones, of which a backend makes none.
func Reword(err error, public func(*Refusal) error) error {
	switch e := err.(type) {
	case *Refusal:
		return public(e)
	case interface{ Unwrap() []error }:
		var all []error
		for _, one := range e.Unwrap() {
			all = append(all, Reword(one, public))
		}
		return errors.Join(all...)
	}
	return err
}
