package plan

import "fmt"

// ArgumentError says which argument a call refused, what it was and what was
// expected.
type ArgumentError struct {
	Argument string // name of the argument or option, as in the API
	Got      string // what it was
	Want     string // what was expected
}

func (e *ArgumentError) Error() string {
	return fmt.Sprintf("afl: %s is %s, want %s", e.Argument, e.Got, e.Want)
}

// Refuse returns an [ArgumentError]; got is formatted with %v.
func Refuse(argument string, got any, want string, args ...any) error {
	return &ArgumentError{Argument: argument, Got: fmt.Sprint(got), Want: fmt.Sprintf(want, args...)}
}
