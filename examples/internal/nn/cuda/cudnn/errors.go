package cudnn

import (
	"errors"
	"fmt"
)

// StatusError is a failed call of cuDNN.
type StatusError struct {
	Function string
	Status   int    // that it returned
	Name     string // of the status, such as CUDNN_STATUS_BAD_PARAM
	Message  string // the library's own, may be empty
	Version  Version
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("cudnn: %s of cuDNN %v failed: %s (%d)", e.Function, e.Version, e.Name, e.Status)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// unsupported reports whether an engine does not support what is asked of it.
func unsupported(err error) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Status/1000 == 3
}

// NoEngineError says that no engine of cuDNN is acceptable for an operation.
type NoEngineError struct {
	Operation   Operation
	Convolution Convolution
	Refused     []string // the engines that the heuristic offers, and why each was left out
}

func (e *NoEngineError) Error() string {
	return fmt.Sprintf("cudnn: no engine is acceptable for %v of %v: %v", e.Operation, e.Convolution, e.Refused)
}
