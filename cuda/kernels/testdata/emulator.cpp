// Tests of the emulated primitives (shuffles, barriers, sums, the last block), and that
// the emulator detects the errors that it is meant to detect.
#include "../device.h"

#include "../block.h"
#include "check.h"

#include <set>
#include <string>
#include <vector>

namespace afl {

AFL_KERNEL(reversed, 4) {
	// A lane's value moves to the lane of the complementary index, one bit at a time.
	int32_t x = (int32_t)thread_index();
	for (int mask = 1; mask < 32; mask *= 2)
		x = shuffle_xor(x, mask);
	a.value[thread_index()] = x;
}

AFL_KERNEL(sums, 4) {
	double x = block_sum(block_index() + 1.0);
	double y = block_sum(1.0);
	if (thread_index() == 0)
		a.partials[block_index()] = x / y;
	if (last_block(a)) {
		sum_partials(a, 1, 1, 1);
		if (thread_index() == 0)
			*a.value = total_of(a, 1, 1, 0, 0);
	}
}

AFL_KERNEL(not_all_reach_a_barrier, 4) {
	if (thread_index() < 100)
		barrier();
}

AFL_KERNEL(two_barriers, 4) {
	if (thread_index() % 2)
		barrier();
	else
		barrier(__builtin_FILE(), -1);
}

AFL_KERNEL(not_all_reach_a_shuffle, 4) {
	if (thread_index() % 32 < 16)
		a.value[0] = shuffle_xor(1.0, 1);
}

AFL_KERNEL(a_barrier_for_a_shuffle, 4) {
	if (thread_index() == 77)
		barrier();
	else
		shuffle_xor(1.0f, 1);
	barrier();
}

AFL_KERNEL(race, 4) {
	AFL_SHARED double x;
	x = thread_index();
	barrier();
	if (thread_index() == 0)
		*a.value = x;
}

AFL_KERNEL(read_before_written, 4) {
	AFL_SHARED uint32_t x;
	if (thread_index() == 0) {
		*a.value = x;
		x = 1;
	}
}

} // namespace afl

int main() {
	std::vector<double> value(AFL_THREADS), partials(1000);
	uint32_t counter = 0;
	AflArguments a{};
	a.value = value.data();
	a.partials = partials.data();
	a.counter = &counter;

	check(!emulator::launch("reversed", 1, &a), "reversed failed");
	for (int i = 0; i < AFL_THREADS; i++)
		check(value[i] == (i / 32 * 32 + 31 - i % 32), "lane %d got %g", i, value[i]);

	for (uint32_t blocks : {1u, 2u, 7u, 256u, 1000u}) {
		check(!emulator::launch("sums", blocks, &a), "sums failed");
		check(value[0] == blocks * (blocks + 1) / 2.0, "sum over %u blocks is %g", blocks, value[0]);
		check(counter == 0, "the counter is left at %u", counter);
	}

	for (const char *kernel : {"not_all_reach_a_barrier", "two_barriers", "not_all_reach_a_shuffle", "a_barrier_for_a_shuffle"}) {
		const char *message = emulator::launch(kernel, 3, &a);
		check(message && strstr(message, "thread"), "%s: %s", kernel, message ? message : "no failure");
		check(!emulator::launch("sums", 3, &a), "sums failed after a failure");
	}
	check(emulator::launch("no_such_kernel", 1, &a), "a kernel that is not there ran");

	std::set<double> last, found;
	for (int i = 0; i < 50; i++) {
		emulator::launch("race", 1, &a);
		last.insert(value[0]);
		emulator::launch("read_before_written", 1, &a);
		found.insert(value[0]);
	}
	check(last.size() > 10, "the threads' order makes only %zu results of a race", last.size());
	check(found.size() > 2, "shared memory begins with only %zu values", found.size());
	return failures != 0;
}
