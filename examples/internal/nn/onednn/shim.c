//go:build onednn

#include "shim.h"
#include "kernels.h"
#include "planes.h"
#include "winograd.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A memory descriptor is a struct in oneDNN 2 and a handle in oneDNN 3. md is whichever it
// is, and MD(l) is the descriptor of l as an argument of functions that only read it.
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md;
#define MD(l) ((l)->desc)
#else
typedef dnnl_memory_desc_t md;
#define MD(l) (&(l)->desc)
#endif

struct layout {
	md desc;
};

struct conv {
	dnnl_primitive_t primitive;
	int kind, bias;
	layout weights;
	size_t scratch;
	char implementation[64];
	dnnl_memory_t fine, coarse, kernel, vector, scratchpad;
	// If primitive is NULL, filter describes the convolution; winograd.h computes it if tile
	// is set, and planes.h otherwise.
	filter filter;
	int tile, threads;
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static const char *status_text(dnnl_status_t s) {
	switch (s) {
	case dnnl_success: return NULL;
	case dnnl_out_of_memory: return "oneDNN is out of memory";
	case dnnl_invalid_arguments: return "oneDNN rejects the arguments";
	case dnnl_unimplemented: return "oneDNN has no implementation";
	case dnnl_runtime_error: return "oneDNN failed during computation";
	default: return "oneDNN failed";
	}
}

#define TRY(call) do { \
		dnnl_status_t status_ = (call); \
		if (status_ != dnnl_success) { error = status_text(status_); goto done; } \
	} while (0)

const char *runtime_open(void) {
	const char *error = NULL;
	if (engine) return NULL;
	TRY(dnnl_engine_create(&engine, dnnl_cpu, 0));
	TRY(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
done:
	return error;
}

// Memory descriptors.

static dnnl_status_t md_tag(md *out, int n, const int64_t *dims, dnnl_format_tag_t tag) {
	dnnl_dims_t d;
	for (int i = 0; i < n; i++) d[i] = dims[i];
#if DNNL_VERSION_MAJOR >= 3
	return dnnl_memory_desc_create_with_tag(out, n, d, dnnl_f32, tag);
#else
	return dnnl_memory_desc_init_by_tag(out, n, d, dnnl_f32, tag);
#endif
}

static void md_destroy(md *m) {
#if DNNL_VERSION_MAJOR >= 3
	if (*m) dnnl_memory_desc_destroy(*m);
	*m = NULL;
#else
	(void)m;
#endif
}

static dnnl_status_t md_copy(md *out, dnnl_primitive_desc_t pd, dnnl_query_t what) {
#if DNNL_VERSION_MAJOR >= 3
	const_dnnl_memory_desc_t m = dnnl_primitive_desc_query_md(pd, what, 0);
	return m ? dnnl_memory_desc_clone(out, m) : dnnl_runtime_error;
#else
	const dnnl_memory_desc_t *m = dnnl_primitive_desc_query_md(pd, what, 0);
	if (!m) return dnnl_runtime_error;
	*out = *m;
	return dnnl_success;
#endif
}

// Convolutions.

// describe creates the primitive descriptor of one direction. forward is the hint that the
// backward directions need.
static dnnl_status_t describe(dnnl_primitive_desc_t *out, const conv_shape *s, int kind,
	layout *fine, layout *kernel, layout *vector, layout *coarse,
	dnnl_primitive_attr_t attr, dnnl_primitive_desc_t forward) {
	dnnl_dims_t stride, dilation, low, high;
	for (int i = 0; i < 3; i++) {
		stride[i] = s->stride[i];
		dilation[i] = s->dilation[i] - 1; // oneDNN counts the skipped voxels
		low[i] = s->pad[i];
		high[i] = s->pad_high[i];
	}
#if DNNL_VERSION_MAJOR >= 3
	md bias = vector ? vector->desc : NULL;
	switch (kind) {
	case CONV_TO_COARSE:
		return dnnl_convolution_forward_primitive_desc_create(out, engine, dnnl_forward_training, dnnl_convolution_direct,
			fine->desc, kernel->desc, bias, coarse->desc, stride, dilation, low, high, attr);
	case CONV_TO_FINE:
		return dnnl_convolution_backward_data_primitive_desc_create(out, engine, dnnl_convolution_direct,
			fine->desc, kernel->desc, coarse->desc, stride, dilation, low, high, forward, attr);
	default:
		return dnnl_convolution_backward_weights_primitive_desc_create(out, engine, dnnl_convolution_direct,
			fine->desc, kernel->desc, bias, coarse->desc, stride, dilation, low, high, forward, attr);
	}
#else
	md *bias = vector ? &vector->desc : NULL;
	dnnl_convolution_desc_t d;
	dnnl_status_t status;
	switch (kind) {
	case CONV_TO_COARSE:
		status = dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct,
			&fine->desc, &kernel->desc, bias, &coarse->desc, stride, dilation, low, high);
		break;
	case CONV_TO_FINE:
		status = dnnl_dilated_convolution_backward_data_desc_init(&d, dnnl_convolution_direct,
			&fine->desc, &kernel->desc, &coarse->desc, stride, dilation, low, high);
		break;
	default:
		status = dnnl_dilated_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct,
			&fine->desc, &kernel->desc, bias, &coarse->desc, stride, dilation, low, high);
	}
	if (status != dnnl_success) return status;
	return dnnl_primitive_desc_create(out, &d, attr, engine, forward);
