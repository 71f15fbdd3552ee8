// The kernels of the float32 passes for one type of logits.
//
// afl_gradient_*: a focal, cross-entropy or A-FL loss of N×C×V logits and its
// gradient in one pass. Activation, log-likelihood, focal factor, class weights, sum
// and derivative are fused; probabilities, a one-hot label, the un-reduced loss and a
// voxel's normalizer never reach memory. With an overlap term (Dice, IoU, Tversky),
// afl_reduce_* runs first and sums I, P and G by channel, and the pointwise term if no
// gradient is asked for; the gradient pass then takes the blocks in reverse order,
// starting with what is left in the L2 cache.
//
// *_sigmoid_*: any number of channels, one after another. The gradient pass moves
// 9 bytes per voxel and channel in float32 (4 each for logit and gradient, 1 for the
// label) and 5 in half precision, the reduce pass 5 and 3. Labels of further channels
// come from the caches.
//
// *_softmax2_*, 3, 4: a voxel's channels are held in registers. The gradient pass
// moves 8C+1 bytes per voxel in float32 and 4C+1 in half precision, the reduce pass
// 4C+1 and 2C+1.
//
// *_softmax_*: more channels are read three times, 4 KiB per channel and block at a
// time, so that one of the reads is from memory and two are from the caches.
#ifndef AFL_PASSES_H
#define AFL_PASSES_H

#include "logistic.h"
#include "softmax.h"

#define AFL_PASSES(type, suffix) \
	AFL_KERNEL(afl_reduce_sigmoid_##suffix, 4) { afl::logistic_pass<afl::type, false, false>(a); } \
	AFL_KERNEL(afl_gradient_sigmoid_##suffix, 4) { afl::logistic_pass<afl::type, false, true>(a); } \
	AFL_KERNEL(afl_reduce_softmax2_##suffix, 3) { afl::logistic_pass<afl::type, true, false>(a); } \
	AFL_KERNEL(afl_gradient_softmax2_##suffix, 3) { afl::logistic_pass<afl::type, true, true>(a); } \
	AFL_KERNEL(afl_reduce_softmax3_##suffix, 3) { afl::softmax_registers<afl::type, 3, false>(a); } \
	AFL_KERNEL(afl_gradient_softmax3_##suffix, 3) { afl::softmax_registers<afl::type, 3, true>(a); } \
	AFL_KERNEL(afl_reduce_softmax4_##suffix, 3) { afl::softmax_registers<afl::type, 4, false>(a); } \
	AFL_KERNEL(afl_gradient_softmax4_##suffix, 3) { afl::softmax_registers<afl::type, 4, true>(a); } \
	AFL_KERNEL(afl_reduce_softmax_##suffix, 3) { afl::softmax_memory<afl::type, false>(a); } \
	AFL_KERNEL(afl_gradient_softmax_##suffix, 3) { afl::softmax_memory<afl::type, true>(a); }

#endif
