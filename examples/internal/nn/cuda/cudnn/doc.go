// Package cudnn computes convolutions by NVIDIA's cuDNN where it is installed. The library is
// opened at run time: neither building nor running a program needs it.
//
// Of its functions, twelve of the graph API are used. A [Plan] is an operation on fixed sizes
// with the first engine of the library's own heuristic that is acceptable: engines are never
// chosen by time, so that a program computes the same in every run. Left out are engines that
//
//   - the library notes as nondeterministic, or as adding up in reduced precision;
//   - need more than [MostWorkspace] of scratch memory;
//   - use tensor cores or round their inputs, where float32 products are asked for; engines
//     that round their inputs further than to TF32 are left out in either case.
//
// # What was seen of the library
//
// cuDNN 9.28.1 (nvidia-cudnn-cu13) on a machine without a GPU, with these prototypes: all
// twelve functions are found; descriptors of tensors in channels-last order, of a convolution,
// its three operations, their graphs and heuristics are made, set and final; an attribute of
// the wrong type is status 2010, one set after the descriptor is final 2000, a query before
// that 1001; cudnnCreate is 1001. Without cuBLASLt beside it the library ends the process when
// a descriptor is made final, so that [Open] looks for that first. No plan was executed.
package cudnn