#endif
}

static dnnl_status_t memory_for(dnnl_memory_t *out, const layout *l) {
	return dnnl_memory_create(out, MD(l), engine, DNNL_MEMORY_NONE);
}

void conv_free(conv *c) {
	if (!c) return;
	dnnl_memory_t all[] = {c->fine, c->coarse, c->kernel, c->vector, c->scratchpad};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i]) dnnl_memory_destroy(all[i]);
	if (c->primitive) dnnl_primitive_destroy(c->primitive);
	md_destroy(&c->weights.desc);
	free(c);
}

// md_kernel describes a kernel in the order of filter.h, in which either its first axis
// (rows) or its second (cols) is the last in memory.
static dnnl_status_t md_kernel(md *out, const conv_shape *s, int rows_last) {
	const int64_t rows = s->rows, cols = s->cols, kernels = rows * cols;
	dnnl_dims_t dims = {rows, cols, s->kernel[0], s->kernel[1], s->kernel[2]};
	dnnl_dims_t strides = {rows_last ? 1 : cols, rows_last ? rows : 1, kernels * s->kernel[1] * s->kernel[2], kernels * s->kernel[2], kernels};
#if DNNL_VERSION_MAJOR >= 3
	return dnnl_memory_desc_create_with_strides(out, 5, dims, dnnl_f32, strides);
#else
	return dnnl_memory_desc_init_by_strides(out, 5, dims, dnnl_f32, strides);
#endif
}

// filter_open makes c a convolution by winograd.h or planes.h if either supports its shape
// and is faster than oneDNN. opened reports whether it did.
static dnnl_status_t filter_open(conv *c, const conv_shape *s, int *opened) {
	*opened = 0;
	filter f = {s->batch, s->cols, s->rows, .taps = s->kernel[0]};
	for (int i = 0; i < 3; i++) {
		if (s->kernel[i] != f.taps || s->stride[i] != 1 || s->dilation[i] != 1) return dnnl_success;
		f.from[i] = s->fine[i];
		f.to[i] = s->coarse[i];
		f.pad[i] = s->pad[i];
	}
	if (c->kind == CONV_TO_FINE) {
		f.in = s->rows;
		f.out = s->cols;
		for (int i = 0; i < 3; i++) {
			f.from[i] = s->coarse[i];
			f.to[i] = s->fine[i];
			f.pad[i] = f.taps - 1 - s->pad[i];
		}
	}
	const int gradient = c->kind == CONV_WEIGHT;
	c->filter = f;
	c->threads = omp_get_max_threads();
	if ((c->tile = winograd_choose(&f, gradient))) {
		c->scratch = winograd_scratch(&f, c->tile, gradient, c->threads);
		snprintf(c->implementation, sizeof c->implementation, "winograd:tile %d", c->tile);
	} else if (planes_choose(&f)) {
		c->scratch = planes_scratch(&f, gradient, c->threads);
		snprintf(c->implementation, sizeof c->implementation, "planes");
	} else {
		return dnnl_success;
	}
	*opened = 1;
	return md_kernel(&c->weights.desc, s, c->kind != CONV_TO_FINE);
}

