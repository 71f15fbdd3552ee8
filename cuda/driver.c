//go:build cgo && linux && (amd64 || arm64)

#include "driver.h"

#include <dlfcn.h>
#include <string.h>

char *afl_driver_open(AflDriver *driver, const char *path, const char **missing) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	*missing = NULL;
	if (!library) {
		const char *why = dlerror();
		return strdup(why ? why : "unknown error");
	}
	// The library is never closed: the driver keeps threads of its own.
#define AFL_LOOK_UP(name, parameters) \
	*(void **)&driver->name = dlsym(library, #name); \
	if (!driver->name && !*missing) *missing = #name;
	AFL_DRIVER_FUNCTIONS(AFL_LOOK_UP)
#undef AFL_LOOK_UP
	return NULL;
}

CUresult afl_init(const AflDriver *driver) { return driver->cuInit(0); }

CUresult afl_version(const AflDriver *driver, int *version) {
	*version = 0;
	return driver->cuDriverGetVersion ? driver->cuDriverGetVersion(version) : CUDA_SUCCESS;
}

CUresult afl_device_count(const AflDriver *driver, int *count) { return driver->cuDeviceGetCount(count); }

CUresult afl_device(const AflDriver *driver, int ordinal, AflDeviceInfo *info) {
	CUdevice device;
	CUresult code = driver->cuDeviceGet(&device, ordinal);
	if (!code) code = driver->cuDeviceGetName(info->name, sizeof info->name, device);
	if (!code) code = driver->cuDeviceTotalMem_v2(&info->memory, device);
	struct {
		int *value, attribute;
	} wanted[] = {
		{&info->major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR},
		{&info->minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR},
		{&info->multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT},
		{&info->l2, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE},
	};
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && !code; i++)
		code = driver->cuDeviceGetAttribute(wanted[i].value, wanted[i].attribute, device);
	return code;
}

const char *afl_error_name(const AflDriver *driver, CUresult code) {
	const char *name = NULL;
	driver->cuGetErrorName(code, &name);
	return name;
}

const char *afl_error_text(const AflDriver *driver, CUresult code) {
	const char *text = NULL;
	driver->cuGetErrorString(code, &text);
	return text;
}

// leave restores the thread's previous context and returns the first failure.
static CUresult leave(const AflSession *s, CUresult code) {
	CUcontext context;
	CUresult popped = s->driver->cuCtxPopCurrent_v2(&context);
	return code ? code : popped;
}

// WITHIN makes a call in the session's context and stores its result in code.
#define WITHIN(s, code, call) \
	do { \
		code = (s)->driver->cuCtxPushCurrent_v2((s)->context); \
		if (!code) code = leave(s, (s)->driver->call); \
	} while (0)

CUresult afl_session_open(AflSession *s, const AflDriver *driver, int ordinal) {
	memset(s, 0, sizeof *s);
	s->driver = driver;
	CUresult code = driver->cuDeviceGet(&s->device, ordinal);
	if (!code) code = driver->cuDevicePrimaryCtxRetain(&s->context, s->device);
	if (code) return code;
	s->retained = s->created = 1;
	WITHIN(s, code, cuStreamCreate(&s->stream, CU_STREAM_NON_BLOCKING));
	if (code) driver->cuDevicePrimaryCtxRelease_v2(s->device);
	return code;
}

CUresult afl_session_adopt(AflSession *s, const AflDriver *driver, int ordinal, CUcontext context, CUstream stream) {
	memset(s, 0, sizeof *s);
	s->driver = driver;
	s->context = context;
	s->stream = stream;
	CUresult code = driver->cuDeviceGet(&s->device, ordinal);
	if (!code && !context) {
		code = driver->cuDevicePrimaryCtxRetain(&s->context, s->device);
		s->retained = !code;
	}
	if (code) return code;
	CUdevice device = s->device;
	CUcontext of = s->context;
	WITHIN(s, code, cuCtxGetDevice(&device));
	if (!code && device != s->device) code = CUDA_ERROR_INVALID_CONTEXT;
	if (!code) WITHIN(s, code, cuStreamGetCtx(stream, &of));
	if (!code && of != s->context) code = CUDA_ERROR_INVALID_CONTEXT;
	if (code && s->retained) driver->cuDevicePrimaryCtxRelease_v2(s->device);
	return code;
}

CUresult afl_session_close(AflSession *s) {
	CUresult code = CUDA_SUCCESS, next = CUDA_SUCCESS;
	if (s->created) WITHIN(s, code, cuStreamDestroy_v2(s->stream));
	if (s->retained) next = s->driver->cuDevicePrimaryCtxRelease_v2(s->device);
	return code ? code : next;
}

