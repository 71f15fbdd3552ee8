// winograd_loops.h holds the inner loops of winograd.c. It is included once per
// instruction set, each time with another SUFFIX, vectors of LANES floats and
// ROWS rows of sums in registers, and leaves a table of functions.
//
// On one axis four voxels d, two of the result y and three taps g are related by
//
//	y = Aᵀ((G·g) ⊙ (Bᵀ·d))
//	Bᵀ: d0−d2, d1+d2, d2−d1, d1−d3
//	G:  g0, (g0+g1+g2)/2, (g0−g1+g2)/2, g2
//	Aᵀ: m0+m1+m2, m1−m2−m3
//
// and in space the three axes are transformed one after the other. The gradient
// of g is Gᵀ((A·y') ⊙ (Bᵀ·d)), y' being that of y. Points of the transformed
// tiles are numbered as voxels are, the last axis fastest.

typedef float FN(vec) __attribute__((vector_size(4 * LANES)));
typedef float FN(memory) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define VEC FN(vec)
#define AT(p) (*(FN(memory) *)(p))
#define OF(p) ((VEC)*(const FN(memory) *)(p))

#define FOUR _Pragma("GCC unroll 4") for (int
#define BT(a, b, c, d, s) do { \
		const VEC b0_ = (s)[a], b1_ = (s)[b], b2_ = (s)[c], b3_ = (s)[d]; \
		(s)[a] = b0_ - b2_; (s)[b] = b1_ + b2_; (s)[c] = b2_ - b1_; (s)[d] = b1_ - b3_; \
	} while (0)

// planes_in transforms the voxels of a tile, whose rows of channels voxels[64]
// point to, and stores the sixteen points whose first index is px, step floats
// from each other.
INLINE void FN(planes_in)(int px, int64_t channels, const float *const *voxels, float *to, int64_t step) {
	static const int first[4] = {0, 1, 2, 1}, second[4] = {2, 2, 1, 3};
	const float *const *a = voxels + 16 * first[px], *const *b = voxels + 16 * second[px];
	for (int64_t c = 0; c < channels; c += LANES) {
		VEC v[16];
		_Pragma("GCC unroll 16") for (int j = 0; j < 16; j++)
			v[j] = px == 1 ? OF(a[j] + c) + OF(b[j] + c) : OF(a[j] + c) - OF(b[j] + c);
		FOUR i = 0; i < 4; i++) BT(i, 4 + i, 8 + i, 12 + i, v);
		FOUR i = 0; i < 4; i++) BT(4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3, v);
		_Pragma("GCC unroll 16") for (int j = 0; j < 16; j++) AT(to + j * step + c) = v[j];
	}
}

static void FN(tile_in)(int px, int64_t channels, const float *const *voxels, float *to, int64_t step) {
	switch (px) {
	case 0: FN(planes_in)(0, channels, voxels, to, step); break;
	case 1: FN(planes_in)(1, channels, voxels, to, step); break;
	case 2: FN(planes_in)(2, channels, voxels, to, step); break;
	default: FN(planes_in)(3, channels, voxels, to, step);
	}
}

// tile_out stores the 2×2×2 voxels of a tile from its 64 points, where voxels is
// not NULL.
static void FN(tile_out)(int64_t channels, const float *from, int64_t step, const float *bias, float *const *voxels) {
	for (int64_t c = 0; c < channels; c += LANES) {
		const VEC add = bias ? OF(bias + c) : (VEC){0};
		_Pragma("GCC unroll 2") for (int x = 0; x < 2; x++) {
			VEC v[16], w[8];
			_Pragma("GCC unroll 16") for (int j = 0; j < 16; j++) {
				const float *p = from + j * step + c;
				const VEC m1 = OF(p + 16 * step), m2 = OF(p + 32 * step);
				v[j] = x ? m1 - m2 - OF(p + 48 * step) : OF(p) + m1 + m2;
			}
			FOUR j = 0; j < 4; j++) {
				w[j] = v[j] + v[4 + j] + v[8 + j];
				w[4 + j] = v[4 + j] - v[8 + j] - v[12 + j];
			}
			_Pragma("GCC unroll 2") for (int y = 0; y < 2; y++) {
				const VEC *r = w + 4 * y;
				float *const *to = voxels + 4 * x + 2 * y;
				if (to[0]) AT(to[0] + c) = r[0] + r[1] + r[2] + add;
				if (to[1]) AT(to[1] + c) = r[1] - r[2] - r[3] + add;
			}
		}
	}
}

