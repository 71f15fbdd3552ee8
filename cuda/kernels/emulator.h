// The primitives of device.h for a plain C++ compiler. Blocks run one after another
// on the calling thread; a block's threads are fibers that switch only at barriers
// and shuffles. Whatever the GPU leaves unspecified varies from launch to launch, so
// that code relying on it gives varying results: the order of the blocks, the order
// of the threads between two barriers, and the initial contents of shared memory. A
// barrier or shuffle that not all threads reach at the same source line ends the
// launch with a message instead of a hang.
//
// Linux on amd64 or arm64, one translation unit.
#ifndef AFL_EMULATOR_H
#define AFL_EMULATOR_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <mutex>
#include <string>

// The kernel takes its parameter by reference: copying it to 256 stacks would cost
// more than a small kernel. It is read-only on the GPU too.
#define AFL_KERNEL_OF(type, name, blocks)                                                           \
	static void name(const type &a);                                                                \
	static void emulated_call_##name(const void *a) { name(*(const type *)a); }                     \
	static const ::emulator::Kernel emulated_##name(#name, emulated_call_##name, sizeof(type));     \
	static void name([[maybe_unused]] const type &a)
#define AFL_DEVICE static inline
#define AFL_MEMBER inline
#define AFL_OUT_OF_LINE [[maybe_unused]] static __attribute__((noinline))
// Shared variables are placed together, so that they can be overwritten when a block
// starts.
#define AFL_SHARED static __attribute__((section("afl_shared")))

extern "C" unsigned char __start_afl_shared[] __attribute__((weak)), __stop_afl_shared[] __attribute__((weak));

