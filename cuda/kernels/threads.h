// The size of a block, which the kernels and the host share. Plain C.
#ifndef AFL_THREADS_H
#define AFL_THREADS_H

enum { AFL_THREADS = 256 }; // per block

#endif