static void filter_execute(const conv *c, float *fine, float *weights, float *bias, float *coarse, void *scratch) {
	const filter *f = &c->filter;
	if (c->kind == CONV_WEIGHT) {
		if (c->tile) winograd_gradient(f, c->tile, c->threads, fine, coarse, weights, scratch);
		else planes_gradient(f, c->threads, fine, coarse, weights, scratch);
		if (c->bias) channel_sum(f->batch * f->to[0] * f->to[1] * f->to[2], f->out, coarse, bias);
		return;
	}
	const int flip = c->kind == CONV_TO_FINE;
	const float *x = flip ? coarse : fine, *add = c->bias ? bias : NULL;
	float *y = flip ? fine : coarse;
	if (c->tile) winograd_run(f, c->tile, flip, c->threads, x, weights, add, y, scratch);
	else planes_run(f, flip, c->threads, x, weights, add, y, scratch);
}

const char *conv_open(conv **out, const conv_shape *s, int kind, int bias) {
	const char *error = NULL;
	layout fine = {0}, coarse = {0}, kernel = {0}, vector = {0}, scratchpad = {0};
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t forward = NULL, pd = NULL;
	conv *c = calloc(1, sizeof *c);
	if (!c) return "out of memory";
	c->kind = kind;
	c->bias = bias;
	int opened;
	TRY(filter_open(c, s, &opened));
	if (opened) goto done;
	int64_t fine_dims[] = {s->batch, s->cols, s->fine[0], s->fine[1], s->fine[2]};
	int64_t coarse_dims[] = {s->batch, s->rows, s->coarse[0], s->coarse[1], s->coarse[2]};
	int64_t kernel_dims[] = {s->rows, s->cols, s->kernel[0], s->kernel[1], s->kernel[2]};
	TRY(md_tag(&fine.desc, 5, fine_dims, dnnl_ndhwc));
	TRY(md_tag(&coarse.desc, 5, coarse_dims, dnnl_ndhwc));
	TRY(md_tag(&kernel.desc, 5, kernel_dims, dnnl_format_tag_any));
	if (bias) TRY(md_tag(&vector.desc, 1, &s->rows, dnnl_a));
	TRY(dnnl_primitive_attr_create(&attr));
	TRY(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
	layout *bias_layout = bias ? &vector : NULL;
	if (kind != CONV_TO_COARSE)
		TRY(describe(&forward, s, CONV_TO_COARSE, &fine, &kernel, bias_layout, &coarse, attr, NULL));
	TRY(describe(&pd, s, kind, &fine, &kernel, bias_layout, &coarse, attr, forward));

	TRY(md_copy(&c->weights.desc, pd, kind == CONV_WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md));
	TRY(md_copy(&scratchpad.desc, pd, dnnl_query_scratchpad_md));
	c->scratch = dnnl_memory_desc_get_size(MD(&scratchpad));
	const char *name = NULL;
	TRY(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name));
	strncpy(c->implementation, name, sizeof c->implementation - 1);
	TRY(dnnl_primitive_create(&c->primitive, pd));
	TRY(memory_for(&c->fine, &fine));
	TRY(memory_for(&c->coarse, &coarse));
	TRY(memory_for(&c->kernel, &c->weights));
	TRY(memory_for(&c->scratchpad, &scratchpad));
	if (bias) TRY(memory_for(&c->vector, &vector));
done:
	if (pd) dnnl_primitive_desc_destroy(pd);
	if (forward) dnnl_primitive_desc_destroy(forward);
	if (attr) dnnl_primitive_attr_destroy(attr);
	md_destroy(&fine.desc);
	md_destroy(&coarse.desc);
	md_destroy(&kernel.desc);
	md_destroy(&vector.desc);
	md_destroy(&scratchpad.desc);
	if (error) {
		conv_free(c);
		c = NULL;
	}
	*out = c;
	return error;
}

