// memory.h declares the allocation of buffers.

#ifndef AFL_ONEDNN_MEMORY_H
#define AFL_ONEDNN_MEMORY_H

#include <stddef.h>

// memory_alloc returns memory of a multiple of 64 bytes, aligned to 64 bytes, or NULL; free
// releases it. The kernel is asked to use huge pages for large blocks: filters write to
// hundreds of streams at once, which are more 4 KiB pages than a processor's TLB has entries.
void *memory_alloc(size_t bytes);

#endif
