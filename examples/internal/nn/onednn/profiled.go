//go:build onednn

package onednn

// profiled waits for all work and returns its times; see Profile.
func (b *backend) profiled() []Entry {
	if b.profile == nil {
		return nil
	}
	b.worker.wait(func() {})
	return b.profile.entries()
}
