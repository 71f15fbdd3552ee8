// Package library says which library package cuda opens. It lets the tests of
// this module put another in its place, which the programs that use it cannot.
package library

import "sync"

var (
	mu    sync.Mutex
	other string
)

// Names returns what is tried, in this order: the driver as the loader finds it,
// then where it lies under WSL 2 and NixOS, which need not tell the loader.
func Names() []string {
	mu.Lock()
	defer mu.Unlock()
	if other != "" {
		return []string{other}
	}
	return []string{"libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", "/run/opengl-driver/lib/libcuda.so.1"}
}

// Replace makes path the only name until restore is called.
func Replace(path string) (restore func()) {
	mu.Lock()
	defer mu.Unlock()
	before := other
	other = path
	return func() {
		mu.Lock()
		defer mu.Unlock()
		other = before
	}
}
