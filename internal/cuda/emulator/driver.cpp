//go:build ignore

// A CUDA driver without a GPU: the functions of libcuda.so.1 that package cuda uses, on
// host memory, with the project's kernels, which are in libraries of their own, running on
// the CPU. It is strict about misuse
// that the real driver might not report:
//
//   - work on a stream is executed only when the stream is synchronized, or when another
//     stream waits for an event after it, so results that are read without synchronization are
//     missing; with the setting "eager_copies", copies from pinned memory are executed at once,
//     with no more than the work that they have to wait for;
//   - calls need a current context, and objects of one context are unknown in another;
//   - device memory is filled with 0xA5 bytes when it is allocated and freed, and has
//     guarded margins; a write to a margin aborts the process;
//   - all objects are counted until they are freed.
//
// The functions at the end of the file inject faults.
#include "../../../cuda/driver.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>
#include <sys/mman.h>

#include "kernels.h"

namespace {

using Operation = std::function<CUresult()>;
using Clock = std::chrono::steady_clock;

enum { NOT_INITIALIZED = 3, CAPTURE_INVALIDATED = 901, CAPTURE_ISOLATION = 905 };

// Guards all state.
std::mutex mutex;

const std::map<std::string, int64_t> defaults = {
	{"version", 12040}, {"devices", 1}, {"major", 9}, {"minor", 0}, {"memory", 256 << 20}, {"multiprocessors", 132}, {"l2", 50 << 20},
	{"refuse_ptx", 0}, {"eager_copies", 0}, {"cudnn_version", 92100}, {"cudnn_engines", 0}, {"cudnn_wrong", 0},
};
std::map<std::string, int64_t> settings = defaults;

struct Fault {
	int64_t after;
	CUresult code;
};
std::map<std::string, Fault> faults;

std::map<std::string, int64_t> counts;
bool initialized;

void die(const char *what) {
	fprintf(stderr, "emulated CUDA device: %s\n", what);
	fflush(stderr);
	abort();
}

// Codes that a context returns from all calls once it has returned them.
bool is_lost(CUresult code) { return code == 214 || code == 999 || code == 700 || code == 702 || (code >= 709 && code <= 719); }

} // namespace

struct CUctx_st {
	int device, users;
	CUresult lost;
	std::set<void *> objects; // of all kinds
	std::set<CUstream> streams;
	CUstream legacy; // the default stream, whose handle is null
};

struct CUstream_st {
	CUcontext context;
	std::deque<Operation> queue;
	bool capturing, invalid;
};

struct CUevent_st {
	CUcontext context;
	Clock::time_point time;
	CUstream stream;           // on which it was recorded last
	int64_t records, executed; // times that it was recorded, and the number of the last one executed

	bool recorded() const { return records > 0; }
	bool done() const { return executed == records; }
};

struct CUmod_st {
	CUcontext context;
	std::string text;
	std::map<std::string, CUfunction> functions;
};

struct CUfunc_st {
	CUmodule module;
	std::string name;
	const AflKernels *set;
	size_t bytes; // of the arguments
};

struct CUgraph_st {
	CUcontext context;
	std::vector<Operation> operations;
};

struct CUgraphExec_st {
	CUcontext context;
	std::vector<Operation> operations;
};