CUresult afl_push(const AflSession *s) { return s->driver->cuCtxPushCurrent_v2(s->context); }

CUresult afl_pop(const AflSession *s) { return leave(s, CUDA_SUCCESS); }

AflPointer afl_pointer(const AflSession *s, CUdeviceptr address) {
	AflPointer r = {0};
	struct {
		void *value;
		int attribute;
	} wanted[] = {
		{&r.type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE},
		{&r.device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL},
		{&r.start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR},
		{&r.bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE},
	};
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && !r.code; i++)
		WITHIN(s, r.code, cuPointerGetAttribute(wanted[i].value, wanted[i].attribute, address));
	return r;
}

AflHandle afl_load(const AflSession *s, const char *ptx, char *log, size_t length) {
	int option[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
	void *value[] = {log, (void *)(uintptr_t)length};
	AflHandle r = {0};
	log[0] = 0;
	WITHIN(s, r.code, cuModuleLoadDataEx((CUmodule *)&r.handle, ptx, 2, option, value));
	log[length - 1] = 0;
	return r;
}

CUresult afl_unload(const AflSession *s, CUmodule module) {
	CUresult code;
	WITHIN(s, code, cuModuleUnload(module));
	return code;
}

AflHandle afl_function(const AflSession *s, CUmodule module, const char *name) {
	AflHandle r = {0};
	WITHIN(s, r.code, cuModuleGetFunction((CUfunction *)&r.handle, module, name));
	return r;
}

CUresult afl_launch(const AflSession *s, CUfunction function, unsigned blocks, const void *arguments) {
	CUresult code;
	void *parameters[] = {(void *)arguments};
	WITHIN(s, code, cuLaunchKernel(function, blocks, 1, 1, AFL_THREADS, 1, 1, 0, s->stream, parameters, NULL));
	return code;
}

AflMemoryInfo afl_memory_info(const AflSession *s) {
	AflMemoryInfo r = {0};
	WITHIN(s, r.code, cuMemGetInfo_v2(&r.free, &r.total));
	return r;
}

AflAddress afl_alloc(const AflSession *s, size_t bytes) {
	AflAddress r = {0};
	WITHIN(s, r.code, cuMemAlloc_v2(&r.address, bytes));
	return r;
}

CUresult afl_free(const AflSession *s, CUdeviceptr address) {
	CUresult code;
	WITHIN(s, code, cuMemFree_v2(address));
	return code;
}

AflHandle afl_alloc_host(const AflSession *s, size_t bytes) {
	AflHandle r = {0};
	WITHIN(s, r.code, cuMemHostAlloc(&r.handle, bytes, CU_MEMHOSTALLOC_PORTABLE));
	return r;
}

CUresult afl_free_host(const AflSession *s, void *address) {
	CUresult code;
	WITHIN(s, code, cuMemFreeHost(address));
	return code;
}

// then synchronizes the stream if wait is set and code is a success.
static CUresult then(const AflSession *s, CUresult code, int wait) {
	return !code && wait ? s->driver->cuStreamSynchronize(s->stream) : code;
}

CUresult afl_copy_to_device(const AflSession *s, CUdeviceptr to, const void *from, size_t bytes, int wait) {
	CUresult code = s->driver->cuCtxPushCurrent_v2(s->context);
	if (code) return code;
	code = s->driver->cuMemcpyHtoDAsync_v2(to, from, bytes, s->stream);
	return leave(s, then(s, code, wait));
}

CUresult afl_copy_to_device_on(const AflSession *s, CUstream stream, CUdeviceptr to, const void *from, size_t bytes) {
	CUresult code;
	WITHIN(s, code, cuMemcpyHtoDAsync_v2(to, from, bytes, stream));
	return code;
}

CUresult afl_copy_to_host(const AflSession *s, void *to, CUdeviceptr from, size_t bytes, int wait) {
	CUresult code = s->driver->cuCtxPushCurrent_v2(s->context);
	if (code) return code;
	code = s->driver->cuMemcpyDtoHAsync_v2(to, from, bytes, s->stream);
	return leave(s, then(s, code, wait));
}

CUresult afl_copy_device(const AflSession *s, CUdeviceptr to, CUdeviceptr from, size_t bytes) {
	CUresult code;
	WITHIN(s, code, cuMemcpyDtoDAsync_v2(to, from, bytes, s->stream));
	return code;
}

static CUresult fill(const AflSession *s, CUdeviceptr to, const void *element, size_t bytes, size_t count) {
	const AflDriver *d = s->driver;
	uint8_t byte;
	uint16_t half;
	uint32_t word[4];
	CUresult code = CUDA_SUCCESS;
	switch (bytes) {
	case 1:
		memcpy(&byte, element, 1);
		return d->cuMemsetD8Async(to, byte, count, s->stream);
	case 2:
		memcpy(&half, element, 2);
		return d->cuMemsetD16Async(to, half, count, s->stream);
	case 4:
		memcpy(word, element, 4);
		return d->cuMemsetD32Async(to, word[0], count, s->stream);
	case 8:
	case 16:
		break;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
	// The driver cannot set wider words: write the first element in parts, then double
	// the filled range by copying until everything is filled.
	memcpy(word, element, bytes);
	for (size_t i = 0; i < bytes / 4 && !code; i++)
		code = d->cuMemsetD32Async(to + 4 * i, word[i], 1, s->stream);
	for (size_t done = 1; done < count && !code;) {
		size_t more = done < count - done ? done : count - done;
		code = d->cuMemcpyDtoDAsync_v2(to + done * bytes, to, more * bytes, s->stream);
		done += more;
	}
	return code;
}

CUresult afl_fill(const AflSession *s, CUdeviceptr to, const void *element, size_t bytes, size_t count) {
	if (!count) return CUDA_SUCCESS;
	CUresult code = s->driver->cuCtxPushCurrent_v2(s->context);
	return code ? code : leave(s, fill(s, to, element, bytes, count));
}

CUresult afl_synchronize(const AflSession *s) {
	CUresult code;
	WITHIN(s, code, cuStreamSynchronize(s->stream));
	return code;
}

AflHandle afl_stream_new(const AflSession *s) {
	AflHandle r = {0};
	WITHIN(s, r.code, cuStreamCreate((CUstream *)&r.handle, CU_STREAM_NON_BLOCKING));
	return r;
}

CUresult afl_stream_synchronize(const AflSession *s, CUstream stream) {
	CUresult code;
	WITHIN(s, code, cuStreamSynchronize(stream));
	return code;
}

CUresult afl_stream_free(const AflSession *s, CUstream stream) {
	CUresult code;
	WITHIN(s, code, cuStreamDestroy_v2(stream));
	return code;
}

AflHandle afl_event_new(const AflSession *s) {
	AflHandle r = {0};
	WITHIN(s, r.code, cuEventCreate((CUevent *)&r.handle, 0));
	return r;
}

CUresult afl_event_record(const AflSession *s, CUstream stream, CUevent event) {
	CUresult code;
	WITHIN(s, code, cuEventRecord(event, stream));
	return code;
}

CUresult afl_event_wait(const AflSession *s, CUstream stream, CUevent event) {
	CUresult code;
	WITHIN(s, code, cuStreamWaitEvent(stream, event, 0));
	return code;
}

CUresult afl_event_synchronize(const AflSession *s, CUevent event) {
	CUresult code;
	WITHIN(s, code, cuEventSynchronize(event));
	return code;
}

AflElapsed afl_event_elapsed(const AflSession *s, CUevent from, CUevent to) {
	AflElapsed r = {0};
	WITHIN(s, r.code, cuEventElapsedTime(&r.milliseconds, from, to));
	return r;
}

CUresult afl_event_free(const AflSession *s, CUevent event) {
	CUresult code;
	WITHIN(s, code, cuEventDestroy_v2(event));
	return code;
}

CUresult afl_capture_begin(const AflSession *s) {
	CUresult code;
	WITHIN(s, code, cuStreamBeginCapture_v2(s->stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	return code;
}

AflHandle afl_capture_end(const AflSession *s, int keep) {
	const AflDriver *d = s->driver;
	AflHandle r = {0};
	CUgraph graph = NULL;
	r.code = d->cuCtxPushCurrent_v2(s->context);
	if (r.code) return r;
	r.code = d->cuStreamEndCapture(s->stream, &graph);
	if (!r.code && keep) r.code = d->cuGraphInstantiateWithFlags((CUgraphExec *)&r.handle, graph, 0);
	if (graph) {
		CUresult destroyed = d->cuGraphDestroy(graph);
		if (!r.code) r.code = destroyed;
	}
	r.code = leave(s, r.code);
	return r;
}

CUresult afl_graph_launch(const AflSession *s, CUgraphExec executable) {
	CUresult code;
	WITHIN(s, code, cuGraphLaunch(executable, s->stream));
	return code;
}

CUresult afl_graph_free(const AflSession *s, CUgraphExec executable) {
	CUresult code;
	WITHIN(s, code, cuGraphExecDestroy(executable));
	return code;
}
