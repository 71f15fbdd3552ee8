// Package edt computes exact Euclidean distances in binary volumes: from the
// voxels of one mask to the nearest of another (see [Grid.Nearest]), and the
// distance transform of a whole volume (see [Squared]).
//
// Masks are bit sets, 64 voxels of a row in a word, so that most operations
// process 64 voxels at once.
//
// The transform is separable: three sweeps, one along each axis, solve
// one-dimensional problems in time linear in the length of the line. The first
// sweep counts steps along the rows; the other two take the lower envelope of
// parabolas.
//
// The squared distance of a voxel and a site is
//
//	(columns·spacing₂)² + spacing₁²·rows² + spacing₀²·slices²
//
// each operation rounded to float64, from left to right. Every method returns the
// least of these numbers over all sites, so that the bits of a result do not depend
// on which method found it.
//
//   - P. F. Felzenszwalb and D. P. Huttenlocher, "Distance Transforms of Sampled
//     Functions", Theory of Computing 8 (2012) 415–428.
//   - A. Meijster, J. B. T. M. Roerdink and W. H. Hesselink, "A General Algorithm
//     for Computing Distance Transforms in Linear Time", ISMM 2000.
package edt
