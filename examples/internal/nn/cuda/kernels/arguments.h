// The parameters of the kernels of all operations but convolutions. Plain C, included by the
// kernels, their CPU emulation and the Go side (cgo), so that the three cannot disagree.
//
// Volumes are in channels-last order, N×X×Y×Z×C: `rows` are the voxels of all samples, each of
// C adjacent values.
#ifndef AFL_NN_ARGUMENTS_H
#define AFL_NN_ARGUMENTS_H

#include <stdint.h>

// AflElementwise: y[i] from a[i] and b[i] for i < count.
typedef struct AflElementwise {
	int64_t count;
	const float *a, *b;
	float *y;
} AflElementwise;

// AflLayout: conversion between row-major order, N×C×voxels, and channels-last order.
typedef struct AflLayout {
	int64_t samples, channels, voxels;
	const float *from;
	float *to;
} AflLayout;

// AflRows: sums over the rows of a volume by channel. Block b adds up the channels
// [256·t, 256·(t+1)) of the rows [chunk·j, chunk·(j+1)) of sample n, where
// b = (n·chunks + j)·tiles + t.
typedef struct AflRows {
	int64_t samples, voxels, channels;
	int64_t chunk, chunks, tiles;
	const float *x, *g;
	double *partials; // samples × chunks × channels × sums
	float *y;         // channels
} AflRows;

#endif
