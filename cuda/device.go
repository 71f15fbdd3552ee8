package cuda

import "fmt"

// Device describes a GPU.
type Device struct {
	// Ordinal is the driver's index of the device. The environment variable
	// CUDA_VISIBLE_DEVICES selects and orders the devices that the driver shows.
	Ordinal int
	Name    string
	// ComputeMajor and ComputeMinor are the compute capability, 8 and 6 for 8.6.
	ComputeMajor, ComputeMinor int
	Memory                     int64 // bytes
	Multiprocessors            int
	L2                         int64 // size of the L2 cache in bytes
	// DriverVersion is the newest CUDA version that the driver supports, 12040 for
	// 12.4.
	DriverVersion int
}

func (d Device) String() string {
	return fmt.Sprintf("%s (CUDA device %d, compute capability %d.%d, %s)", d.Name, d.Ordinal, d.ComputeMajor, d.ComputeMinor, megabytes(d.Memory))
}

// CUDA returns the newest version of CUDA that the driver supports, such as 12.4.
func (d Device) CUDA() string { return versionName(d.DriverVersion) }

// The minimum compute capability: Turing, 2018.
const oldestMajor, oldestMinor = 7, 5

// Devices lists the machine's GPUs, including those whose compute capability is too low
// for [Open]. It returns an error if there are none or no driver.
func Devices() ([]Device, error) {
	d, err := openDriver()
	if err != nil {
		return nil, err
	}
	n, err := d.deviceCount()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errNoDevice
	}
	devices := make([]Device, n)
	for i := range devices {
		if devices[i], err = d.device(i); err != nil {
			return nil, err
		}
	}
	return devices, nil
}

var errNoDevice = fmt.Errorf("cuda: the driver shows no device (is CUDA_VISIBLE_DEVICES empty, or does a container lack access to its GPU?)")
