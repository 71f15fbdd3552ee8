//go:build cgo && linux && (amd64 || arm64)

#include "cudnn.h"

#include <dlfcn.h>
#include <string.h>

void *afl_library_open(const char *path, char **why) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	*why = NULL;
	if (!library) {
		const char *message = dlerror();
		*why = strdup(message ? message : "unknown error");
	}
	return library;
}

int afl_library_has(void *library, const char *symbol) { return dlsym(library, symbol) != NULL; }

const char *afl_cudnn_look_up(AflCudnn *t, void *library) {
	const char *missing = NULL;
#define AFL_LOOK_UP(result, name, parameters) \
	*(void **)&t->name = dlsym(library, #name); \
	if (!t->name && !missing) missing = #name;
	AFL_CUDNN_FUNCTIONS(AFL_LOOK_UP)
#undef AFL_LOOK_UP
	return missing;
}

size_t afl_cudnn_version(const AflCudnn *t) { return t->cudnnGetVersion(); }

const char *afl_cudnn_status(const AflCudnn *t, int status) { return t->cudnnGetErrorString(status); }

void afl_cudnn_message(const AflCudnn *t, char *message, size_t bytes) { t->cudnnGetLastErrorString(message, bytes); }

AflResult afl_cudnn_create(const AflCudnn *t) {
	AflResult r = {0};
	r.status = t->cudnnCreate(&r.pointer);
	return r;
}

int afl_cudnn_destroy(const AflCudnn *t, void *handle) { return t->cudnnDestroy(handle); }

int afl_cudnn_set_stream(const AflCudnn *t, void *handle, uintptr_t stream) { return t->cudnnSetStream(handle, (void *)stream); }

AflResult afl_cudnn_descriptor(const AflCudnn *t, int kind) {
	AflResult r = {0};
	r.status = t->cudnnBackendCreateDescriptor(kind, &r.pointer);
	return r;
}

int afl_cudnn_destroy_descriptor(const AflCudnn *t, void *descriptor) { return t->cudnnBackendDestroyDescriptor(descriptor); }

int afl_cudnn_set(const AflCudnn *t, void *descriptor, int name, int type, int64_t count, const void *elements) {
	return t->cudnnBackendSetAttribute(descriptor, name, type, count, elements);
}

int afl_cudnn_set_pointer(const AflCudnn *t, void *descriptor, int name, int type, void *pointer) {
	return t->cudnnBackendSetAttribute(descriptor, name, type, 1, &pointer);
}

AflResult afl_cudnn_get(const AflCudnn *t, void *descriptor, int name, int type, int64_t wanted, void *elements) {
	AflResult r = {0};
	r.status = t->cudnnBackendGetAttribute(descriptor, name, type, wanted, &r.count, elements);
	return r;
}

int afl_cudnn_finalize(const AflCudnn *t, void *descriptor) { return t->cudnnBackendFinalize(descriptor); }

int afl_cudnn_execute(const AflCudnn *t, void *handle, void *plan, const int64_t identifiers[3], const uintptr_t memory[3], uintptr_t workspace) {
	void *pack, *pointers[3] = {(void *)memory[0], (void *)memory[1], (void *)memory[2]}, *scratch = (void *)workspace;
	int status = t->cudnnBackendCreateDescriptor(AFL_PACK, &pack);
	if (status) return status;
	status = t->cudnnBackendSetAttribute(pack, AFL_PACK_IDENTIFIERS, AFL_TYPE_INT64, 3, identifiers);
	if (!status) status = t->cudnnBackendSetAttribute(pack, AFL_PACK_POINTERS, AFL_TYPE_POINTER, 3, pointers);
	if (!status) status = t->cudnnBackendSetAttribute(pack, AFL_PACK_WORKSPACE, AFL_TYPE_POINTER, 1, &scratch);
	if (!status) status = t->cudnnBackendFinalize(pack);
	if (!status) status = t->cudnnBackendExecute(handle, plan, pack);
	int destroyed = t->cudnnBackendDestroyDescriptor(pack);
	return status ? status : destroyed;
}
