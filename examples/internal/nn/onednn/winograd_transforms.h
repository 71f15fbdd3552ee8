// winograd_transforms.h contains the transforms of winograd.c. It is included after
// winograd_products.h, once per instruction set and size, each time with a different NAME.
// Per axis there are SIDE points, TILE voxels of the result and TAPS of the kernel's WHOLE
// taps, with SIDE = TILE+TAPS−1. See winograd_sizes.h.
//
// On one axis, voxels d of the input, taps g and voxels y of the result are related by
//
//	y = Aᵀ((G·g) ⊙ (Bᵀ·d))
//
// This is the transpose of the Toom-Cook algorithm, which multiplies polynomials by their
// values at SIDE−1 points p and at infinity. With f_i = Π_{j≠i} (p_i − p_j),
//
//	(Bᵀ·d)_i = Σ_k d_k·[x^k] Π_{j≠i} (x − p_j)    last: Σ_k d_k·[x^k] Π_j (x − p_j)
//	(G·g)_i  = Σ_k p_i^k·g_k / f_i                last: the last tap
//	(Aᵀ·m)_k = Σ_i p_i^k·m_i                      last: plus the last m
//
// The gradient of g is Gᵀ((A·y') ⊙ (Bᵀ·d)), where y' is the gradient of y. In three
// dimensions the axes are transformed one after the other. The points, chosen for small
// errors, are 0 if SIDE is even, ±P, if SIDE is at least 5 ±Q, and if SIDE is 7 ±R.

#define VEC FN(vec)
#define LOCAL(name) FN(CAT(name, NAME))

#if SIDE == 4
#define F0 (-P * P)
#define FP (2 * P * P)
#elif SIDE == 5
#define FP (2 * P * (P * P - Q * Q))
#define FQ (2 * Q * (Q * Q - P * P))
#elif SIDE == 7
#define FP (2 * P * (P * P - Q * Q) * (P * P - R * R))
#define FQ (2 * Q * (Q * Q - P * P) * (Q * Q - R * R))
#define FR (2 * R * (R * R - P * P) * (R * R - Q * Q))
#else
#define F0 (P * P * Q * Q)
#define FP (2 * P * P * (P * P - Q * Q))
#define FQ (2 * Q * Q * (Q * Q - P * P))
#endif

// The functions below transform one axis each, whose entries are s vectors apart in v and
// t vectors apart in to.

// points_of is Bᵀ.
INLINE void LOCAL(points_of)(const VEC *v, int s, VEC *to, int t) {
#if SIDE == 4
	const VEC d0 = v[0], d1 = v[s], d2 = v[2 * s], d3 = v[3 * s], odd = d1 * P;
	to[0] = d2 - d0 * (P * P);
	to[t] = d2 + odd;
	to[2 * t] = d2 - odd;
	to[3 * t] = d3 - d1 * (P * P);
#elif SIDE == 5
	const VEC d0 = v[0], d1 = v[s], d2 = v[2 * s], d3 = v[3 * s], d4 = v[4 * s];
	const VEC p = d3 - d1 * (Q * Q), p1 = (d2 - d0 * (Q * Q)) * P, q = d3 - d1 * (P * P), q1 = (d2 - d0 * (P * P)) * Q;
	to[0] = p + p1;
	to[t] = p - p1;
	to[2 * t] = q + q1;
	to[3 * t] = q - q1;
	to[4 * t] = d4 - d2 * (P * P + Q * Q) + d0 * (P * P * Q * Q);
#elif SIDE == 7
	const VEC d0 = v[0], d1 = v[s], d2 = v[2 * s], d3 = v[3 * s], d4 = v[4 * s], d5 = v[5 * s], d6 = v[6 * s];
	const VEC p = d5 - d3 * (Q * Q + R * R) + d1 * (Q * Q * R * R), p1 = (d4 - d2 * (Q * Q + R * R) + d0 * (Q * Q * R * R)) * P;
	const VEC q = d5 - d3 * (P * P + R * R) + d1 * (P * P * R * R), q1 = (d4 - d2 * (P * P + R * R) + d0 * (P * P * R * R)) * Q;
	const VEC r = d5 - d3 * (P * P + Q * Q) + d1 * (P * P * Q * Q), r1 = (d4 - d2 * (P * P + Q * Q) + d0 * (P * P * Q * Q)) * R;
	to[0] = p + p1;
	to[t] = p - p1;
	to[2 * t] = q + q1;
	to[3 * t] = q - q1;
	to[4 * t] = r + r1;
	to[5 * t] = r - r1;
	to[6 * t] = d6 - d4 * (P * P + Q * Q + R * R) + d2 * (P * P * Q * Q + P * P * R * R + Q * Q * R * R) - d0 * (P * P * Q * Q * R * R);
#else
	const VEC d0 = v[0], d1 = v[s], d2 = v[2 * s], d3 = v[3 * s], d4 = v[4 * s], d5 = v[5 * s];
	const VEC p = d4 - d2 * (Q * Q), p1 = (d3 - d1 * (Q * Q)) * P, q = d4 - d2 * (P * P), q1 = (d3 - d1 * (P * P)) * Q;
	to[0] = d4 - d2 * (P * P + Q * Q) + d0 * (P * P * Q * Q);
	to[t] = p + p1;
	to[2 * t] = p - p1;
	to[3 * t] = q + q1;
	to[4 * t] = q - q1;
	to[5 * t] = d5 - d3 * (P * P + Q * Q) + d1 * (P * P * Q * Q);
#endif
}

