package train

import "path/filepath"

// Key identifies a training within a run.
type Key struct{ Network, Loss string }

// String returns the names of the network and the loss.
func (k Key) String() string { return k.Network + " " + k.Loss }

// dir returns the folder of the training in the folder of the run.
func (k Key) dir(run string) string { return filepath.Join(run, k.Network, k.Loss) }
