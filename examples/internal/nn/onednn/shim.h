// shim.h is the interface of oneDNN to Go: three-dimensional convolutions on
// channels-last volumes, and the kernel layouts that they require. The C APIs of
// oneDNN 2 and 3 differ; shim.c hides the difference. It also hides which convolutions
// are computed by winograd.h or planes.h instead, because they are faster.

#ifndef AFL_ONEDNN_SHIM_H
#define AFL_ONEDNN_SHIM_H

#include <stddef.h>
#include <stdint.h>

// conv_shape describes the linear map between a fine volume with cols channels and a
// coarse one with rows channels, by a kernel rows×cols×k. pad_high is the padding at
// the high end that yields exactly the coarse size; it may be negative.
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

// conv is a compiled convolution; layout is the memory layout of a kernel.
typedef struct conv conv;
typedef struct layout layout;

// A function that can fail returns NULL on success and otherwise a static error
// message.

// runtime_open creates the process-wide engine and stream.
const char *runtime_open(void);

// conv_open compiles one direction of s, or its kernel gradient, for float32.
const char *conv_open(conv **out, const conv_shape *s, int kind, int bias);
// conv_weights returns the layout in which the convolution reads or writes the
// kernel. It is valid as long as the convolution.
const layout *conv_weights(const conv *c);
// conv_scratch returns the number of bytes of scratch memory that conv_run needs.
size_t conv_scratch(const conv *c);
// conv_implementation returns the name of the implementation that was chosen.
const char *conv_implementation(const conv *c);
void conv_free(conv *c);
// conv_run computes the convolution. bias is ignored if the convolution was compiled
// without one.
const char *conv_run(conv *c, float *fine, float *weights, float *bias, float *coarse, void *scratch);

// layout_plain creates the row-major layout of a kernel of the given shape. The caller
// must free it with layout_free.
const char *layout_plain(layout **out, const int64_t dims[5]);
void layout_free(layout *l);
int layout_equal(const layout *a, const layout *b);
// layout_bytes returns the size of a kernel, including padding channels.
size_t layout_bytes(const layout *l);
// layout_convert copies a kernel from one layout to another of the same shape.
const char *layout_convert(const layout *from, float *src, const layout *to, float *dst);

#endif
