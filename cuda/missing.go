//go:build !(cgo && linux && (amd64 || arm64))

package cuda

import "errors"

// openDriver returns an error that says why there is no driver.
func openDriver() (driver, error) {
	return nil, errors.New("cuda: this program was built without cgo or for a system other than Linux on amd64 or arm64; build it with CGO_ENABLED=1 and a C compiler")
}
