// Included at the end of the driver: cuDNN without a GPU. It has the functions of the graph
// API that convolutions need, computes them by definition on the driver's streams, and is
// strict about misuse:
//
//   - attributes are of their descriptor's kind, type and number, set before it is final;
//     descriptors that others refer to exist, are of the right kind and final;
//   - tensors are in channels-last order, and sizes of inputs and results belong together;
//   - a call needs a current context, that of the handle's stream;
//   - pointers of a variant pack are one for each tensor, aligned, in device memory that is
//     large enough, and do not overlap; the workspace is poisoned before and after its use;
//   - handles and descriptors are counted until they are destroyed.
//
// The heuristic offers engines that a caller has to leave out, each of which computes
// something else than an acceptable one: see `engines`.

namespace {

enum CudnnStatus {
	CUDNN_SUCCESS = 0, CUDNN_NOT_INITIALIZED = 1001, CUDNN_BAD_PARAM = 2000, CUDNN_NULL_POINTER = 2002, CUDNN_MISALIGNED = 2003,
	CUDNN_NOT_FINALIZED = 2004, CUDNN_SIZE_INSUFFICIENT = 2006, CUDNN_SHAPE_MISMATCH = 2008, CUDNN_DUPLICATED = 2009,
	CUDNN_ATTRIBUTE_TYPE = 2010, CUDNN_DESCRIPTOR_TYPE = 2012, CUDNN_NOT_SUPPORTED = 3000, CUDNN_EXECUTION_FAILED = 5000
};
enum CudnnType {
	TYPE_HANDLE = 0, TYPE_DATA = 1, TYPE_INT64 = 3, TYPE_FLOAT = 4, TYPE_POINTER = 6, TYPE_MODE = 7, TYPE_HEURISTIC = 8, TYPE_NOTE = 11,
	TYPE_DESCRIPTOR = 15
};
enum CudnnKind {
	KIND_CONVOLUTION = 1, KIND_ENGINE = 2, KIND_CONFIGURATION = 3, KIND_HEURISTIC = 4, KIND_PLAN = 5, KIND_FORWARD = 10,
	KIND_BACKWARD_FILTER = 11, KIND_BACKWARD_DATA = 12, KIND_GRAPH = 15, KIND_PACK = 16, KIND_TENSOR = 17
};
enum CudnnNote { NOTE_TENSOR_CORE, NOTE_DOWN_CONVERT, NOTE_REDUCED_REDUCTION, NOTE_FFT, NOTE_NONDETERMINISTIC };

// An engine of the heuristic, in its order. Those of mode A come first, then the fallback.
struct Engine {
	int64_t index;
	std::vector<int> notes;
	int64_t workspace;
	bool supported; // its plans can be made
	float factor;   // of the result
	bool fallback;
};
const std::vector<Engine> engines = {
	{57, {NOTE_TENSOR_CORE, NOTE_NONDETERMINISTIC}, 0, true, 2, false},
	{38, {NOTE_TENSOR_CORE, NOTE_DOWN_CONVERT}, 4096, true, 3, false},
	{4, {NOTE_FFT}, (1ll << 30) + 1, true, 5, false},
	{36, {NOTE_TENSOR_CORE}, 1 << 16, true, 1.001f, false},
	{11, {NOTE_REDUCED_REDUCTION}, 0, true, 7, false},
	{21, {}, 0, false, 11, false},
	{0, {}, 1000, true, 1, false},
	{2, {}, 0, true, 13, false},
	{1, {NOTE_NONDETERMINISTIC}, 0, true, 17, true},
	{6, {}, 0, true, 1, true},
};

struct Attribute {
	int type;
	int64_t least, most; // number of elements
	bool required;
	int kind; // of the descriptors, 0 for any of several
};

// operation returns the attributes of a convolution whose first one has the number `base`.
std::map<int, Attribute> operation(int base) {
	return {{base, {TYPE_FLOAT, 1, 1, true, 0}}, {base + 1, {TYPE_FLOAT, 1, 1, true, 0}}, {base + 2, {TYPE_DESCRIPTOR, 1, 1, true, KIND_CONVOLUTION}},
		{base + 3, {TYPE_DESCRIPTOR, 1, 1, true, KIND_TENSOR}}, {base + 4, {TYPE_DESCRIPTOR, 1, 1, true, KIND_TENSOR}},
		{base + 5, {TYPE_DESCRIPTOR, 1, 1, true, KIND_TENSOR}}};
}

const std::map<int, std::map<int, Attribute>> attributes = {
	{KIND_TENSOR, {{900, {TYPE_INT64, 1, 1, true, 0}}, {901, {TYPE_DATA, 1, 1, true, 0}}, {902, {TYPE_INT64, 1, 8, true, 0}},
		{903, {TYPE_INT64, 1, 8, true, 0}}, {906, {TYPE_INT64, 1, 1, true, 0}}}},
	{KIND_CONVOLUTION, {{100, {TYPE_DATA, 1, 1, true, 0}}, {101, {TYPE_MODE, 1, 1, true, 0}}, {102, {TYPE_INT64, 1, 3, true, 0}},
		{103, {TYPE_INT64, 1, 3, true, 0}}, {104, {TYPE_INT64, 1, 3, true, 0}}, {105, {TYPE_INT64, 1, 3, true, 0}}, {106, {TYPE_INT64, 1, 1, true, 0}}}},
	{KIND_FORWARD, operation(700)}, {KIND_BACKWARD_DATA, operation(706)}, {KIND_BACKWARD_FILTER, operation(712)},
	{KIND_GRAPH, {{800, {TYPE_HANDLE, 1, 1, true, 0}}, {801, {TYPE_DESCRIPTOR, 1, 1, true, 0}}}},
	{KIND_HEURISTIC, {{200, {TYPE_HEURISTIC, 1, 1, true, 0}}, {201, {TYPE_DESCRIPTOR, 1, 1, true, KIND_GRAPH}}}},
	{KIND_ENGINE, {}}, {KIND_CONFIGURATION, {}}, // filled in by queries
	{KIND_PLAN, {{400, {TYPE_HANDLE, 1, 1, true, 0}}, {401, {TYPE_DESCRIPTOR, 1, 1, true, KIND_CONFIGURATION}}}},
	{KIND_PACK, {{1000, {TYPE_INT64, 1, 8, true, 0}}, {1001, {TYPE_POINTER, 1, 8, true, 0}}, {1003, {TYPE_POINTER, 1, 1, true, 0}}}},
};

size_t width_of(int type) {
	switch (type) {
	case TYPE_DATA: case TYPE_FLOAT: case TYPE_MODE: case TYPE_HEURISTIC: case TYPE_NOTE: return 4;
	default: return 8;
	}
}

struct Value {
	int64_t count;
	std::vector<unsigned char> bytes;
};

struct Descriptor {
	int kind;
	bool final = false;
	std::map<int, Value> values;
	const Engine *engine = nullptr;   // of an engine or configuration
	Descriptor *graph = nullptr;      // that it is for

