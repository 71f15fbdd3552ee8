// The part of the CUDA driver API that package cuda uses: its own declarations of the
// types and functions, so that programs build without NVIDIA's headers, and a table of
// functions that is filled from libcuda.so.1 at run time.
#ifndef AFL_DRIVER_H
#define AFL_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/threads.h"

typedef int CUresult; // 0 is success
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;

// Values of the driver's enumerations.
enum {
	CUDA_SUCCESS = 0,
	CUDA_ERROR_INVALID_VALUE = 1,
	CUDA_ERROR_OUT_OF_MEMORY = 2,
	CUDA_ERROR_NO_DEVICE = 100,
	CUDA_ERROR_INVALID_DEVICE = 101,
	CUDA_ERROR_INVALID_CONTEXT = 201,
	CUDA_ERROR_INVALID_PTX = 218,
	CUDA_ERROR_INVALID_HANDLE = 400,
	CUDA_ERROR_NOT_FOUND = 500,
	CUDA_ERROR_NOT_READY = 600,
	CUDA_ERROR_LAUNCH_FAILED = 719,
	CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,

	CU_MEMORYTYPE_DEVICE = 2,
	CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
	CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
	CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11,
	CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12,

	CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
	CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
	CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
	CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,

	CU_STREAM_NON_BLOCKING = 1,
	CU_STREAM_CAPTURE_MODE_RELAXED = 2,
	CU_MEMHOSTALLOC_PORTABLE = 1,
	CU_JIT_ERROR_LOG_BUFFER = 5,
	CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6
};

// All functions that are used: X(symbol in the library, parameters).
#define AFL_DRIVER_FUNCTIONS(X) \
	X(cuInit, (unsigned flags)) \
	X(cuDriverGetVersion, (int *version)) \
	X(cuGetErrorName, (CUresult code, const char **name)) \
	X(cuGetErrorString, (CUresult code, const char **text)) \
	X(cuDeviceGetCount, (int *count)) \
	X(cuDeviceGet, (CUdevice *device, int ordinal)) \
	X(cuDeviceGetName, (char *name, int length, CUdevice device)) \
	X(cuDeviceGetAttribute, (int *value, int attribute, CUdevice device)) \
	X(cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device)) \
	X(cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device)) \
	X(cuDevicePrimaryCtxRelease_v2, (CUdevice device)) \
	X(cuCtxPushCurrent_v2, (CUcontext context)) \
	X(cuCtxPopCurrent_v2, (CUcontext *context)) \
	X(cuCtxGetDevice, (CUdevice *device)) \
	X(cuPointerGetAttribute, (void *value, int attribute, CUdeviceptr address)) \
	X(cuMemGetInfo_v2, (size_t *free, size_t *total)) \
	X(cuMemAlloc_v2, (CUdeviceptr *address, size_t bytes)) \
	X(cuMemFree_v2, (CUdeviceptr address)) \
	X(cuMemHostAlloc, (void **address, size_t bytes, unsigned flags)) \
	X(cuMemFreeHost, (void *address)) \
	X(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream)) \
	X(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream)) \
	X(cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)) \
	X(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t count, CUstream stream)) \
	X(cuMemsetD16Async, (CUdeviceptr to, unsigned short value, size_t count, CUstream stream)) \
	X(cuMemsetD32Async, (CUdeviceptr to, unsigned value, size_t count, CUstream stream)) \
	X(cuStreamCreate, (CUstream *stream, unsigned flags)) \
	X(cuStreamDestroy_v2, (CUstream stream)) \
	X(cuStreamGetCtx, (CUstream stream, CUcontext *context)) \
	X(cuStreamSynchronize, (CUstream stream)) \
	X(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags)) \
	X(cuStreamBeginCapture_v2, (CUstream stream, int mode)) \
	X(cuStreamEndCapture, (CUstream stream, CUgraph *graph)) \
	X(cuEventCreate, (CUevent *event, unsigned flags)) \
	X(cuEventDestroy_v2, (CUevent event)) \
	X(cuEventRecord, (CUevent event, CUstream stream)) \
	X(cuEventSynchronize, (CUevent event)) \
	X(cuEventElapsedTime, (float *milliseconds, CUevent from, CUevent to)) \
	X(cuModuleLoadDataEx, (CUmodule *module, const void *image, unsigned options, int *option, void **value)) \
	X(cuModuleUnload, (CUmodule module)) \
	X(cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name)) \
	X(cuLaunchKernel, (CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, \
		unsigned blockY, unsigned blockZ, unsigned shared, CUstream stream, void **parameters, void **extra)) \
	X(cuGraphInstantiateWithFlags, (CUgraphExec *executable, CUgraph graph, unsigned long long flags)) \
	X(cuGraphLaunch, (CUgraphExec executable, CUstream stream)) \
	X(cuGraphExecDestroy, (CUgraphExec executable)) \
	X(cuGraphDestroy, (CUgraph graph))

// AflDriver is the function table of an open library.
typedef struct AflDriver {
#define AFL_MEMBER(name, parameters) CUresult(*name) parameters;
	AFL_DRIVER_FUNCTIONS(AFL_MEMBER)
#undef AFL_MEMBER
} AflDriver;

// AflSession is a device's context, by default the primary one, with the stream of an engine.
// Functions that
// take one make its context current on their thread and restore the previous one before
// they return, since a goroutine may change threads between calls, but not within one.
typedef struct AflSession {
	const AflDriver *driver;
	CUdevice device;
	CUcontext context;
	CUstream stream;
	int retained; // the context is the primary one, retained by this session
	int created;  // the stream is this session's
} AflSession;