#define A_T(to, s, y0, y1) do { const VEC r0_ = (y0), r1_ = (y1); \
		(to)[0] = r0_; (to)[s] = r0_ + r1_; (to)[2 * (s)] = r0_ - r1_; (to)[3 * (s)] = -r1_; } while (0)

// tile_gradient stores the points A·y', whose first index is px, of the gradient
// of a tile's 2×2×2 voxels.
static void FN(tile_gradient)(int px, int64_t channels, const float *const *voxels, float *to, int64_t step) {
	for (int64_t c = 0; c < channels; c += LANES) {
		VEC u[4], w[8], v[16];
		_Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
			const VEC a = OF(voxels[j] + c), b = OF(voxels[4 + j] + c);
			u[j] = px == 0 ? a : px == 1 ? a + b : px == 2 ? a - b : -b;
		}
		A_T(w, 2, u[0], u[2]);
		A_T(w + 1, 2, u[1], u[3]);
		FOUR i = 0; i < 4; i++) A_T(v + 4 * i, 1, w[2 * i], w[2 * i + 1]);
		_Pragma("GCC unroll 16") for (int j = 0; j < 16; j++) AT(to + j * step + c) = v[j];
	}
}

#define G_T(to, s, g0, g1, g2) do { const VEC g0_ = (g0), g1_ = (g1), g2_ = (g2), h_ = (g0_ + g2_) * 0.5f, m_ = g1_ * 0.5f; \
		(to)[0] = g0_; (to)[s] = h_ + m_; (to)[2 * (s)] = h_ - m_; (to)[3 * (s)] = g2_; } while (0)

// kernel_in transforms LANES kernels: 27 taps, step floats from each other, into
// 64 points.
static void FN(kernel_in)(const float *taps, int64_t tap_step, float *to, int64_t step) {
	for (int px = 0; px < 4; px++) {
		VEC g[9], w[12], v[16];
		_Pragma("GCC unroll 9") for (int j = 0; j < 9; j++) {
			const VEC g0 = OF(taps + j * tap_step), g1 = OF(taps + (9 + j) * tap_step), g2 = OF(taps + (18 + j) * tap_step);
			const VEC h = (g0 + g2) * 0.5f, m = g1 * 0.5f;
			g[j] = px == 0 ? g0 : px == 1 ? h + m : px == 2 ? h - m : g2;
		}
		_Pragma("GCC unroll 3") for (int j = 0; j < 3; j++) G_T(w + j, 3, g[j], g[3 + j], g[6 + j]);
		FOUR i = 0; i < 4; i++) G_T(v + 4 * i, 1, w[3 * i], w[3 * i + 1], w[3 * i + 2]);
		_Pragma("GCC unroll 16") for (int j = 0; j < 16; j++) AT(to + (16 * px + j) * step) = v[j];
	}
}

// GT is Gᵀ on one axis.
#define GT(to, s, u0, u1, u2, u3) do { const VEC p_ = ((u1) + (u2)) * 0.5f; \
		(to)[0] = (u0) + p_; (to)[s] = ((u1) - (u2)) * 0.5f; (to)[2 * (s)] = p_ + (u3); } while (0)