	template <class T> const T *all(int name) const { return (const T *)values.at(name).bytes.data(); }
	template <class T> T one(int name) const { return *all<T>(name); }
	int64_t count(int name) const { auto v = values.find(name); return v == values.end() ? 0 : v->second.count; }
};

struct Handle {
	CUcontext context;
	CUstream stream;
};

std::set<Descriptor *> descriptors;
std::set<Handle *> handles;
thread_local std::string cudnn_message;

int cudnn_fail(int status, std::string why) {
	cudnn_message = std::move(why);
	return status;
}

Descriptor *descriptor(const void *p) { return descriptors.count((Descriptor *)p) ? (Descriptor *)p : nullptr; }

// injected returns the code of a fault of a function, or 0.
int injected(const char *name) {
	auto fault = faults.find(name);
	if (fault == faults.end() || --fault->second.after > 0) return 0;
	const int code = fault->second.code;
	faults.erase(fault);
	return cudnn_fail(code, "injected");
}

// tensors returns x, w and y of an operation, and its first attribute's number in base.
void tensors(const Descriptor *op, int &base, Descriptor *(&t)[3]) {
	base = op->kind == KIND_FORWARD ? 700 : op->kind == KIND_BACKWARD_DATA ? 706 : 712;
	Descriptor *a = op->one<Descriptor *>(base + 3), *b = op->one<Descriptor *>(base + 4);
	t[0] = b, t[1] = a, t[2] = op->one<Descriptor *>(base + 5); // w or dw first, then x or dx
}

int finalize_tensor(const Descriptor *d) {
	const int64_t rank = d->count(902), align = d->one<int64_t>(900);
	if (d->count(903) != rank || rank != 5) return cudnn_fail(CUDNN_BAD_PARAM, "tensor: 5 dimensions and strides");
	if (align < 1 || (align & (align - 1)) || d->one<int>(901) != 0) return cudnn_fail(CUDNN_BAD_PARAM, "tensor: alignment or type");
	const int64_t *size = d->all<int64_t>(902), *stride = d->all<int64_t>(903);
	int64_t next = size[1];
	bool last = stride[1] == 1;
	for (int i = 4; i >= 2; i--) {
		last = last && stride[i] == next;
		next *= size[i];
	}
	for (int i = 0; i < 5; i++)
		if (size[i] < 1) return cudnn_fail(CUDNN_BAD_PARAM, "tensor: dimensions");
	return last && stride[0] == next ? CUDNN_SUCCESS : cudnn_fail(CUDNN_NOT_SUPPORTED, "tensor: not in channels-last order");
}

int finalize_convolution(const Descriptor *d) {
	const int64_t dims = d->one<int64_t>(106);
	for (int name : {102, 103, 104, 105})
		if (d->count(name) != dims) return cudnn_fail(CUDNN_BAD_PARAM, "convolution: spatial dimensions");
	if (d->one<int>(100) != 0 || d->one<int>(101) != 1) return cudnn_fail(CUDNN_BAD_PARAM, "convolution: float and cross-correlation are supported");
	return CUDNN_SUCCESS;
}

int finalize_operation(const Descriptor *d) {
	int base;
	Descriptor *t[3];
	tensors(d, base, t);
	if (d->one<float>(base) != 1 || d->one<float>(base + 1) != 0) return cudnn_fail(CUDNN_NOT_SUPPORTED, "operation: alpha 1 and beta 0 are supported");
	const Descriptor *c = d->one<Descriptor *>(base + 2);
	const int64_t *x = t[0]->all<int64_t>(902), *w = t[1]->all<int64_t>(902), *y = t[2]->all<int64_t>(902);
	bool fits = c->one<int64_t>(106) == 3 && x[0] == y[0] && x[1] == w[1] && w[0] == y[1];
	for (int i = 0; i < 3 && fits; i++) {
		const int64_t reach = c->all<int64_t>(102)[i] * (w[2 + i] - 1) + 1, padded = x[2 + i] + c->all<int64_t>(105)[i] + c->all<int64_t>(104)[i];
		fits = padded >= reach && y[2 + i] == (padded - reach) / c->all<int64_t>(103)[i] + 1;
	}
	std::set<int64_t> ids;
	for (auto p : t) ids.insert(p->one<int64_t>(906));
	if (ids.size() != 3) return cudnn_fail(CUDNN_DUPLICATED, "operation: identifiers");
	return fits ? CUDNN_SUCCESS : cudnn_fail(CUDNN_SHAPE_MISMATCH, "operation: sizes");
}

// offer returns the engines of a mode of the heuristic.
std::vector<const Engine *> offer(int mode) {
	std::vector<const Engine *> all;
	for (auto &e : engines)
		if (e.fallback == (mode == 2) && (!settings["cudnn_engines"] || e.index == settings["cudnn_engines"] - 1)) all.push_back(&e);
	return all;
}

int64_t bytes_of(const Descriptor *t) {
	int64_t n = sizeof(float);
	for (int i = 0; i < 5; i++) n *= t->all<int64_t>(902)[i];
	return n;
}

// Convolution is what an execution computes: copies, as descriptors may be destroyed.
struct Convolution {
	int kind;
	int64_t x[5], w[5], y[5], stride[3], padding[3], dilation[3];
	float *X, *W, *Y;
	float factor;