// CUBE transforms three axes from FROM to TO entries each. The expression load is entry i
// of the input, and the statement store stores line[k], entry i of the result.
#define CUBE(FROM, TO, transform, load, store) do { \
		VEC v_[(TO) * (FROM) * (FROM)], w_[(TO) * (FROM)]; \
		for (int i_ = 0; i_ < (FROM) * (FROM); i_++) { \
			VEC line[FROM]; \
			UNROLL for (int k = 0; k < (FROM); k++) { const int i = k * (FROM) * (FROM) + i_; line[k] = load; } \
			transform(line, 1, v_ + i_, (FROM) * (FROM)); \
		} \
		for (int x_ = 0; x_ < (TO); x_++) { \
			UNROLL for (int z_ = 0; z_ < (FROM); z_++) \
				transform(v_ + x_ * (FROM) * (FROM) + z_, FROM, w_ + z_, FROM); \
			for (int y_ = 0; y_ < (TO); y_++) { \
				VEC line[TO]; \
				transform(w_ + y_ * (FROM), 1, line, 1); \
				UNROLL for (int k = 0; k < (TO); k++) { const int i = (x_ * (TO) + y_) * (TO) + k; store; } \
			} \
		} \
	} while (0)

// tile_in stores the points of a tile of the input, step floats apart. Every voxel is a
// row of channels.
static void LOCAL(tile_in)(int64_t channels, const float *const *voxels, float *to, int64_t step) {
	for (int64_t c = 0; c < channels; c += LANES)
		CUBE(SIDE, SIDE, LOCAL(points_of), OF(voxels[i] + c), AT(to + i * step + c) = line[k]);
}

// Convolutions are faster with all taps at once than in groups.
#if TAPS == WHOLE

// voxels_of is Aᵀ.
INLINE void LOCAL(voxels_of)(const VEC *v, int s, VEC *to, int t) {
	const VEC last = v[(SIDE - 1) * s];
#if SIDE == 7
	const VEC p = v[0] + v[s], p1 = v[0] - v[s], q = v[2 * s] + v[3 * s], q1 = v[2 * s] - v[3 * s], r = v[4 * s] + v[5 * s], r1 = v[4 * s] - v[5 * s];
	to[0] = p + q + r;
	to[t] = p1 * P + q1 * Q + r1 * R;
	to[2 * t] = p * (P * P) + q * (Q * Q) + r * (R * R) + last;
#else
	const VEC p = v[s] + v[2 * s], p1 = v[s] - v[2 * s];
#if SIDE == 4
	to[0] = v[0] + p;
	to[t] = p1 * P + last;
#else
	const VEC q = v[3 * s] + v[4 * s], q1 = v[3 * s] - v[4 * s];
	to[0] = v[0] + p + q;
#if TILE == 2
	to[t] = p1 * P + q1 * Q + last;
#else
	to[t] = p1 * P + q1 * Q;
	to[2 * t] = p * (P * P) + q * (Q * Q);
	to[3 * t] = p1 * (P * P * P) + q1 * (Q * Q * Q) + last;
#endif
#endif
#endif
}

