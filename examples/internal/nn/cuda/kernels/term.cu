// Sums of terms: norms with their activation and with the residual that is added to them.
#include "rows.h"
#include "term.h"

// y = post(p + q). An element of the volumes is loaded and stored once.
AFL_KERNEL_OF(AflSum, afl_nn_sum_terms, 4) {
	const afl::RowRange r = afl::row_range(a.rows);
	const int64_t plane = r.sample * a.rows.channels + r.channel;
	const afl::Term p = afl::term_of(a.p, plane, r.channel), q = afl::term_of(a.q, plane, r.channel);
	const afl::Activation post = {a.post, 0};
	const bool both = a.q.x != nullptr;
	struct Pair {
		float p, q;
	};
	afl::map_rows(
		r,
		[&](int64_t row) {
			const int64_t i = row * a.rows.channels + r.channel;
			return Pair{a.p.x[i], both ? a.q.x[i] : 0};
		},
		[&](int64_t row, const Pair &x) {
			const float sum = both ? p.value(x.p) + q.value(x.q) : p.value(x.p);
			a.rows.y[row * a.rows.channels + r.channel] = post.value(sum);
		});
}

// gx = act'(x)·g.
AFL_KERNEL_OF(AflSum, afl_nn_term_gradient, 4) {
	const afl::RowRange r = afl::row_range(a.rows);
	const afl::Term p = afl::term_of(a.p, r.sample * a.rows.channels + r.channel, r.channel);
	afl::map_gradients(a.rows, r, a.p.x, [&](float x, float g) { return p.act.gradient(afl::normalized(p.norm, x), g); });
}
