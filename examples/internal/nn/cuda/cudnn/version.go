package cudnn

import "fmt"

// Version is a version of cuDNN, major·10000 + minor·100 + patch.
type Version int

// oldest is the first version that is accepted.
const oldest = Version(91600)

// String returns a version such as 9.16.0.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v/10000, v%10000/100, v%100) }