// points_of_taps is G.
INLINE void LOCAL(points_of_taps)(const VEC *v, int s, VEC *to, int t) {
#if SIDE == 7
	const VEC p = (v[0] + v[2 * s] * (P * P) + v[4 * s] * (P * P * P * P)) * (1 / FP), p1 = (v[s] + v[3 * s] * (P * P)) * (P / FP);
	const VEC q = (v[0] + v[2 * s] * (Q * Q) + v[4 * s] * (Q * Q * Q * Q)) * (1 / FQ), q1 = (v[s] + v[3 * s] * (Q * Q)) * (Q / FQ);
	const VEC r = (v[0] + v[2 * s] * (R * R) + v[4 * s] * (R * R * R * R)) * (1 / FR), r1 = (v[s] + v[3 * s] * (R * R)) * (R / FR);
	to[0] = p + p1;
	to[t] = p1 - p;
	to[2 * t] = q + q1;
	to[3 * t] = q1 - q;
	to[4 * t] = r + r1;
	to[5 * t] = r1 - r;
#else
	to[0] = v[0] * (1 / F0);
#if TAPS == 3
	const VEC p = (v[0] + v[2 * s] * (P * P)) * (1 / FP), p1 = v[s] * (P / FP);
#else
	const VEC p = (v[0] + v[2 * s] * (P * P) + v[4 * s] * (P * P * P * P)) * (1 / FP), p1 = (v[s] + v[3 * s] * (P * P)) * (P / FP);
#endif
	to[t] = p + p1;
	to[2 * t] = p - p1;
#if SIDE == 6
#if TAPS == 3
	const VEC q = (v[0] + v[2 * s] * (Q * Q)) * (1 / FQ), q1 = v[s] * (Q / FQ);
#else
	const VEC q = (v[0] + v[2 * s] * (Q * Q) + v[4 * s] * (Q * Q * Q * Q)) * (1 / FQ), q1 = (v[s] + v[3 * s] * (Q * Q)) * (Q / FQ);
#endif
	to[3 * t] = q + q1;
	to[4 * t] = q - q1;
#endif
#endif
	to[(SIDE - 1) * t] = v[(TAPS - 1) * s];
}

// tile_out stores the voxels of a tile of the result that are not NULL, plus bias if that
// is not NULL.
static void LOCAL(tile_out)(int64_t channels, const float *from, int64_t step, const float *bias, float *const *voxels) {
	for (int64_t c = 0; c < channels; c += LANES) {
		const VEC add = bias ? OF(bias + c) : (VEC){0};
		CUBE(SIDE, TILE, LOCAL(voxels_of), OF(from + i * step + c), if (voxels[i]) AT(voxels[i] + c) = line[k] + add);
	}
}

// kernel_in stores the points of LANES kernels, whose taps are tap_step floats apart.
static void LOCAL(kernel_in)(const float *taps, int64_t tap_step, float *to, int64_t step) {
	CUBE(TAPS, SIDE, LOCAL(points_of_taps), OF(taps + i * tap_step), AT(to + i * step) = line[k]);
}

#define FORWARD_LOOPS LOCAL(tile_out), LOCAL(kernel_in)
#else
#define FORWARD_LOOPS NULL, NULL
#endif

// With five taps at once, the gradient's error would be several times that of direct
// convolution, for any choice of points.
#if TAPS == 3

