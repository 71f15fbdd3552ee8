// Package library determines which driver library package cuda opens. Being internal, it
// lets the tests of this module, but not other programs, replace it.
package library

import "sync"

var (
	mu    sync.Mutex
	other string
)

// Names returns the names to try, in this order: the driver as the loader finds it, then
// its paths on WSL 2 and NixOS, where the loader may not know it.
func Names() []string {
	mu.Lock()
	defer mu.Unlock()
	if other != "" {
		return []string{other}
	}
	return []string{"libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", "/run/opengl-driver/lib/libcuda.so.1"}
}

// Replace makes path the only name to try, until restore is called.
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