	CUresult run() const {
		float *result = kind == KIND_FORWARD ? Y : kind == KIND_BACKWARD_DATA ? X : W;
		const int64_t *size = kind == KIND_FORWARD ? y : kind == KIND_BACKWARD_DATA ? x : w;
		std::vector<double> sum(size[0] * size[1] * size[2] * size[3] * size[4]);
		auto at = [](const int64_t *d, int64_t n, int64_t c, int64_t i, int64_t j, int64_t k) { return (((n * d[2] + i) * d[3] + j) * d[4] + k) * d[1] + c; };
		for (int64_t n = 0; n < y[0]; n++)
			for (int64_t i = 0; i < y[2]; i++)
				for (int64_t j = 0; j < y[3]; j++)
					for (int64_t k = 0; k < y[4]; k++)
						for (int64_t a = 0; a < w[2]; a++)
							for (int64_t b = 0; b < w[3]; b++)
								for (int64_t c = 0; c < w[4]; c++) {
									const int64_t p = i * stride[0] - padding[0] + a * dilation[0], q = j * stride[1] - padding[1] + b * dilation[1],
												  r = k * stride[2] - padding[2] + c * dilation[2];
									if (p < 0 || q < 0 || r < 0 || p >= x[2] || q >= x[3] || r >= x[4]) continue;
									for (int64_t row = 0; row < y[1]; row++)
										for (int64_t column = 0; column < x[1]; column++) {
											const int64_t ix = at(x, n, column, p, q, r), iw = at(w, row, column, a, b, c), iy = at(y, n, row, i, j, k);
											if (kind == KIND_FORWARD) sum[iy] += (double)X[ix] * W[iw];
											else if (kind == KIND_BACKWARD_DATA) sum[ix] += (double)Y[iy] * W[iw];
											else sum[iw] += (double)X[ix] * Y[iy];
										}
								}
		for (size_t i = 0; i < sum.size(); i++) result[i] = (float)sum[i] * factor;
		return CUDA_SUCCESS;
	}
};

} // namespace