namespace {

std::map<int, CUcontext> primary; // by device
std::set<const AflKernels *> kernel_sets;
thread_local std::vector<CUcontext> current;

// Device memory, which is accessible only while the emulator works on it.
unsigned char *arena, *arena_top;
int opened_arena;
struct Touch {
	Touch() { if (opened_arena++ == 0 && arena_top > arena) mprotect(arena, arena_top - arena, PROT_READ | PROT_WRITE); }
	~Touch() { if (--opened_arena == 0 && arena_top > arena) mprotect(arena, arena_top - arena, PROT_NONE); }
};
void *arena_alloc(size_t whole) {
	whole = (whole + 4095) / 4096 * 4096;
	if (!arena) arena = arena_top = (unsigned char *)mmap(nullptr, 1ull << 38, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *p = arena_top;
	arena_top += whole;
	mprotect(p, whole, PROT_READ | PROT_WRITE);
	return p;
}
void arena_free(void *p, size_t whole) { madvise(p, (whole + 4095) / 4096 * 4096, MADV_DONTNEED); }

const size_t margin = 256;
const unsigned char poison = 0xA5, guard = 0x5A;

struct Allocation {
	CUcontext context;
	size_t bytes;
	unsigned char *base;
};
std::map<uintptr_t, Allocation> allocations;
std::map<uintptr_t, Allocation> pinned;

template <class Map> typename Map::mapped_type *containing(Map &map, uintptr_t address, size_t bytes) {
	auto at = map.upper_bound(address);
	if (at == map.begin()) return nullptr;
	--at;
	return address + bytes <= at->first + at->second.bytes ? &at->second : nullptr;
}

void check_guards(const Allocation &a) {
	for (size_t i = 0; i < margin; i++)
		if (a.base[i] != guard || a.base[margin + a.bytes + i] != guard) die("a kernel or copy wrote outside its memory");
}

// Call is a call of the driver. A nonzero code is to be returned right away.
struct Call {
	std::lock_guard<std::mutex> lock;
	CUcontext context;
	CUresult code = CUDA_SUCCESS;

	Call(const char *name, bool needs_context = true) : lock(mutex), context(current.empty() ? nullptr : current.back()) {
		if (needs_context && !context) {
			code = CUDA_ERROR_INVALID_CONTEXT;
			return;
		}
		if (auto fault = faults.find(name); fault != faults.end() && --fault->second.after <= 0) {
			code = fault->second.code;
			faults.erase(fault);
			if (context && is_lost(code)) context->lost = code;
		}
		if (needs_context && context->lost) code = context->lost;
	}

	// failed reports whether a call that frees an object fails without freeing it. On a
	// lost device such calls fail, but free the object.
	bool failed() const { return code && !(context && context->lost); }

	// own adds an object to the current context.
	void own(const char *kind, void *object) {
		counts[kind]++;
		context->objects.insert(object);
	}
	// has reports whether an object belongs to the current context.
	bool has(void *object) const { return object == context->legacy || context->objects.count(object) != 0; }
	void disown(const char *kind, void *object) {
		counts[kind]--;
		context->objects.erase(object);
	}
};

// drain_until executes the work enqueued on a stream until there is none or enough of it is done.
// It may be called by that work.
template <class Enough> CUresult drain_until(CUstream s, Enough enough) {
	Touch touch;
	while (!s->queue.empty() && !enough()) {
		Operation operation = std::move(s->queue.front());
		s->queue.pop_front();
		if (s->context->lost) continue;
		if (CUresult code = operation()) s->context->lost = code;
	}
	return s->context->lost;
}

// drain executes the work enqueued on a stream.
CUresult drain(CUstream s) {
	return drain_until(s, [] { return false; });
}

CUresult drain_all(CUcontext c) {
	for (CUstream s : c->streams)
		if (!s->capturing) drain(s);
	return c->lost;
}

// enqueue adds work to a stream, or to the graph being captured.
CUresult enqueue(const Call &call, CUstream s, Operation operation) {
	if (!s) s = call.context->legacy;
	if (!call.has(s)) return CUDA_ERROR_INVALID_HANDLE;
	s->queue.push_back(std::move(operation));
	return CUDA_SUCCESS;
}

// forbid reports whether a stream is being captured, and invalidates the capture.
bool forbid(const Call &call, CUstream s) {
	if (!s) return false;
	if (!call.has(s) || !s->capturing) return false;
	s->invalid = true;
	return true;
}

void destroy(CUcontext c) {
	// Remaining objects were leaked by their owners.
	counts["leaked"] += (int64_t)c->objects.size();
	delete c->legacy;
	counts["contexts"]--;
	primary.erase(c->device);
	delete c;
}

bool begins_like_ptx(const std::string &text) {
	return text.find(".version ") != std::string::npos && text.find(".target sm_") != std::string::npos &&
		text.find(".address_size 64") != std::string::npos && text.find(".version ") < text.find(".target ");
}

const struct {
	CUresult code;
	const char *name, *text;
} errors[] = {
	{0, "CUDA_SUCCESS", "no error"},
	{1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
	{2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
	{3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
	{100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
	{101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
	{201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
	{218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
	{400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
	{500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
	{600, "CUDA_ERROR_NOT_READY", "device not ready"},
	{700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
	{701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
	{719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
	{900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
	{901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
};

} // namespace

extern "C" {

CUresult cuDriverGetVersion(int *version) {
	std::lock_guard<std::mutex> lock(mutex);
	*version = (int)settings["version"];
	return CUDA_SUCCESS;
}

CUresult cuInit(unsigned flags) {
	Call call("cuInit", false);
	if (call.code) return call.code;
	if (flags) return CUDA_ERROR_INVALID_VALUE;
	if (settings["devices"] == 0) return CUDA_ERROR_NO_DEVICE;
	initialized = true;
	return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult code, const char **name) {
	*name = nullptr;
	for (auto &e : errors)
		if (e.code == code) *name = e.name;
	return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult code, const char **text) {
	*text = nullptr;
	for (auto &e : errors)
		if (e.code == code) *text = e.text;
	return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetCount(int *count) {
	Call call("cuDeviceGetCount", false);
	if (call.code) return call.code;
	if (!initialized) return NOT_INITIALIZED;
	*count = (int)settings["devices"];
	return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
	Call call("cuDeviceGet", false);
	if (call.code) return call.code;
	if (!initialized) return NOT_INITIALIZED;
	if (ordinal < 0 || ordinal >= settings["devices"]) return CUDA_ERROR_INVALID_DEVICE;
	*device = ordinal;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
	Call call("cuDeviceGetName", false);
	if (call.code) return call.code;
	snprintf(name, (size_t)length, "Emulated GPU %d", device);
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice) {
	Call call("cuDeviceGetAttribute", false);
	if (call.code) return call.code;
	switch (attribute) {
	case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = (int)settings["multiprocessors"]; break;
	case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = (int)settings["l2"]; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = (int)settings["major"]; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = (int)settings["minor"]; break;
	default: return CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) {
	Call call("cuDeviceTotalMem_v2", false);
	if (call.code) return call.code;
	*bytes = (size_t)settings["memory"];
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
	Call call("cuDevicePrimaryCtxRetain", false);
	if (call.code) return call.code;
	CUcontext &c = primary[device];
	if (!c) {
		c = new CUctx_st{};
		c->device = device;
		c->legacy = new CUstream_st{c, {}, false, false};
		c->streams.insert(c->legacy);
		counts["contexts"]++;
	}
	c->users++;
	*context = c;
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
	Call call("cuDevicePrimaryCtxRelease_v2", false);
	auto found = primary.find(device);
	if (found == primary.end()) return CUDA_ERROR_INVALID_CONTEXT;
	if (--found->second->users == 0) {
		drain_all(found->second);
		destroy(found->second);
	}
	return call.code;
}

CUresult cuCtxPushCurrent_v2(CUcontext context) {
	Call call("cuCtxPushCurrent_v2", false);
	if (call.code) return call.code;
	bool known = false;
	for (auto &p : primary) known = known || p.second == context;
	if (!known) return CUDA_ERROR_INVALID_CONTEXT;
	current.push_back(context);
	counts["pushed"]++;
	return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext *context) {
	Call call("cuCtxPopCurrent_v2", false);
	if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
	*context = current.back();
	current.pop_back();
	counts["pushed"]--;
	return call.code;
}

CUresult cuCtxGetDevice(CUdevice *device) {
	Call call("cuCtxGetDevice");
	if (call.code) return call.code;
	*device = call.context->device;
	return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void *value, int attribute, CUdeviceptr address) {
	Call call("cuPointerGetAttribute");
	if (call.code) return call.code;
	auto at = allocations.upper_bound(address);
	const bool device = at != allocations.begin() && containing(allocations, address, 0), host = containing(pinned, address, 0);
	if (!device && !host) return CUDA_ERROR_INVALID_VALUE;
	if (!device) at = pinned.upper_bound(address);
	--at;
	switch (attribute) {
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: *(unsigned *)value = device ? CU_MEMORYTYPE_DEVICE : 1; break;
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)value = at->second.context->device; break;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *(CUdeviceptr *)value = at->first; break;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *(size_t *)value = at->second.bytes; break;
	default: return CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
	Call call("cuMemGetInfo_v2");
	if (call.code) return call.code;
	*total = (size_t)settings["memory"];
	*free = *total - (size_t)counts["bytes"];
	return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
	Call call("cuMemAlloc_v2");
	if (call.code) return call.code;
	if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
	if ((int64_t)bytes > settings["memory"] - counts["bytes"]) return CUDA_ERROR_OUT_OF_MEMORY;
	Touch touch;
	size_t whole = (bytes + 2 * margin + 255) / 256 * 256;
	Allocation a{call.context, bytes, (unsigned char *)arena_alloc(whole)};
	if (!a.base) return CUDA_ERROR_OUT_OF_MEMORY;
	memset(a.base, guard, whole);
	memset(a.base + margin, poison, bytes);
	*address = (CUdeviceptr)(uintptr_t)(a.base + margin);
	allocations[*address] = a;
	call.own("allocations", (void *)(uintptr_t)*address);
	counts["bytes"] += (int64_t)bytes;
	counts["allocated"]++;
	return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
	Call call("cuMemFree_v2");
	if (call.failed()) return call.code;
	auto found = allocations.find(address);
	if (!call.context || found == allocations.end() || found->second.context != call.context)
		return call.code ? call.code : CUDA_ERROR_INVALID_VALUE;
	drain_all(call.context);
	Touch touch;
	Allocation a = found->second;
	check_guards(a);
	memset(a.base, poison, a.bytes + 2 * margin);
	arena_free(a.base, a.bytes + 2 * margin);
	allocations.erase(found);
	counts["bytes"] -= (int64_t)a.bytes;
	call.disown("allocations", (void *)(uintptr_t)address);
	return call.code ? call.code : call.context->lost;
}

CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned) {
	Call call("cuMemHostAlloc");
	if (call.code) return call.code;
	*address = malloc(bytes);
	if (!*address) return CUDA_ERROR_OUT_OF_MEMORY;
	memset(*address, poison, bytes);
	pinned[(uintptr_t)*address] = Allocation{call.context, bytes, nullptr};
	call.own("host", *address);
	return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *address) {
	Call call("cuMemFreeHost");
	if (call.failed()) return call.code;
	if (!call.context || !pinned.count((uintptr_t)address)) return call.code ? call.code : CUDA_ERROR_INVALID_VALUE;
	drain_all(call.context);
	pinned.erase((uintptr_t)address);
	call.disown("host", address);
	free(address);
	return call.code;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
	Call call("cuMemcpyHtoDAsync_v2");
	if (call.code) return call.code;
	if (!containing(allocations, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
	void *target = (void *)(uintptr_t)to;
	if (containing(pinned, (uintptr_t)from, bytes)) {
		CUresult code = enqueue(call, stream, [=] { return memcpy(target, from, bytes), CUDA_SUCCESS; });
		if (!stream) stream = call.context->legacy;
		return !code && settings["eager_copies"] && !stream->capturing ? drain(stream) : code;
	}
	counts["pageable_copies"]++;
	if (forbid(call, stream)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	// Pageable memory is staged by the driver.
	std::vector<unsigned char> staged((const unsigned char *)from, (const unsigned char *)from + bytes);
	return enqueue(call, stream, [=] { return memcpy(target, staged.data(), bytes), CUDA_SUCCESS; });
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
	Call call("cuMemcpyDtoHAsync_v2");
	if (call.code) return call.code;
	if (!stream) stream = call.context->legacy;
	if (!containing(allocations, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
	const void *source = (const void *)(uintptr_t)from;
	Operation copy = [=] { return memcpy(to, source, bytes), CUDA_SUCCESS; };
	if (containing(pinned, (uintptr_t)to, bytes)) return enqueue(call, stream, copy);
	if (forbid(call, stream)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	CUresult code = enqueue(call, stream, copy);
	return code ? code : drain(stream);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
	Call call("cuMemcpyDtoDAsync_v2");
	if (call.code) return call.code;
	if (!containing(allocations, to, bytes) || !containing(allocations, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
	return enqueue(call, stream, [=] { return memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes), CUDA_SUCCESS; });
}

} // extern "C"

template <class T> static CUresult set(const char *name, CUdeviceptr to, T value, size_t count, CUstream stream) {
	Call call(name);
	if (call.code) return call.code;
	if (to % sizeof(T) || !containing(allocations, to, count * sizeof(T))) return CUDA_ERROR_INVALID_VALUE;
	return enqueue(call, stream, [=] {
		for (size_t i = 0; i < count; i++) ((T *)(uintptr_t)to)[i] = value;
		return CUDA_SUCCESS;
	});
}

extern "C" {

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
	return set("cuMemsetD8Async", to, value, count, stream);
}

CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
	return set("cuMemsetD16Async", to, value, count, stream);
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
	return set("cuMemsetD32Async", to, value, count, stream);
}

CUresult cuStreamCreate(CUstream *stream, unsigned) {
	Call call("cuStreamCreate");
	if (call.code) return call.code;
	*stream = new CUstream_st{call.context, {}, false, false};
	call.own("streams", *stream);
	call.context->streams.insert(*stream);
	return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream) {
	Call call("cuStreamDestroy_v2");
	if (call.failed()) return call.code;
	if (!call.context || !stream || !call.has(stream)) return call.code ? call.code : CUDA_ERROR_INVALID_HANDLE;
	if (!stream->capturing) drain(stream);
	call.context->streams.erase(stream);
	call.disown("streams", stream);
	delete stream;
	return call.code;
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext *context) {
	Call call("cuStreamGetCtx");
	if (call.code) return call.code;
	*context = call.context;
	if (!stream) return CUDA_SUCCESS;
	for (auto &p : primary)
		if (p.second->objects.count(stream)) return *context = p.second, CUDA_SUCCESS;
	return CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuStreamSynchronize(CUstream stream) {
	Call call("cuStreamSynchronize");
	if (call.code) return call.code;
	if (!stream) stream = call.context->legacy;
	if (!call.has(stream)) return CUDA_ERROR_INVALID_HANDLE;
	if (forbid(call, stream)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	counts["synchronized"]++;
	return drain(stream);
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
	Call call("cuStreamWaitEvent");
	if (call.code) return call.code;
	if (flags) return CUDA_ERROR_INVALID_VALUE;
	if (!call.has(event)) return CUDA_ERROR_INVALID_HANDLE;
	if (forbid(call, stream)) return CAPTURE_ISOLATION;
	// As on a device, an event that has not been recorded is not waited for, and one that is
	// recorded again later is waited for as it is now.
	CUstream of = event->stream;
	int64_t record = event->records;
	counts["ordered"]++;
	if (!event->recorded()) return CUDA_SUCCESS;
	return enqueue(call, stream, [=]() -> CUresult {
		if (event->executed >= record) return CUDA_SUCCESS;
		CUresult code = drain_until(of, [=] { return event->executed >= record; });
		if (!code && event->executed < record) die("a stream waits for an event that is never reached");
		return code;
	});
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
	Call call("cuStreamBeginCapture_v2");
	if (call.code) return call.code;
	if (!stream) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	if (!call.has(stream)) return CUDA_ERROR_INVALID_HANDLE;
	if (stream->capturing || mode != CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
	drain(stream);
	stream->capturing = true;
	stream->invalid = false;
	return call.context->lost;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
	Call call("cuStreamEndCapture");
	*graph = nullptr;
	if (!call.context || !stream || !call.has(stream) || !stream->capturing) return call.code ? call.code : CUDA_ERROR_INVALID_HANDLE;
	std::vector<Operation> operations(stream->queue.begin(), stream->queue.end());
	stream->queue.clear();
	stream->capturing = false;
	if (call.code) return call.code;
	if (stream->invalid) return CAPTURE_INVALIDATED;
	*graph = new CUgraph_st{call.context, std::move(operations)};
	call.own("graphs", *graph);
	return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned) {
	Call call("cuEventCreate");
	if (call.code) return call.code;
	*event = new CUevent_st{call.context, {}, nullptr, 0, 0};
	call.own("events", *event);
	return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) {
	Call call("cuEventDestroy_v2");
	if (call.failed()) return call.code;
	if (!call.context || !call.has(event)) return call.code ? call.code : CUDA_ERROR_INVALID_HANDLE;
	drain_all(call.context);
	call.disown("events", event);
	delete event;
	return call.code;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
	Call call("cuEventRecord");
	if (call.code) return call.code;
	if (!call.has(event)) return CUDA_ERROR_INVALID_HANDLE;
	if (!stream) stream = call.context->legacy;
	event->stream = stream;
	const int64_t record = ++event->records;
	return enqueue(call, stream, [=] {
		if (record < event->executed) return CUDA_SUCCESS; // recorded again on a stream that was ahead
		event->executed = record;
		event->time = Clock::now();
		return CUDA_SUCCESS;
	});
}

CUresult cuEventSynchronize(CUevent event) {
	Call call("cuEventSynchronize");
	if (call.code) return call.code;
	if (!call.has(event)) return CUDA_ERROR_INVALID_HANDLE;
	counts["synchronized"]++;
	if (event->done()) return call.context->lost;
	return drain_until(event->stream, [=] { return event->done(); });
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
	Call call("cuEventElapsedTime");
	if (call.code) return call.code;
	if (!call.has(from) || !call.has(to) || !from->recorded() || !to->recorded()) return CUDA_ERROR_INVALID_HANDLE;
	if (!from->done() || !to->done()) return CUDA_ERROR_NOT_READY;
	*milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
	return CUDA_SUCCESS;
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned options, int *option, void **value) {
	Call call("cuModuleLoadDataEx");
	if (call.code) return call.code;
	std::string text = (const char *)image;
	const char *problem = nullptr;
	if (settings["refuse_ptx"]) problem = "ptxas fatal : Unresolved extern function 'nothing'";
	else if (!begins_like_ptx(text)) problem = "ptxas fatal : Missing .version directive at start of file";
	if (!problem) {
		*module = new CUmod_st{call.context, text, {}};
		call.own("modules", *module);
		return CUDA_SUCCESS;
	}
	char *log = nullptr;
	size_t length = 0;
	for (unsigned i = 0; i < options; i++) {
		if (option[i] == CU_JIT_ERROR_LOG_BUFFER) log = (char *)value[i];
		if (option[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) length = (size_t)(uintptr_t)value[i];
	}
	if (log && length) snprintf(log, length, "%s", problem);
	return CUDA_ERROR_INVALID_PTX;
}

CUresult cuModuleUnload(CUmodule module) {
	Call call("cuModuleUnload");
	if (call.failed()) return call.code;
	if (!call.context || !call.has(module)) return call.code ? call.code : CUDA_ERROR_INVALID_HANDLE;
	drain_all(call.context);
	for (auto &f : module->functions) delete f.second;
	call.disown("modules", module);
	delete module;
	return call.code;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
	Call call("cuModuleGetFunction");
	if (call.code) return call.code;
	if (!call.has(module)) return CUDA_ERROR_INVALID_HANDLE;
	if (module->text.find(std::string(".entry ") + name + "(") == std::string::npos) return CUDA_ERROR_NOT_FOUND;
	const AflKernels *set = nullptr;
	for (const AflKernels *s : kernel_sets)
		if (s->bytes(name)) set = s;
	if (!set) die("the PTX has a kernel that the sources lack, or whose library is not loaded: generate or load it");
	CUfunction &f = module->functions[name];
	if (!f) f = new CUfunc_st{module, name, set, set->bytes(name)};
	*function = f;
	return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
	unsigned blockZ, unsigned shared, CUstream stream, void **parameters, void **extra) {
	Call call("cuLaunchKernel");
	if (call.code) return call.code;
	if (!gridX || gridX > 0x7fffffff || gridY != 1 || gridZ != 1 || blockX != AFL_THREADS || blockY != 1 || blockZ != 1 || shared || extra)
		return CUDA_ERROR_INVALID_VALUE;
	std::vector<unsigned char> a((const unsigned char *)parameters[0], (const unsigned char *)parameters[0] + function->bytes);
	std::string name = function->name;
	const AflKernels *set = function->set;
	counts["launches"]++;
	return enqueue(call, stream, [=] {
		const char *problem = set->run(name.c_str(), gridX, a.data());
		if (problem) fprintf(stderr, "emulated CUDA device: kernel %s: %s\n", name.c_str(), problem);
		return problem ? CUDA_ERROR_LAUNCH_FAILED : CUDA_SUCCESS;
	});
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
	Call call("cuGraphInstantiateWithFlags");
	if (call.code) return call.code;
	if (!call.has(graph)) return CUDA_ERROR_INVALID_HANDLE;
	if (flags) return CUDA_ERROR_INVALID_VALUE;
	*executable = new CUgraphExec_st{call.context, graph->operations};
	call.own("graph_executables", *executable);
	return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
	Call call("cuGraphLaunch");
	if (call.code) return call.code;
	if (!call.has(executable)) return CUDA_ERROR_INVALID_HANDLE;
	counts["graph_launches"]++;
	CUresult code = CUDA_SUCCESS;
	for (size_t i = 0; i < executable->operations.size() && !code; i++) code = enqueue(call, stream, executable->operations[i]);
	return code;
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
	Call call("cuGraphExecDestroy");
	if (call.failed()) return call.code;
	if (!call.context || !call.has(executable)) return call.code ? call.code : CUDA_ERROR_INVALID_HANDLE;
	call.disown("graph_executables", executable);
	delete executable;
	return call.code;
}

CUresult cuGraphDestroy(CUgraph graph) {
	Call call("cuGraphDestroy");
	if (call.failed()) return call.code;
	if (!call.context || !call.has(graph)) return call.code ? call.code : CUDA_ERROR_INVALID_HANDLE;
	call.disown("graphs", graph);
	delete graph;
	return call.code;
}

} // extern "C"

#include "cudnn.h"

extern "C" {

// The following functions are for tests and not part of the driver.

// emulator_add adds kernels.
void emulator_add(const AflKernels *set) {
	std::lock_guard<std::mutex> lock(mutex);
	kernel_sets.insert(set);
}

// emulator_reset restores the settings and removes faults.
void emulator_reset(void) {
	std::lock_guard<std::mutex> lock(mutex);
	settings = defaults;
	faults.clear();
}

// emulator_set changes a setting. It returns 0 if there is one of that name.
int emulator_set(const char *name, int64_t value) {
	std::lock_guard<std::mutex> lock(mutex);
	if (!settings.count(name)) return 1;
	settings[name] = value;
	return 0;
}

// emulator_fail makes the nth call of a function from now on return a code.
void emulator_fail(const char *function, int64_t nth, int code) {
	std::lock_guard<std::mutex> lock(mutex);
	faults[function] = Fault{nth, code};
}

// emulator_count returns a count: of existing "contexts", "streams", "modules", "events",
// "graphs", "graph_executables", "allocations" and their "bytes", "host" buffers and
// "pushed" contexts, "cudnn_handles" and "cudnn_descriptors"; of all "launches",
// "graph_launches", "cudnn_executed" and "allocated" memory so far, of calls that
// "synchronized" a stream or an event, of streams "ordered" after an event, and of
// "pageable_copies" to the device; or of "leaked" objects.
int64_t emulator_count(const char *name) {
	std::lock_guard<std::mutex> lock(mutex);
	auto found = counts.find(name);
	return found == counts.end() ? 0 : found->second;
}

} // extern "C"