typedef struct AflDeviceInfo {
	char name[256];
	int major, minor, multiprocessors, l2;
	size_t memory;
} AflDeviceInfo;

// Where memory lies.
typedef struct AflPointer {
	CUresult code;
	unsigned type;  // CU_MEMORYTYPE_…
	int device;     // ordinal
	CUdeviceptr start; // of the allocation
	size_t bytes;      // of the allocation
} AflPointer;

// A result code with a new handle or address.
typedef struct AflHandle {
	CUresult code;
	void *handle;
} AflHandle;

typedef struct AflAddress {
	CUresult code;
	CUdeviceptr address;
} AflAddress;

typedef struct AflMemoryInfo {
	CUresult code;
	size_t free, total;
} AflMemoryInfo;

typedef struct AflElapsed {
	CUresult code;
	float milliseconds;
} AflElapsed;

// afl_driver_open opens a library and fills an empty table. If the library cannot be
// opened, it returns the loader's message, which the caller frees. Otherwise it returns
// null, and *missing is null or the first function that the library lacks.
char *afl_driver_open(AflDriver *driver, const char *path, const char **missing);

CUresult afl_init(const AflDriver *driver);
CUresult afl_version(const AflDriver *driver, int *version);
CUresult afl_device_count(const AflDriver *driver, int *count);
CUresult afl_device(const AflDriver *driver, int ordinal, AflDeviceInfo *info);
const char *afl_error_name(const AflDriver *driver, CUresult code);
const char *afl_error_text(const AflDriver *driver, CUresult code);

// afl_session_open retains the context and creates the stream. On failure it releases
// everything.
CUresult afl_session_open(AflSession *s, const AflDriver *driver, int ordinal);
// afl_session_adopt opens a session on a stream of somebody else's, 0 for the legacy default
// stream, and on a context, or on the primary one if context is null. The stream and the given
// context remain their owner's. If they do not belong together, or not to the device, it
// returns CUDA_ERROR_INVALID_CONTEXT.
CUresult afl_session_adopt(AflSession *s, const AflDriver *driver, int ordinal, CUcontext context, CUstream stream);
// afl_session_close destroys the session's own stream and releases a retained context, even
// after a failure, and returns the first failure.
CUresult afl_session_close(AflSession *s);
// afl_push makes the context current, and afl_pop restores the previous one.
CUresult afl_push(const AflSession *s);
CUresult afl_pop(const AflSession *s);
// afl_load compiles PTX to a module and writes the compiler's messages to log.
AflHandle afl_load(const AflSession *s, const char *ptx, char *log, size_t length);
CUresult afl_unload(const AflSession *s, CUmodule module);
AflHandle afl_function(const AflSession *s, CUmodule module, const char *name);
CUresult afl_launch(const AflSession *s, CUfunction function, unsigned blocks, const void *arguments);

AflPointer afl_pointer(const AflSession *s, CUdeviceptr address);
AflMemoryInfo afl_memory_info(const AflSession *s);
AflAddress afl_alloc(const AflSession *s, size_t bytes);
CUresult afl_free(const AflSession *s, CUdeviceptr address);
AflHandle afl_alloc_host(const AflSession *s, size_t bytes);
CUresult afl_free_host(const AflSession *s, void *address);
// The copies synchronize the stream if wait is not 0.
CUresult afl_copy_to_device(const AflSession *s, CUdeviceptr to, const void *from, size_t bytes, int wait);
// afl_copy_to_device_on enqueues a copy on another stream than the session's.
CUresult afl_copy_to_device_on(const AflSession *s, CUstream stream, CUdeviceptr to, const void *from, size_t bytes);
CUresult afl_copy_to_host(const AflSession *s, void *to, CUdeviceptr from, size_t bytes, int wait);
CUresult afl_copy_device(const AflSession *s, CUdeviceptr to, CUdeviceptr from, size_t bytes);
// afl_fill enqueues writing count copies of an element of 1, 2, 4, 8 or 16 bytes.
CUresult afl_fill(const AflSession *s, CUdeviceptr to, const void *element, size_t bytes, size_t count);
CUresult afl_synchronize(const AflSession *s);

// Another stream of the context, which is not ordered with the session's.
AflHandle afl_stream_new(const AflSession *s);
CUresult afl_stream_synchronize(const AflSession *s, CUstream stream);
CUresult afl_stream_free(const AflSession *s, CUstream stream);

AflHandle afl_event_new(const AflSession *s);
// afl_event_record enqueues the event on a stream, and afl_event_wait makes the work that is
// enqueued on a stream afterwards wait for it.
CUresult afl_event_record(const AflSession *s, CUstream stream, CUevent event);
CUresult afl_event_wait(const AflSession *s, CUstream stream, CUevent event);
CUresult afl_event_synchronize(const AflSession *s, CUevent event);
AflElapsed afl_event_elapsed(const AflSession *s, CUevent from, CUevent to);
CUresult afl_event_free(const AflSession *s, CUevent event);

CUresult afl_capture_begin(const AflSession *s);
// afl_capture_end ends the capture and returns an executable graph, or null if keep is
// 0.
AflHandle afl_capture_end(const AflSession *s, int keep);
CUresult afl_graph_launch(const AflSession *s, CUgraphExec executable);
CUresult afl_graph_free(const AflSession *s, CUgraphExec executable);

#endif