const layout *conv_weights(const conv *c) { return &c->weights; }
size_t conv_scratch(const conv *c) { return c->scratch; }
const char *conv_implementation(const conv *c) { return c->implementation; }

const char *conv_run(conv *c, float *fine, float *weights, float *bias, float *coarse, void *scratch) {
	const char *error = NULL;
	if (!c->primitive) {
		filter_execute(c, fine, weights, bias, coarse, scratch);
		return NULL;
	}
	TRY(dnnl_memory_set_data_handle(c->fine, fine));
	TRY(dnnl_memory_set_data_handle(c->coarse, coarse));
	TRY(dnnl_memory_set_data_handle(c->kernel, weights));
	TRY(dnnl_memory_set_data_handle(c->scratchpad, scratch));
	if (c->bias) TRY(dnnl_memory_set_data_handle(c->vector, bias));
	static const int names[3][4] = {
		{DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS},
		{DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS},
		{DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS},
	};
	const int *arg = names[c->kind];
	dnnl_exec_arg_t args[] = {
		{arg[0], c->fine}, {arg[1], c->coarse}, {arg[2], c->kernel}, {DNNL_ARG_SCRATCHPAD, c->scratchpad}, {arg[3], c->vector},
	};
	TRY(dnnl_primitive_execute(c->primitive, stream, c->bias ? 5 : 4, args));
	TRY(dnnl_stream_wait(stream));
done:
	return error;
}

// Layouts of kernels.

const char *layout_plain(layout **out, const int64_t dims[5]) {
	const char *error = NULL;
	layout *l = calloc(1, sizeof *l);
	if (!l) return "out of memory";
	TRY(md_tag(&l->desc, 5, dims, dnnl_abcde));
	*out = l;
	return NULL;
done:
	free(l);
	return error;
}

void layout_free(layout *l) {
	md_destroy(&l->desc);
	free(l);
}

int layout_equal(const layout *a, const layout *b) { return dnnl_memory_desc_equal(MD(a), MD(b)); }
size_t layout_bytes(const layout *l) { return dnnl_memory_desc_get_size(MD(l)); }

const char *layout_convert(const layout *from, float *src, const layout *to, float *dst) {
	const char *error = NULL;
	dnnl_memory_t in = NULL, out = NULL;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_primitive_t reorder = NULL;
	TRY(dnnl_reorder_primitive_desc_create(&pd, MD(from), engine, MD(to), engine, NULL));
	TRY(dnnl_primitive_create(&reorder, pd)); // oneDNN caches what it compiles
	TRY(dnnl_memory_create(&in, MD(from), engine, src));
	TRY(dnnl_memory_create(&out, MD(to), engine, dst));
	dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}};
	TRY(dnnl_primitive_execute(reorder, stream, 2, args));
	TRY(dnnl_stream_wait(stream));
done:
	if (in) dnnl_memory_destroy(in);
	if (out) dnnl_memory_destroy(out);
	if (reorder) dnnl_primitive_destroy(reorder);
	if (pd) dnnl_primitive_desc_destroy(pd);
	return error;
}
