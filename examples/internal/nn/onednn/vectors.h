// vectors.h defines vectors of LANES floats. It is included once per instruction set,
// each time with a different SUFFIX.

typedef float FN(vec) __attribute__((vector_size(4 * LANES)));
typedef float FN(memory) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#ifndef AT
// AT is the vector at p, which need not be aligned, as an lvalue; OF is its value.
#define AT(p) (*(FN(memory) *)(p))
#define OF(p) ((FN(vec))*(const FN(memory) *)(p))
#endif
