package main

import "math"

// fabric is a network between processes, by the time that a message of n bytes takes:
// Latency + n/Bandwidth.
type fabric struct {
	Name               string
	Latency, Bandwidth float64 // seconds, bytes per second in one direction
	// Adding is the rate at which a process adds gradients, in bytes per second.
	Adding float64
	// Accelerated says that a step takes the time of an assumed accelerator, not of this machine.
	Accelerated bool
}

// fabrics are typical ones; their numbers are assumptions.
var fabrics = []fabric{
	{"10 GbE", 30e-6, 1.1e9, 2e9, false},
	{"100G RDMA", 3e-6, 11e9, 2e9, false},
	{"100G RDMA, accelerator", 3e-6, 11e9, 1e12, true},
	{"NVLink, accelerator", 6e-6, 300e9, 1e12, true},
}

// acceleratorRate is the assumed number of floating-point operations per second of an
// accelerator in convolutions.
const acceleratorRate = 60e12

// bucketBytes is the size at which package dist sends gradients.
const bucketBytes = 4 << 20

// exchange returns the time in which p processes sum n bytes as package dist does: an all-to-all
// of p−1 messages, the additions, and an all-gather by recursive doubling.
func (f fabric) exchange(n, p float64) float64 {
	if p == 1 {
		return 0
	}
	part := n * (p - 1) / p
	return (p-1+math.Ceil(math.Log2(p)))*f.Latency + 2*part/f.Bandwidth + part/f.Adding
}

// step returns the time of a step of p processes, of which a single one takes the measured time.
// Buckets are exchanged one after the other, each as soon as its gradients are final.
func (f fabric) step(m measurement, p int) (step, alone float64) {
	scale := 1.0
	if f.Accelerated {
		scale = 6 * float64(m.MultiplyAdds) / acceleratorRate / m.Step
	}
	alone = m.Step * scale
	var wire, last float64
	bytes := 0
	for i, r := range m.Ready {
		bytes += r.Bytes
		if last = r.At * scale; bytes >= bucketBytes || i == len(m.Ready)-1 {
			wire = max(wire, last) + f.exchange(float64(bytes), float64(p))
			bytes = 0
		}
	}
	return alone + max(0, wire-last), alone
}