// kernel_gradient stores the 27 taps of LANES kernels from the 64 points.
static void FN(kernel_gradient)(const float *from, int64_t step, float *taps, int64_t tap_step) {
	for (int x = 0; x < 3; x++) {
		VEC v[16], w[12], r[3];
		_Pragma("GCC unroll 16") for (int j = 0; j < 16; j++) {
			const float *p = from + j * step;
			const VEC u1 = OF(p + 16 * step), u2 = OF(p + 32 * step);
			v[j] = x == 0 ? OF(p) + (u1 + u2) * 0.5f : x == 1 ? (u1 - u2) * 0.5f : (u1 + u2) * 0.5f + OF(p + 48 * step);
		}
		FOUR j = 0; j < 4; j++) GT(w + j, 4, v[j], v[4 + j], v[8 + j], v[12 + j]);
		_Pragma("GCC unroll 3") for (int y = 0; y < 3; y++) {
			GT(r, 1, w[4 * y], w[4 * y + 1], w[4 * y + 2], w[4 * y + 3]);
			_Pragma("GCC unroll 3") for (int z = 0; z < 3; z++) AT(taps + (9 * x + 3 * y + z) * tap_step) = r[z];
		}
	}
}

// sums adds to, or stores in, ROWS×(columns·LANES) floats of c the product of a
// and b over n.
INLINE void FN(sums)(int columns, int add, int64_t n, const float *restrict a, int64_t a_row, int64_t a_step,
	const float *restrict b, int64_t b_step, float *restrict c, int64_t c_row) {
	VEC s[ROWS][2];
	_Pragma("GCC unroll 16") for (int r = 0; r < ROWS; r++)
		_Pragma("GCC unroll 2") for (int j = 0; j < columns; j++) s[r][j] = add ? OF(c + r * c_row + j * LANES) : (VEC){0};
	for (int64_t k = 0; k < n; k++) {
		VEC v[2];
		_Pragma("GCC unroll 2") for (int j = 0; j < columns; j++) v[j] = OF(b + k * b_step + j * LANES);
		_Pragma("GCC unroll 16") for (int r = 0; r < ROWS; r++)
			_Pragma("GCC unroll 2") for (int j = 0; j < columns; j++) s[r][j] += a[r * a_row + k * a_step] * v[j];
	}
	_Pragma("GCC unroll 16") for (int r = 0; r < ROWS; r++)
		_Pragma("GCC unroll 2") for (int j = 0; j < columns; j++) AT(c + r * c_row + j * LANES) = s[r][j];
}

// product stores c = a·b: rows×n by n×columns, rows being a multiple of ROWS and
// columns one of LANES.
static void FN(product)(int64_t rows, int64_t columns, int64_t n, const float *a, int64_t a_row,
	const float *b, int64_t b_step, float *c, int64_t c_row) {
	int64_t j = 0;
	for (; j + 2 * LANES <= columns; j += 2 * LANES)
		for (int64_t r = 0; r < rows; r += ROWS)
			FN(sums)(2, 0, n, a + r * a_row, a_row, 1, b + j, b_step, c + r * c_row + j, c_row);
	if (j < columns)
		for (int64_t r = 0; r < rows; r += ROWS)
			FN(sums)(1, 0, n, a + r * a_row, a_row, 1, b + j, b_step, c + r * c_row + j, c_row);
}

// product_add adds aᵀ·b to c: a is n×rows, b is n×columns.
static void FN(product_add)(int64_t rows, int64_t columns, int64_t n, const float *a, int64_t a_step,
	const float *b, int64_t b_step, float *c, int64_t c_row) {
	int64_t j = 0;
	for (; j + 2 * LANES <= columns; j += 2 * LANES)
		for (int64_t r = 0; r < rows; r += ROWS)
			FN(sums)(2, 1, n, a + r, 1, a_step, b + j, b_step, c + r * c_row + j, c_row);
	if (j < columns)
		for (int64_t r = 0; r < rows; r += ROWS)
			FN(sums)(1, 1, n, a + r, 1, a_step, b + j, b_step, c + r * c_row + j, c_row);
}

static const loops FN(loops) = {
	LANES, ROWS, FN(tile_in), FN(tile_out), FN(tile_gradient), FN(kernel_in), FN(kernel_gradient), FN(product), FN(product_add),
};

#undef VEC
#undef AT
#undef OF
#undef FOUR
#undef BT
#undef A_T
#undef G_T
#undef GT
