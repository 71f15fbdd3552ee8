// shim.h is all that Go sees of oneDNN: three-dimensional convolutions on
// channels-last volumes and the weight layouts they ask for. The C API of
// oneDNN 2 and 3 differs; shim.c hides that, and which convolutions winograd.h's
// are faster at.

#ifndef AFL_ONEDNN_SHIM_H
#define AFL_ONEDNN_SHIM_H

#include <stddef.h>
#include <stdint.h>

// conv_shape describes the linear map between a fine volume (channels cols) and
// a coarse one (channels rows) with a kernel rows×cols×k. pad_high is what makes
// the coarse size come out exactly; it may be negative.
typedef struct {
	int64_t batch, rows, cols;
	int64_t fine[3], coarse[3], kernel[3];
	int64_t stride[3], dilation[3], pad[3], pad_high[3];
} conv_shape;

enum conv_kind {
	CONV_TO_COARSE, // coarse = kernel · fine (+ bias): a convolution
	CONV_TO_FINE,   // fine = kernelᵀ · coarse: its adjoint
	CONV_WEIGHT,    // kernel gradient (+ bias gradient) from fine and coarse
};

// conv is a compiled convolution; layout, the layout of a kernel.
typedef struct conv conv;
typedef struct layout layout;

// Every function that can fail returns NULL or a static text that says why.

// runtime_open makes the process-wide engine and stream.
const char *runtime_open(void);
// runtime_version writes the version of the library at run time.
void runtime_version(int *major, int *minor, int *patch);

// conv_open compiles one direction of s for float32.
const char *conv_open(conv **out, const conv_shape *s, int kind, int bias);
// conv_weights returns the layout in which the convolution reads or writes the
// kernel; it lives as long as the convolution.
const layout *conv_weights(const conv *c);
// conv_scratch returns the bytes of working memory that conv_run needs.
size_t conv_scratch(const conv *c);
// conv_implementation names the code that was chosen.
const char *conv_implementation(const conv *c);
void conv_free(conv *c);
// conv_run computes. bias is ignored where the convolution was compiled
// without.
const char *conv_run(conv *c, float *fine, float *weights, float *bias, float *coarse, void *scratch);

// layout_plain returns the row-major layout of a kernel of this shape, made once per
// call; free it with layout_free.
const char *layout_plain(layout **out, const int64_t dims[5]);
void layout_free(layout *l);
int layout_equal(const layout *a, const layout *b);
// layout_bytes includes what the layout pads channels with.
size_t layout_bytes(const layout *l);
// layout_convert copies a kernel from one layout to another of the same shape.
const char *layout_convert(const layout *from, float *src, const layout *to, float *dst);

#endif
