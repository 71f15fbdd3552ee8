// Package onnx writes a network as an ONNX model. It runs the network on a backend that
// records the operations instead of computing them, so that the model follows from the code
// of the network: a new network needs nothing here.
//
// # Operations
//
// The model is what a pass in inference computes, in float32: batch norms use their running
// statistics, dropout is absent. Every operation of package nn becomes the operator of the
// same meaning in ONNX's operator set 17, with two exceptions. That set has no group norm,
// which becomes an InstanceNormalization of the reshaped input followed by scale and shift,
// and no repetition of channels, which becomes Tile and Slice. An operation that belongs to
// training, or that ONNX does not have, is an error that names it.
//
// # Sizes
//
// The number of samples is always open. Whether it can be, and with [Options].Dynamic the
// spatial size too, is not assumed: the network is recorded with another number of samples,
// and of another size, and has to record the same nodes.
package onnx
