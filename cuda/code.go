package cuda

import (
	"errors"
	"fmt"
	"sync"

	"github.com/x/afl/internal/cuda/kernel"
)

// code loads kernels. The driver takes seconds to compile all of them for a GPU that it
// has not seen, so a module is loaded when the first of its kernels is launched.
type code struct {
	session session
	device  Device

	functions sync.Map // handles by name of the kernel

	loading sync.Mutex // guards modules
	modules map[*kernel.Module]handle
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
	module, loaded := c.modules[m]
	if !loaded {
		var log string
		if module, log, err = c.session.load(m.PTX); err != nil {
			return nil, fmt.Errorf("cuda: the driver (for CUDA %s) rejects the kernel module %s for %v: %w\n%s",
				c.device.CUDA(), m.Name, c.device, err, log)
		}
		c.modules[m] = module
	}
	f, err := c.session.function(module, name)
	if err != nil {
		return nil, fmt.Errorf("cuda: kernel %s: %w", name, err)
	}
	c.functions.Store(name, f)
	return f, nil
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