namespace emulator {

typedef void (*Function)(const void *arguments);

struct Entry {
	Function function;
	size_t bytes; // of the arguments
};

// Static, as a process may load several libraries of kernels.
static inline std::map<std::string, Entry> &kernels() {
	static std::map<std::string, Entry> all;
	return all;
}

struct Kernel {
	Kernel(const char *name, Function f, size_t bytes) { kernels()[name] = Entry{f, bytes}; }
};

enum : uint32_t { warp = 32, warps = AFL_THREADS / warp, stack_bytes = 128 << 10 };

// afl_switch_stack saves the callee-saved registers on the stack, stores the stack
// pointer in *from, and resumes the stack `to`.
extern "C" void afl_switch_stack(void **from, void *to);
extern "C" void afl_first_call(); // enters a new fiber
#if defined(__x86_64__)
asm(R"(
	.text
	.p2align 4
	.local afl_switch_stack
	.type afl_switch_stack, @function
afl_switch_stack:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size afl_switch_stack, .-afl_switch_stack
	.local afl_first_call
	.type afl_first_call, @function
afl_first_call:
	callq *%rbx
	ud2
	.size afl_first_call, .-afl_first_call
)");
// A new fiber's stack, as afl_switch_stack would leave it, with the entry in rbx.
static void *new_stack(unsigned char *top, void (*entry)()) {
	void **sp = (void **)top - 9; // the entry is called with the alignment that the ABI requires
	memset(sp, 0, 9 * sizeof *sp);
	sp[4] = (void *)entry;
	sp[6] = (void *)afl_first_call;
	return sp;
}
#elif defined(__aarch64__)
asm(R"(
	.text
	.p2align 4
	.local afl_switch_stack
	.type afl_switch_stack, %function
afl_switch_stack:
	stp x29, x30, [sp, #-160]!
	stp x19, x20, [sp, #16]
	stp x21, x22, [sp, #32]
	stp x23, x24, [sp, #48]
	stp x25, x26, [sp, #64]
	stp x27, x28, [sp, #80]
	stp d8, d9, [sp, #96]
	stp d10, d11, [sp, #112]
	stp d12, d13, [sp, #128]
	stp d14, d15, [sp, #144]
	mov x9, sp
	str x9, [x0]
	mov sp, x1
	ldp x19, x20, [sp, #16]
	ldp x21, x22, [sp, #32]
	ldp x23, x24, [sp, #48]
	ldp x25, x26, [sp, #64]
	ldp x27, x28, [sp, #80]
	ldp d8, d9, [sp, #96]
	ldp d10, d11, [sp, #112]
	ldp d12, d13, [sp, #128]
	ldp d14, d15, [sp, #144]
	ldp x29, x30, [sp], #160
	ret
	.size afl_switch_stack, .-afl_switch_stack
	.local afl_first_call
	.type afl_first_call, %function
afl_first_call:
	blr x19
	brk #1
	.size afl_first_call, .-afl_first_call
)");
static void *new_stack(unsigned char *top, void (*entry)()) {
	void **sp = (void **)top - 20;
	memset(sp, 0, 20 * sizeof *sp);
	sp[1] = (void *)afl_first_call;
	sp[2] = (void *)entry;
	return sp;
}
#else
#error "the emulator of the CUDA kernels runs on amd64 and arm64"
#endif

// Where a thread is waiting.
struct Place {
	const char *word; // "barrier" or "shuffle"; null: it is running or ready
	const char *file;
	int line;
};

struct Machine {
	std::mutex lock; // there is one copy of the shared variables
	unsigned char *stacks = nullptr;
	void *stack[AFL_THREADS], *launcher;
	Place at[AFL_THREADS];
	bool finished[AFL_THREADS];
	uint64_t exchanged[2][AFL_THREADS]; // values in a shuffle; no lane is two shuffles ahead
	uint32_t shuffles[AFL_THREADS];
	int ready[AFL_THREADS], ready_count; // a stack of ready threads
	int order[AFL_THREADS];              // of the threads of this block
	int in_barrier, in_shuffle[warps];   // numbers of waiting threads
	int left;                            // unfinished threads
	uint32_t thread, block, blocks;
	Function kernel;
	const void *arguments;
	char failure[512];
	uint64_t seed = 0x9e3779b97f4a7c15; // of the orders, which differ from launch to launch

	uint32_t random(uint32_t below) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		return (uint32_t)((seed >> 32) * below >> 32);
	}
};

static inline Machine &machine() {
	static Machine m;
	return m;
}
static Machine &M = machine();

// resume switches from the running thread to a ready one. If there is none, the
// block is done or stuck.
inline void resume() {
	void **from = &M.stack[M.thread];
	if (M.ready_count == 0) {
		afl_switch_stack(from, M.launcher);
		return;
	}
	M.thread = M.ready[--M.ready_count];
	afl_switch_stack(from, M.stack[M.thread]);
}

inline void fiber() {
	M.kernel(M.arguments);
	M.finished[M.thread] = true;
	M.left--;
	resume();
	abort(); // a finished thread is never resumed
}

// release makes all other threads of [first, first+count) ready. The caller, the
// last to arrive, keeps running.
inline void release(uint32_t first, uint32_t count) {
	uint32_t self = M.thread;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t t = count == AFL_THREADS ? M.order[i] : first + (i ^ (M.block & (warp - 1)));
		M.at[t].word = nullptr;
		if (t != self)
			M.ready[M.ready_count++] = t;
	}
}

// met reports whether all threads of [first, first+count) are waiting at one place.
inline bool met(uint32_t first, uint32_t count) {
	const Place &p = M.at[first];
	for (uint32_t t = first; t < first + count; t++)
		if (M.at[t].line != p.line || M.at[t].file != p.file || M.at[t].word != p.word)
			return false;
	return true;
}

// stop ends the launch.
[[noreturn]] inline void stop() {
	M.ready_count = 0;
	resume();
	abort();
}

inline void wait(const char *word, const char *file, int line, int &waiting, uint32_t first, uint32_t count) {
	M.at[M.thread] = Place{word, file, line};
	if (++waiting < (int)count) {
		resume();
		return;
	}
	if (!met(first, count))
		stop();
	waiting = 0;
	release(first, count);
}

// stuck describes why the unfinished threads cannot continue.
inline void stuck() {
	uint32_t waits = 0;
	while (waits < AFL_THREADS && !M.at[waits].word)
		waits++;
	const Place &p = M.at[waits % AFL_THREADS];
	if (waits == AFL_THREADS) {
		snprintf(M.failure, sizeof M.failure, "block %u: no thread waits and none may run", M.block);
		return;
	}
	bool shuffle = !strcmp(p.word, "shuffle");
	uint32_t first = shuffle ? waits / warp * warp : 0, last = shuffle ? first + warp : (uint32_t)AFL_THREADS;
	for (uint32_t t = first; t < last; t++) {
		const Place &q = M.at[t];
		if (q.word == p.word && q.file == p.file && q.line == p.line)
			continue;
		char other[200];
		if (M.finished[t])
			snprintf(other, sizeof other, "has returned");
		else
			snprintf(other, sizeof other, "waits in the %s at %s:%d", q.word ? q.word : "?", q.file ? q.file : "?", q.line);
		snprintf(M.failure, sizeof M.failure, "block %u: thread %u waits in the %s at %s:%d, thread %u %s",
			M.block, waits, p.word, p.file, p.line, t, other);
		return;
	}
	snprintf(M.failure, sizeof M.failure, "block %u: threads are stuck in the %s at %s:%d", M.block, p.word, p.file, p.line);
}

// run_block runs one block and reports whether all its threads returned.
inline bool run_block(uint32_t block) {
	// Shared memory may start with any bit pattern.
	static const unsigned char poison[] = {0xff, 0x00, 0x7f, 0xcd};
	if (__start_afl_shared)
		memset(__start_afl_shared, poison[M.random(sizeof poison)], __stop_afl_shared - __start_afl_shared);
	M.block = block;
	memset(M.at, 0, sizeof M.at);
	memset(M.finished, 0, sizeof M.finished);
	memset(M.shuffles, 0, sizeof M.shuffles);
	memset(M.in_shuffle, 0, sizeof M.in_shuffle);
	M.in_barrier = 0;
	M.left = M.ready_count = AFL_THREADS;
	// Warps in any order, lanes forwards, backwards or permuted otherwise.
	uint32_t turn = M.random(AFL_THREADS), odd = M.random(4);
	for (uint32_t i = 0; i < AFL_THREADS; i++) {
		M.order[i] = M.ready[i] = (i ^ turn) * (2 * odd + 1) % AFL_THREADS;
		M.stack[i] = new_stack(M.stacks + (size_t)(i + 1) * stack_bytes - 64 * (i % 16), fiber);
	}
	M.thread = M.ready[--M.ready_count];
	afl_switch_stack(&M.launcher, M.stack[M.thread]);
	return M.left == 0;
}

inline void mark_stacks(bool check) {
	for (uint32_t i = 0; i < AFL_THREADS; i++) {
		uint64_t *bottom = (uint64_t *)(M.stacks + (size_t)i * stack_bytes);
		if (check && *bottom != 0x5afe57ac) {
			fprintf(stderr, "emulator: the stack of thread %u overflowed\n", i);
			abort();
		}
		*bottom = 0x5afe57ac;
	}
}

// launch runs a kernel and returns null, or an error message that is valid until the
// next failure.
inline const char *launch(const char *name, uint32_t blocks, const void *a) {
	auto found = kernels().find(name);
	if (found == kernels().end())
		return "no such kernel";
	std::lock_guard<std::mutex> one(M.lock);
	if (!M.stacks) {
		M.stacks = (unsigned char *)aligned_alloc(4096, (size_t)AFL_THREADS * stack_bytes);
		if (!M.stacks)
			return "no memory for the stacks";
		mark_stacks(false);
	}
	M.kernel = found->second.function;
	M.arguments = a;
	M.blocks = blocks;
	// A step coprime to the number of blocks reaches every block.
	uint32_t step = blocks > 1 ? 1 + M.random(blocks - 1) : 1, at = blocks ? M.random(blocks) : 0;
	auto divisor = [](uint32_t x, uint32_t y) {
		while (y) {
			uint32_t r = x % y;
			x = y;
			y = r;
		}
		return x;
	};
	while (divisor(step, blocks) != 1)
		step++;
	for (uint32_t i = 0; i < blocks; i++, at = (uint32_t)(((uint64_t)at + step) % blocks)) {
		if (run_block(at))
			continue;
		stuck();
		return M.failure;
	}
	mark_stacks(true);
	return nullptr;
}

template <typename T> inline T exchange(T x, int mask, const char *file, int line) {
	uint32_t t = M.thread, first = t / warp * warp;
	uint64_t *slots = M.exchanged[M.shuffles[t]++ & 1];
	memcpy(&slots[t], &x, sizeof x);
	wait("shuffle", file, line, M.in_shuffle[t / warp], first, warp);
	memcpy(&x, &slots[first | ((t ^ (uint32_t)mask) & (warp - 1))], sizeof x);
	return x;
}

// The special function unit is not correctly rounded: inexact results are moved by
// up to one unit in the last place, or by up to `least` if that is more, depending on
// the argument's bits.
inline float rough(float argument, float y, float least) {
	uint32_t bits;
	memcpy(&bits, &argument, sizeof bits);
	int move = (int)(bits * 0x9e3779b1u >> 16) % 3 - 1;
	int exponent;
	if (y == 0 || !isfinite(y) || fabsf(frexpf(y, &exponent)) == 0.5f)
		return y;
	float unit = ldexpf(1, exponent - 24);
	return y + (float)move * (unit > least ? unit : least);
}

inline float flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

} // namespace emulator

namespace afl {

AFL_DEVICE uint32_t thread_index() { return emulator::M.thread; }
AFL_DEVICE uint32_t block_index() { return emulator::M.block; }
AFL_DEVICE uint32_t block_count() { return emulator::M.blocks; }

AFL_DEVICE void barrier(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
	emulator::wait("barrier", file, line, emulator::M.in_barrier, 0, AFL_THREADS);
}

AFL_DEVICE int32_t shuffle_xor(int32_t x, int mask, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
	return emulator::exchange(x, mask, file, line);
}
AFL_DEVICE float shuffle_xor(float x, int mask, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
	return emulator::exchange(x, mask, file, line);
}
AFL_DEVICE double shuffle_xor(double x, int mask, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
	return emulator::exchange(x, mask, file, line);
}

AFL_DEVICE void fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
AFL_DEVICE uint32_t atomic_increment(uint32_t *p, uint32_t last) {
	uint32_t old = *p;
	*p = old >= last ? 0 : old + 1;
	return old;
}
AFL_DEVICE void atomic_maximum(uint64_t *p, uint64_t x) {
	if (x > *p)
		*p = x;
}
AFL_DEVICE double load_fresh(const double *p) { return *(const volatile double *)p; }
AFL_DEVICE uint64_t load_fresh(const uint64_t *p) { return *(const volatile uint64_t *)p; }
AFL_DEVICE double load_constant(const double *p) { return *p; }

AFL_DEVICE float exp2_fast(float x) { return emulator::flush(emulator::rough(x, exp2f(x), 0)); }
AFL_DEVICE float reciprocal_fast(float x) { return emulator::flush(emulator::rough(x, 1 / emulator::flush(x), 0)); }
AFL_DEVICE float log2_fast(float x) {
	x = emulator::flush(x);
	return emulator::rough(x, log2f(x), 0x1p-23f);
}

} // namespace afl

#endif