extern "C" {

size_t cudnnGetVersion(void) {
	std::lock_guard<std::mutex> lock(mutex);
	return (size_t)settings["cudnn_version"];
}

const char *cudnnGetErrorString(int status) {
	return status == CUDNN_SUCCESS ? "CUDNN_STATUS_SUCCESS" : status < 2000 ? "CUDNN_STATUS_NOT_INITIALIZED" : status < 3000 ? "CUDNN_STATUS_BAD_PARAM"
		: status < 4000 ? "CUDNN_STATUS_NOT_SUPPORTED" : status < 5000 ? "CUDNN_STATUS_INTERNAL_ERROR" : "CUDNN_STATUS_EXECUTION_FAILED";
}

void cudnnGetLastErrorString(char *message, size_t bytes) { snprintf(message, bytes, "%s", cudnn_message.c_str()); }

// The library that cuDNN needs besides.
size_t cublasLtGetVersion(void) { return 130000; }

int cudnnCreate(void **handle) {
	std::lock_guard<std::mutex> lock(mutex);
	if (int code = injected("cudnnCreate")) return code;
	if (current.empty()) return cudnn_fail(CUDNN_NOT_INITIALIZED, "no current context");
	auto *h = new Handle{current.back(), nullptr};
	handles.insert(h);
	counts["cudnn_handles"]++;
	*handle = h;
	return CUDNN_SUCCESS;
}

int cudnnDestroy(void *handle) {
	std::lock_guard<std::mutex> lock(mutex);
	auto *h = (Handle *)handle;
	if (!handles.count(h)) return cudnn_fail(CUDNN_NULL_POINTER, "no handle");
	if (current.empty() || current.back() != h->context) return cudnn_fail(CUDNN_BAD_PARAM, "destroyed in another context");
	handles.erase(h);
	counts["cudnn_handles"]--;
	delete h;
	return CUDNN_SUCCESS;
}

int cudnnSetStream(void *handle, void *stream) {
	std::lock_guard<std::mutex> lock(mutex);
	if (int code = injected("cudnnSetStream")) return code;
	auto *h = (Handle *)handle;
	if (!handles.count(h)) return cudnn_fail(CUDNN_NULL_POINTER, "no handle");
	if (stream && !h->context->objects.count(stream)) return cudnn_fail(CUDNN_BAD_PARAM, "a stream of another context");
	h->stream = (CUstream)stream;
	return CUDNN_SUCCESS;
}

int cudnnBackendCreateDescriptor(int kind, void **d) {
	std::lock_guard<std::mutex> lock(mutex);
	if (int code = injected("cudnnBackendCreateDescriptor")) return code;
	if (!attributes.count(kind)) return cudnn_fail(CUDNN_NOT_SUPPORTED, "kind of descriptor");
	auto *x = new Descriptor{kind};
	descriptors.insert(x);
	counts["cudnn_descriptors"]++;
	*d = x;
	return CUDNN_SUCCESS;
}

int cudnnBackendDestroyDescriptor(void *d) {
	std::lock_guard<std::mutex> lock(mutex);
	if (!descriptor(d)) return cudnn_fail(CUDNN_NULL_POINTER, "no descriptor");
	descriptors.erase((Descriptor *)d);
	counts["cudnn_descriptors"]--;
	delete (Descriptor *)d;
	return CUDNN_SUCCESS;
}

int cudnnBackendSetAttribute(void *p, int name, int type, int64_t count, const void *elements) {
	std::lock_guard<std::mutex> lock(mutex);
	if (int code = injected("cudnnBackendSetAttribute")) return code;
	Descriptor *d = descriptor(p);
	if (!d || !elements) return cudnn_fail(CUDNN_NULL_POINTER, "no descriptor or elements");
	if (d->final) return cudnn_fail(CUDNN_BAD_PARAM, "the descriptor is final");
	auto &known = attributes.at(d->kind);
	auto a = known.find(name);
	if (a == known.end()) return cudnn_fail(CUDNN_BAD_PARAM, "the descriptor has no attribute " + std::to_string(name));
	if (a->second.type != type) return cudnn_fail(CUDNN_ATTRIBUTE_TYPE, "type of attribute " + std::to_string(name));
	if (count < a->second.least || count > a->second.most) return cudnn_fail(CUDNN_BAD_PARAM, "elements of attribute " + std::to_string(name));
	for (int64_t i = 0; type == TYPE_DESCRIPTOR && i < count; i++) {
		Descriptor *part = descriptor(((void *const *)elements)[i]);
		if (!part) return cudnn_fail(CUDNN_NULL_POINTER, "no descriptor in attribute " + std::to_string(name));
		if (!part->final) return cudnn_fail(CUDNN_NOT_FINALIZED, "attribute " + std::to_string(name) + " is not final");
		if (a->second.kind && part->kind != a->second.kind) return cudnn_fail(CUDNN_DESCRIPTOR_TYPE, "kind of attribute " + std::to_string(name));
	}
	if (type == TYPE_HANDLE && !handles.count(*(Handle *const *)elements)) return cudnn_fail(CUDNN_NULL_POINTER, "no handle");
	Value v{count, {}};
	v.bytes.assign((const unsigned char *)elements, (const unsigned char *)elements + width_of(type) * count);
	d->values[name] = std::move(v);
	return CUDNN_SUCCESS;
}

int cudnnBackendFinalize(void *p) {
	std::lock_guard<std::mutex> lock(mutex);
	if (int code = injected("cudnnBackendFinalize")) return code;
	Descriptor *d = descriptor(p);
	if (!d) return cudnn_fail(CUDNN_NULL_POINTER, "no descriptor");
	if (d->final || d->kind == KIND_ENGINE || d->kind == KIND_CONFIGURATION) return cudnn_fail(CUDNN_BAD_PARAM, "made by a query, or final already");
	for (auto &[name, a] : attributes.at(d->kind))
		if (a.required && !d->values.count(name)) return cudnn_fail(CUDNN_BAD_PARAM, "attribute " + std::to_string(name) + " is missing");
	int code = CUDNN_SUCCESS;
	switch (d->kind) {
	case KIND_TENSOR: code = finalize_tensor(d); break;
	case KIND_CONVOLUTION: code = finalize_convolution(d); break;
	case KIND_FORWARD: case KIND_BACKWARD_DATA: case KIND_BACKWARD_FILTER: code = finalize_operation(d); break;
	case KIND_PLAN:
		if (!d->one<Descriptor *>(401)->engine->supported) code = cudnn_fail(CUDNN_NOT_SUPPORTED, "the engine does not support the operation");
		break;
	case KIND_PACK:
		if (d->count(1000) != d->count(1001)) code = cudnn_fail(CUDNN_SIZE_INSUFFICIENT, "identifiers and pointers");
	}
	d->final = code == CUDNN_SUCCESS;
	return code;
}

int cudnnBackendGetAttribute(void *p, int name, int type, int64_t wanted, int64_t *count, void *elements) {
	std::lock_guard<std::mutex> lock(mutex);
	if (int code = injected("cudnnBackendGetAttribute")) return code;
	Descriptor *d = descriptor(p);
	if (!d || !count) return cudnn_fail(CUDNN_NULL_POINTER, "no descriptor or count");
	if (!d->final) return cudnn_fail(CUDNN_NOT_INITIALIZED, "not final");
	auto number = [&](int64_t x) {
		if (type != TYPE_INT64) return cudnn_fail(CUDNN_ATTRIBUTE_TYPE, "type of attribute");
		*count = 1;
		if (wanted >= 1) *(int64_t *)elements = x;
		return (int)CUDNN_SUCCESS;
	};
	if (d->kind == KIND_HEURISTIC && name == 202) {
		if (type != TYPE_DESCRIPTOR) return cudnn_fail(CUDNN_ATTRIBUTE_TYPE, "type of attribute 202");
		auto all = offer(d->one<int>(200));
		*count = (int64_t)all.size();
		for (int64_t i = 0; i < wanted && i < *count; i++) {
			Descriptor *c = descriptor(((void **)elements)[i]);
			if (!c || c->kind != KIND_CONFIGURATION) return cudnn_fail(CUDNN_DESCRIPTOR_TYPE, "results of a heuristic are engine configurations");
			c->engine = all[i];
			c->graph = d->one<Descriptor *>(201);
			c->final = true;
		}
		return CUDNN_SUCCESS;
	}
	if (d->kind == KIND_CONFIGURATION && name == 300) {
		Descriptor *e = wanted < 1 ? nullptr : descriptor(*(void **)elements);
		if (type != TYPE_DESCRIPTOR || !e || e->kind != KIND_ENGINE) return cudnn_fail(CUDNN_DESCRIPTOR_TYPE, "an engine is wanted");
		e->engine = d->engine;
		e->graph = d->graph;
		e->final = true;
		*count = 1;
		return CUDNN_SUCCESS;
	}
	if (d->kind == KIND_ENGINE && name == 1301) return number(d->engine->index);
	if (d->kind == KIND_ENGINE && name == 1303) {
		if (type != TYPE_NOTE) return cudnn_fail(CUDNN_ATTRIBUTE_TYPE, "type of attribute 1303");
		*count = (int64_t)d->engine->notes.size();
		for (int64_t i = 0; i < wanted && i < *count; i++) ((int *)elements)[i] = d->engine->notes[i];
		return CUDNN_SUCCESS;
	}
	if (d->kind == KIND_PLAN && name == 402) return number(d->one<Descriptor *>(401)->engine->workspace);
	return cudnn_fail(CUDNN_NOT_SUPPORTED, "attribute " + std::to_string(name));
}

int cudnnBackendExecute(void *handle, void *plan_, void *pack_) {
	std::lock_guard<std::mutex> lock(mutex);
	if (int code = injected("cudnnBackendExecute")) return code;
	auto *h = (Handle *)handle;
	Descriptor *plan = descriptor(plan_), *pack = descriptor(pack_);
	if (!handles.count(h) || !plan || !pack) return cudnn_fail(CUDNN_NULL_POINTER, "no handle, plan or pack");
	if (plan->kind != KIND_PLAN || pack->kind != KIND_PACK) return cudnn_fail(CUDNN_DESCRIPTOR_TYPE, "a plan and a variant pack are wanted");
	if (!plan->final || !pack->final) return cudnn_fail(CUDNN_NOT_FINALIZED, "not final");
	if (plan->one<Handle *>(400) != h) return cudnn_fail(CUDNN_BAD_PARAM, "a plan of another handle");
	if (current.empty() || current.back() != h->context) return cudnn_fail(CUDNN_BAD_PARAM, "the handle's context is not current");
	const Descriptor *configuration = descriptor(plan->one<Descriptor *>(401)), *graph = configuration ? descriptor(configuration->graph) : nullptr,
					 *op = graph ? descriptor(graph->one<Descriptor *>(801)) : nullptr;
	if (!op) return cudnn_fail(CUDNN_EXECUTION_FAILED, "a descriptor of the plan is gone");
	const Engine &engine = *configuration->engine;
	int base;
	Descriptor *t[3];
	tensors(op, base, t);
	if (!descriptor(t[0]) || !descriptor(t[1]) || !descriptor(t[2]) || !descriptor(op->one<void *>(base + 2)))
		return cudnn_fail(CUDNN_EXECUTION_FAILED, "a descriptor of the plan is gone");
	struct Range {
		uintptr_t from, to;
	};
	std::vector<Range> ranges;
	auto take = [&](uintptr_t at, int64_t bytes) {
		if (!containing(allocations, at, (size_t)bytes)) return false;
		for (auto &r : ranges)
			if (at < r.to && r.from < at + bytes) return false;
		ranges.push_back({at, at + (uintptr_t)bytes});
		return true;
	};
	float *memory[3] = {};
	if (pack->count(1000) != 3) return cudnn_fail(CUDNN_BAD_PARAM, "identifiers: three are wanted");
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 3; k++) {
			if (pack->all<int64_t>(1000)[k] != t[i]->one<int64_t>(906)) continue;
			if (memory[i]) return cudnn_fail(CUDNN_DUPLICATED, "identifiers");
			memory[i] = pack->all<float *>(1001)[k];
		}
		const uintptr_t at = (uintptr_t)memory[i];
		if (!at) return cudnn_fail(CUDNN_BAD_PARAM, "no pointer for a tensor");
		if (at % (uintptr_t)t[i]->one<int64_t>(900)) return cudnn_fail(CUDNN_MISALIGNED, "pointer of a tensor");
		if (!take(at, bytes_of(t[i]))) return cudnn_fail(CUDNN_BAD_PARAM, "a tensor outside device memory or over another one");
	}
	auto *workspace = pack->one<unsigned char *>(1003);
	const int64_t space = engine.workspace;
	if (space && !take((uintptr_t)workspace, space)) return cudnn_fail(CUDNN_BAD_PARAM, "workspace outside device memory or over a tensor");
	Convolution c{};
	const Descriptor *shape = op->one<Descriptor *>(base + 2);
	c.kind = op->kind;
	memcpy(c.x, t[0]->all<int64_t>(902), sizeof c.x);
	memcpy(c.w, t[1]->all<int64_t>(902), sizeof c.w);
	memcpy(c.y, t[2]->all<int64_t>(902), sizeof c.y);
	memcpy(c.dilation, shape->all<int64_t>(102), sizeof c.dilation);
	memcpy(c.stride, shape->all<int64_t>(103), sizeof c.stride);
	memcpy(c.padding, shape->all<int64_t>(105), sizeof c.padding);
	c.X = memory[0], c.W = memory[1], c.Y = memory[2];
	c.factor = engine.factor * (settings["cudnn_wrong"] ? 1.5f : 1);
	if (h->stream && !h->context->objects.count(h->stream)) return cudnn_fail(CUDNN_EXECUTION_FAILED, "the stream is gone");
	CUstream stream = h->stream ? h->stream : h->context->legacy;
	stream->queue.push_back([=] {
		if (space) memset(workspace, poison, (size_t)space);
		const CUresult code = c.run();
		if (space) memset(workspace, guard, (size_t)space);
		return code;
	});
	counts["cudnn_executed"]++;
	return CUDNN_SUCCESS;
}

} // extern "C"
