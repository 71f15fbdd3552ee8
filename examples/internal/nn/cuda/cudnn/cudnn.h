// The functions of cuDNN's graph API that package cudnn uses: own declarations, so that
// programs build without NVIDIA's headers, and a table that is filled from libcudnn.so.9 at
// run time.
#ifndef AFL_CUDNN_H
#define AFL_CUDNN_H

#include <stddef.h>
#include <stdint.h>

// Kinds of descriptors.
enum {
	AFL_CONVOLUTION = 1, AFL_ENGINE = 2, AFL_CONFIGURATION = 3, AFL_HEURISTIC = 4, AFL_PLAN = 5,
	AFL_FORWARD = 10, AFL_BACKWARD_FILTER = 11, AFL_BACKWARD_DATA = 12, AFL_GRAPH = 15, AFL_PACK = 16, AFL_TENSOR = 17
};

// Types of attributes.
enum {
	AFL_TYPE_HANDLE = 0, AFL_TYPE_DATA = 1, AFL_TYPE_INT64 = 3, AFL_TYPE_FLOAT = 4, AFL_TYPE_POINTER = 6, AFL_TYPE_MODE = 7,
	AFL_TYPE_HEURISTIC = 8, AFL_TYPE_NOTE = 11, AFL_TYPE_DESCRIPTOR = 15
};

// Attributes.
enum {
	AFL_CONVOLUTION_TYPE = 100, AFL_CONVOLUTION_MODE = 101, AFL_CONVOLUTION_DILATIONS = 102, AFL_CONVOLUTION_STRIDES = 103,
	AFL_CONVOLUTION_POST_PADDINGS = 104, AFL_CONVOLUTION_PRE_PADDINGS = 105, AFL_CONVOLUTION_DIMENSIONS = 106,
	AFL_HEURISTIC_MODE = 200, AFL_HEURISTIC_GRAPH = 201, AFL_HEURISTIC_RESULTS = 202,
	AFL_CONFIGURATION_ENGINE = 300,
	AFL_PLAN_HANDLE = 400, AFL_PLAN_CONFIGURATION = 401, AFL_PLAN_WORKSPACE = 402,
	AFL_GRAPH_HANDLE = 800, AFL_GRAPH_OPERATIONS = 801,
	AFL_TENSOR_ALIGNMENT = 900, AFL_TENSOR_TYPE = 901, AFL_TENSOR_DIMENSIONS = 902, AFL_TENSOR_STRIDES = 903, AFL_TENSOR_IDENTIFIER = 906,
	AFL_PACK_IDENTIFIERS = 1000, AFL_PACK_POINTERS = 1001, AFL_PACK_WORKSPACE = 1003,
	AFL_ENGINE_INDEX = 1301, AFL_ENGINE_NOTES = 1303
};

enum { AFL_DATA_FLOAT = 0, AFL_CROSS_CORRELATION = 1, AFL_HEURISTIC_FALLBACK = 2, AFL_HEURISTIC_A = 3 };

// Notes on how an engine computes.
enum { AFL_NOTE_TENSOR_CORE, AFL_NOTE_DOWN_CONVERT_INPUTS, AFL_NOTE_REDUCED_PRECISION_REDUCTION, AFL_NOTE_FFT, AFL_NOTE_NONDETERMINISTIC };

// All functions that are used: X(result, symbol in the library, parameters). Most return a
// status, 0 for success.
#define AFL_CUDNN_FUNCTIONS(X) \
	X(size_t, cudnnGetVersion, (void)) \
	X(const char *, cudnnGetErrorString, (int status)) \
	X(void, cudnnGetLastErrorString, (char *message, size_t bytes)) \
	X(int, cudnnCreate, (void **handle)) \
	X(int, cudnnDestroy, (void *handle)) \
	X(int, cudnnSetStream, (void *handle, void *stream)) \
	X(int, cudnnBackendCreateDescriptor, (int kind, void **descriptor)) \
	X(int, cudnnBackendDestroyDescriptor, (void *descriptor)) \
	X(int, cudnnBackendSetAttribute, (void *descriptor, int name, int type, int64_t count, const void *elements)) \
	X(int, cudnnBackendGetAttribute, (void *descriptor, int name, int type, int64_t wanted, int64_t *count, void *elements)) \
	X(int, cudnnBackendFinalize, (void *descriptor)) \
	X(int, cudnnBackendExecute, (void *handle, void *plan, void *pack))

typedef struct AflCudnn {
#define AFL_MEMBER(result, name, parameters) result(*name) parameters;
	AFL_CUDNN_FUNCTIONS(AFL_MEMBER)
#undef AFL_MEMBER
} AflCudnn;

// afl_library_open opens a library for as long as the process lives. It returns null and the
// loader's message, which the caller frees, if it cannot.
void *afl_library_open(const char *path, char **why);
// afl_library_has reports whether a library has a symbol.
int afl_library_has(void *library, const char *symbol);
// afl_cudnn_look_up fills the table and returns null or the first function that is missing.
const char *afl_cudnn_look_up(AflCudnn *table, void *library);

// The functions of the table. A result with a status:
typedef struct AflResult {
	int status;
	void *pointer;
	int64_t count;
} AflResult;

size_t afl_cudnn_version(const AflCudnn *t);
const char *afl_cudnn_status(const AflCudnn *t, int status);
void afl_cudnn_message(const AflCudnn *t, char *message, size_t bytes);
AflResult afl_cudnn_create(const AflCudnn *t);
int afl_cudnn_destroy(const AflCudnn *t, void *handle);
int afl_cudnn_set_stream(const AflCudnn *t, void *handle, uintptr_t stream);
AflResult afl_cudnn_descriptor(const AflCudnn *t, int kind);
int afl_cudnn_destroy_descriptor(const AflCudnn *t, void *descriptor);
int afl_cudnn_set(const AflCudnn *t, void *descriptor, int name, int type, int64_t count, const void *elements);
// afl_cudnn_set_pointer sets an attribute that is one handle or descriptor.
int afl_cudnn_set_pointer(const AflCudnn *t, void *descriptor, int name, int type, void *pointer);
// afl_cudnn_get returns how many elements the attribute has, and stores at most `wanted`.
AflResult afl_cudnn_get(const AflCudnn *t, void *descriptor, int name, int type, int64_t wanted, void *elements);
int afl_cudnn_finalize(const AflCudnn *t, void *descriptor);
// afl_cudnn_execute enqueues a plan on three tensors.
int afl_cudnn_execute(const AflCudnn *t, void *handle, void *plan, const int64_t identifiers[3], const uintptr_t memory[3], uintptr_t workspace);

#endif
