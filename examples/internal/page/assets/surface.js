// Surfaces of masks: surface nets (Gibson 1998) made smooth by Taubin's filter (1995), like
// those of the figure of the run.

// surfaceOf returns the triangles around the voxels of a mask that are not 0. Voxel (i,j,k) is
// at (i·dims[1]+j)·dims[2]+k and its center at (i,j,k)·spacing. The result holds position and
// outward normal of each vertex, six numbers, and three indices for each triangle.
function surfaceOf(mask, dims, spacing) {
  const lo = [...dims], hi = [-1, -1, -1];
  for (let i = 0, n = 0; i < dims[0]; i++) for (let j = 0; j < dims[1]; j++) for (let k = 0; k < dims[2]; k++, n++) {
    if (!mask[n]) continue;
    if (i < lo[0]) lo[0] = i; if (i > hi[0]) hi[0] = i;
    if (j < lo[1]) lo[1] = j; if (j > hi[1]) hi[1] = j;
    if (k < lo[2]) lo[2] = k; if (k > hi[2]) hi[2] = k;
  }
  if (hi[0] < 0) return { vertices: new Float32Array(0), triangles: new Uint32Array(0) };

  // A cell lies between eight voxels; the cells of a box that extends the mask by one voxel
  // begin at voxel lo−1.
  const size = [0, 1, 2].map(a => hi[a] - lo[a] + 2), stride = [size[1] * size[2], size[2], 1];
  const voxel = (i, j, k) => (i < 0 || j < 0 || k < 0 || i >= dims[0] || j >= dims[1] || k >= dims[2] ? 0 : mask[(i * dims[1] + j) * dims[2] + k] ? 1 : 0);
  const cells = size[0] * size[1] * size[2], corners = new Uint8Array(cells), vertex = new Int32Array(cells).fill(-1);
  let at = [], center = [];
  for (let i = 0, cell = 0; i < size[0]; i++) for (let j = 0; j < size[1]; j++) for (let k = 0; k < size[2]; k++, cell++) {
    const p = [lo[0] - 1 + i, lo[1] - 1 + j, lo[2] - 1 + k];
    let bits = 0;
    for (let c = 0; c < 8; c++) bits |= voxel(p[0] + (c & 1), p[1] + (c >> 1 & 1), p[2] + (c >> 2)) << c;
    corners[cell] = bits;
    if (bits === 0 || bits === 255) continue;
    const sum = [0, 0, 0];
    let crossed = 0;
    for (let c = 0; c < 8; c++) for (let a = 0; a < 3; a++) {
      const d = c | 1 << a;
      if (d === c || (bits >> c & 1) === (bits >> d & 1)) continue;
      for (let b = 0; b < 3; b++) sum[b] += b === a ? 0.5 : c >> b & 1;
      crossed++;
    }
    vertex[cell] = at.length / 3;
    for (let a = 0; a < 3; a++) { at.push(p[a] + sum[a] / crossed); center.push(p[a] + 0.5); }
  }

  // One quadrilateral between each voxel of the mask and each neighbor that is not: around the
  // edge of a cell from its last corner against an axis.
  const quads = [];
  for (let cell = 0; cell < cells; cell++) for (let a = 0; a < 3; a++) {
    const inside = corners[cell] >> 7 & 1, below = corners[cell] >> (7 ^ 1 << a) & 1;
    if (inside === below) continue;
    const u = stride[(a + 1) % 3], v = stride[(a + 2) % 3];
    const quad = [cell, cell + u, cell + u + v, cell + v].map(c => vertex[c]);
    quads.push(...(inside ? [quad[0], quad[3], quad[2], quad[1]] : quad));
  }
  at = Float32Array.from(at);
  smooth(at, center, quads);

  const n = at.length / 3, vertices = new Float32Array(6 * n), triangles = new Uint32Array(quads.length / 4 * 6);
  for (let i = 0; i < n; i++) for (let a = 0; a < 3; a++) vertices[6 * i + a] = at[3 * i + a] * spacing[a];
  for (let q = 0, t = 0; q < quads.length; q += 4, t += 6) {
    const [a, b, c, d] = quads.slice(q, q + 4);
    triangles.set([a, b, c, a, c, d], t);
  }
  addNormals(vertices, triangles);
  return { vertices, triangles };
}

// smooth alternates steps of shrinking and inflating; no vertex leaves its cell.
function smooth(at, center, quads) {
  const shrink = 0.5, inflate = -1 / (1 / shrink - 0.1);
  const sum = new Float32Array(at.length), degree = new Float32Array(at.length / 3);
  for (let step = 0; step < 12; step++) {
    sum.fill(0);
    degree.fill(0);
    for (let q = 0; q < quads.length; q++) {
      const v = quads[q], next = quads[q % 4 === 3 ? q - 3 : q + 1];
      for (let a = 0; a < 3; a++) sum[3 * v + a] += at[3 * next + a];
      degree[v]++;
    }
    const factor = step % 2 ? inflate : shrink;
    for (let i = 0; i < at.length; i++) {
      const moved = at[i] + factor * (sum[i] / degree[Math.floor(i / 3)] - at[i]);
      at[i] = Math.min(Math.max(moved, center[i] - 0.49), center[i] + 0.49);
    }
  }
}

// addNormals sets the normals to those of the triangles around each vertex, weighted by area.
function addNormals(vertices, triangles) {
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [0, 1, 2].map(i => 6 * triangles[t + i]);
    const u = [0, 1, 2].map(i => vertices[b + i] - vertices[a + i]), v = [0, 1, 2].map(i => vertices[c + i] - vertices[a + i]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const p of [a, b, c]) for (let i = 0; i < 3; i++) vertices[p + 3 + i] += n[i];
  }
  for (let p = 0; p < vertices.length; p += 6) {
    const length = Math.hypot(vertices[p + 3], vertices[p + 4], vertices[p + 5]) || 1;
    for (let i = 3; i < 6; i++) vertices[p + i] /= length;
  }
}
