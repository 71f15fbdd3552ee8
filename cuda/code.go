package cuda

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/x/afl/internal/cuda/kernel"
)

// code loads kernels. The driver takes by estimate half a minute to compile all of them for a GPU
// that it has not seen, so a module is loaded when the first of its kernels is launched.
type code struct {
	session session
	device  Device

	functions sync.Map // handles by name of the kernel

	loading sync.Mutex // guards modules and took
	modules map[*kernel.Module]handle
	took    time.Duration // by the driver to load all of them
}

func newCode(s session, device Device) *code {
	return &code{session: s, device: device, modules: map[*kernel.Module]handle{}}
}

// function returns a kernel of a set, loading its module first if necessary. It may be
// called during a capture, since loading a module enqueues nothing on the stream.
func (c *code) function(set *kernel.Set, name string) (handle, error) {
	if f, found := c.functions.Load(name); found {
		return f.(handle), nil
	}
	c.loading.Lock()
	defer c.loading.Unlock()
	if f, found := c.functions.Load(name); found {
		return f.(handle), nil
	}
	m, err := set.ModuleOf(name)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	module, _, err := c.load(m)
	if err != nil {
		return nil, err
	}
	f, err := c.session.function(module, name)
	if err != nil {
		return nil, fmt.Errorf("cuda: kernel %s: %w", name, err)
	}
	c.functions.Store(name, f)
	return f, nil
}

// load returns a module, which it loads first if necessary, and the time that this took. The
// caller holds c.loading.
func (c *code) load(m *kernel.Module) (handle, time.Duration, error) {
	if module, loaded := c.modules[m]; loaded {
		return module, 0, nil
	}
	start := time.Now()
	module, log, err := c.session.load(m.PTX)
	if err != nil {
		return nil, 0, fmt.Errorf("cuda: the driver (for CUDA %s) rejects the kernel module %s for %v: %w\n%s",
			c.device.CUDA(), m.Name, c.device, err, log)
	}
	c.modules[m] = module
	took := max(time.Since(start), 1)
	c.took += took
	return module, took, nil
}

// loaded returns the number of modules and the time that loading them took.
func (c *code) loaded() (modules int, took time.Duration) {
	c.loading.Lock()
	defer c.loading.Unlock()
	return len(c.modules), c.took
}

// loadAll loads every module of a set that is not loaded yet, and calls progress for each.
func (c *code) loadAll(set *kernel.Set, progress func(module string, took time.Duration)) error {
	for _, m := range set.Modules() {
		c.loading.Lock()
		_, took, err := c.load(m)
		c.loading.Unlock()
		if err != nil {
			return err
		}
		if took > 0 && progress != nil {
			progress(m.Name, took)
		}
	}
	return nil
}

// close unloads all modules and returns all errors.
func (c *code) close() error {
	var errs []error
	for _, module := range c.modules {
		errs = append(errs, c.session.unload(module))
	}
	clear(c.modules)
	c.functions.Clear()
	return errors.Join(errs...)
}