// points_of_gradient is A.
INLINE void LOCAL(points_of_gradient)(const VEC *v, int s, VEC *to, int t) {
#if SIDE == 4
	const VEC y0 = v[0], last = v[s], odd = last * P;
	to[0] = y0;
	to[t] = y0 + odd;
	to[2 * t] = y0 - odd;
	to[3 * t] = last;
#elif SIDE == 5
	const VEC y0 = v[0], y1 = v[s], last = v[2 * s], p = y0 + last * (P * P), p1 = y1 * P, q = y0 + last * (Q * Q), q1 = y1 * Q;
	to[0] = p + p1;
	to[t] = p - p1;
	to[2 * t] = q + q1;
	to[3 * t] = q - q1;
	to[4 * t] = last;
#else
	const VEC y0 = v[0], y1 = v[s], y2 = v[2 * s], last = v[3 * s];
	const VEC p = y0 + y2 * (P * P), p1 = y1 * P + last * (P * P * P), q = y0 + y2 * (Q * Q), q1 = y1 * Q + last * (Q * Q * Q);
	to[0] = y0;
	to[t] = p + p1;
	to[2 * t] = p - p1;
	to[3 * t] = q + q1;
	to[4 * t] = q - q1;
	to[5 * t] = last;
#endif
}

// taps_of is Gᵀ.
INLINE void LOCAL(taps_of)(const VEC *v, int s, VEC *to, int t) {
	const VEC last = v[(SIDE - 1) * s];
#if SIDE == 5
	const VEC p = (v[0] - v[s]) * (1 / FP), p1 = (v[0] + v[s]) * (P / FP), q = (v[2 * s] - v[3 * s]) * (1 / FQ), q1 = (v[2 * s] + v[3 * s]) * (Q / FQ);
	to[0] = p + q;
	to[t] = p1 + q1;
	to[2 * t] = p * (P * P) + q * (Q * Q) + last;
#else
	const VEC first = v[0] * (1 / F0);
	const VEC p = (v[s] + v[2 * s]) * (1 / FP), p1 = (v[s] - v[2 * s]) * (P / FP);
#if SIDE == 4
	to[0] = first + p;
	to[t] = p1;
	to[2 * t] = p * (P * P) + last;
#else
	const VEC q = (v[3 * s] + v[4 * s]) * (1 / FQ), q1 = (v[3 * s] - v[4 * s]) * (Q / FQ);
	to[0] = first + p + q;
	to[t] = p1 + q1;
	to[2 * t] = p * (P * P) + q * (Q * Q) + last;
#endif
#endif
}

// tile_gradient stores the points of a tile of the result's gradient.
static void LOCAL(tile_gradient)(int64_t channels, const float *const *voxels, float *to, int64_t step) {
	for (int64_t c = 0; c < channels; c += LANES)
		CUBE(TILE, SIDE, LOCAL(points_of_gradient), OF(voxels[i] + c), AT(to + i * step + c) = line[k]);
}

// kernel_gradient stores those taps of LANES kernels that are not NULL.
static void LOCAL(kernel_gradient)(const float *from, int64_t step, float *const *taps) {
	CUBE(SIDE, TAPS, LOCAL(taps_of), OF(from + i * step), if (taps[i]) AT(taps[i]) = line[k]);
}

#define GRADIENT_LOOPS LOCAL(tile_gradient), LOCAL(kernel_gradient)
#else
#define GRADIENT_LOOPS NULL, NULL
#endif

static const transforms LOCAL(transforms) = {
	SIDE, TILE, WHOLE, (WHOLE + TAPS - 1) / TAPS, {COST}, LOCAL(tile_in), FORWARD_LOOPS, GRADIENT_LOOPS,
};

#undef VEC
#undef LOCAL
#undef F0
#undef FP
#undef FQ
#undef FR
#undef CUBE
#undef FORWARD_LOOPS
#undef GRADIENT_LOOPS
#undef NAME
#undef SIDE
#undef TILE
#undef TAPS
#undef WHOLE
#undef P
#undef Q
#undef R
#undef COST
