// The viewer: three slices through a case with the outlines of masks, and their surfaces.

// inflate returns the bytes of a base64 text of zlib data.
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// unpack returns n voxels, 0 or 1, from bits, the lowest of each byte first.
function unpack(bits, n) {
  const mask = new Uint8Array(n);
  for (let i = 0; i < n; i++) mask[i] = bits[i >> 3] >> (i & 7) & 1;
  return mask;
}

// The axes of a case point to the patient's right, to anterior and to superior. In each plane
// they run from the right to the left and from the bottom to the top of the picture.
const planes = [
  { name: 'Axial', normal: 2, across: 0, up: 1, sides: ['R', 'L', 'A', 'P'] },
  { name: 'Coronal', normal: 1, across: 0, up: 2, sides: ['R', 'L', 'S', 'I'] },
  { name: 'Sagittal', normal: 0, across: 1, up: 2, sides: ['A', 'P', 'S', 'I'] },
];

const between = (v, lo, hi) => Math.min(Math.max(v, lo), hi);

class Viewer {
  constructor(parent, data, dice) {
    Object.assign(this, { data, dice, index: 0, filled: false, close: false, cases: new Map() });
    this.colors = data.layers.map(l => onBackground(l.color, true));
    this.on = data.layers.map((_, i) => i < 2);
    this.select = choice('Case', data.cases.map(c => c.id), 0, i => this.go(i));
    const step = (text, title, by) => element('button', { type: 'button', title, 'aria-label': title, click: () => this.go(this.index + by) }, text);
    this.chips = data.layers.map((l, i) => element('button', { type: 'button', style: `--color:${this.colors[i]}`, click: () => this.toggle(i) },
      element('i', { class: 'swatch' }), element('span', {}, l.name), element('output')));
    this.tools = [['filled', 'Filled', 'f'], ['close', 'Close-up', 'z']].map(([key, text, letter]) =>
      element('button', { type: 'button', 'aria-pressed': 'false', title: `${text} (${letter})`, 'data-key': key, click: () => this.change(key) }, text));
    this.panes = planes.map((plane, p) => this.pane(plane, p));
    this.solid = element('canvas', { tabindex: 0, role: 'img', 'aria-label': 'Surfaces' });
    this.scene = new Scene(this.solid);
    this.note = element('p', { class: 'hint', role: 'status' });
    parent.append(
      element('div', { class: 'choices' }, element('span', { class: 'cases' }, step('‹', 'Previous case ([)', -1), this.select, step('›', 'Next case (])', 1)),
        element('span', { class: 'tools' }, ...this.tools)),
      element('div', { class: 'names' }, ...this.chips),
      element('div', { class: 'panes' }, ...this.panes.map(p => p.root),
        element('figure', { class: 'pane solid' }, element('figcaption', {}, element('span', {}, 'Surfaces'), element('button', { type: 'button', click: () => { this.scene.start(); this.drawScene(); } }, 'From the front')), this.solid)),
      this.note,
      element('p', { class: 'hint' }, 'Press or drag in a slice to move the others to that place; scroll or use the arrow keys in it to move through the slices. Drag the surfaces to turn them. Keys: 0 to 9 switch masks, [ and ] change the case, F fills the masks, Z comes close.'));
    this.has3D = this.scene.open();
    if (!this.has3D) this.solid.replaceWith(element('p', { class: 'hint' }, 'This browser has no WebGL2, which the surfaces need.'));
    else this.listenToScene();
    parent.addEventListener('keydown', e => this.key(e));
    new ResizeObserver(() => this.draw()).observe(this.panes[0].canvas);
    this.loaded = this.go(0);
  }

  pane(plane, p) {
    const canvas = element('canvas', { tabindex: 0, role: 'img', 'aria-label': plane.name + ' slice' });
    const where = element('output');
    const slider = element('input', { type: 'range', min: 0, step: 1, 'aria-label': plane.name + ' slice', input: () => this.move(plane.normal, Number(slider.value)) });
    const root = element('figure', { class: 'pane ' + plane.name.toLowerCase() }, element('figcaption', {}, element('span', {}, plane.name), where), canvas, slider);
    const drag = e => {
      const c = this.current, b = this.boxes?.[p];
      if (!c || !b) return;
      const r = canvas.getBoundingClientRect();
      const across = (e.clientX - r.left - b.left) / b.width, up = (e.clientY - r.top - b.top) / b.height;
      const place = (axis, t) => between(Math.ceil(b.hi[axis] - t * (b.hi[axis] - b.lo[axis])) - 1, b.lo[axis], b.hi[axis] - 1);
      c.at[plane.across] = place(plane.across, across);
      c.at[plane.up] = place(plane.up, up);
      this.draw();
    };
    canvas.addEventListener('pointerdown', e => { canvas.setPointerCapture(e.pointerId); drag(e); });
    canvas.addEventListener('pointermove', e => { if (e.buttons) drag(e); });
    canvas.addEventListener('wheel', e => {
      if (document.activeElement !== canvas || !this.current || e.ctrlKey) return;
      this.move(plane.normal, this.current.at[plane.normal] - Math.sign(e.deltaY));
      e.preventDefault();
    }, { passive: false });
    canvas.addEventListener('keydown', e => {
      const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5 }[e.key];
      if (!by || !this.current) return;
      this.move(plane.normal, this.current.at[plane.normal] + by);
      e.preventDefault();
    });
    return { plane, canvas, where, slider, root };
  }

  listenToScene() {
    const { solid, scene } = this;
    const redraw = e => { this.drawScene(); e.preventDefault(); };
    solid.addEventListener('pointerdown', e => solid.setPointerCapture(e.pointerId));
    solid.addEventListener('pointermove', e => {
      if (!e.buttons) return;
      scene.turn(e.movementX / 100, e.movementY / 100);
      redraw(e);
    });
    solid.addEventListener('wheel', e => {
      if (document.activeElement !== solid) return;
      scene.zoom(e.deltaY > 0 ? 0.9 : 1 / 0.9);
      redraw(e);
    }, { passive: false });
    solid.addEventListener('keydown', e => {
      const turn = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[e.key];
      if (turn) scene.turn(...turn);
      else if (e.key === '+' || e.key === '=') scene.zoom(1.2);
      else if (e.key === '-') scene.zoom(1 / 1.2);
      else return;
      redraw(e);
    });
  }

  has(id) { return this.data.cases.some(c => c.id === id); }

  // open shows the case with an ID.
  open(id) {
    const index = this.data.cases.findIndex(c => c.id === id);
    if (index >= 0) return this.go(index);
  }

  async go(index) {
    index = between(index, 0, this.data.cases.length - 1);
    this.index = index;
    this.select.querySelector('select').selectedIndex = index;
    if (!this.cases.has(index)) this.cases.set(index, this.load(this.data.cases[index]));
    const loaded = await this.cases.get(index);
    if (this.index !== index) return; // another case was chosen meanwhile
    this.current = loaded;
    const stored = this.data.cases[index];
    this.note.textContent = stored.note || '';
    this.chips.forEach((chip, i) => {
      const mask = loaded.masks[i], d = i > 0 ? this.dice(stored.id, this.data.layers[i].name) : null;
      chip.disabled = !mask;
      chip.querySelector('output').textContent = !mask ? 'not predicted' : i === 0 ? `${loaded.volume.toPrecision(3)} ml` : Number.isFinite(d) ? `Dice ${d.toFixed(3)}` : '';
    });
    this.panes.forEach(({ plane, slider }) => { slider.max = loaded.dims[plane.normal] - 1; });
    if (this.has3D) this.scene.show(loaded.surfaces(), loaded.middle, loaded.radius);
    this.draw();
  }

  async load(stored) {
    const { dims, spacing } = stored, n = dims[0] * dims[1] * dims[2];
    const image = await inflate(stored.image);
    const masks = await Promise.all(stored.masks.map(async m => (m ? unpack(await inflate(m), n) : null)));
    const c = { dims, spacing, image, masks };
    const { lo, hi, largest, count } = extent(masks[0], dims);
    c.at = largest;
    c.lo = lo.map((v, a) => Math.max(0, Math.floor(v - 8 / spacing[a])));
    c.hi = hi.map((v, a) => Math.min(dims[a], Math.ceil(v + 8 / spacing[a])));
    c.volume = count * spacing[0] * spacing[1] * spacing[2] / 1000;
    const shown = count ? [lo, hi] : [[0, 0, 0], dims];
    c.middle = spacing.map((s, a) => (shown[0][a] + shown[1][a] - 1) / 2 * s);
    c.radius = 0.75 * Math.hypot(...spacing.map((s, a) => (shown[1][a] - shown[0][a]) * s)) || 1;
    let surfaces;
    c.surfaces = () => (surfaces ??= masks.map(m => (m ? surfaceOf(m, dims, spacing) : { vertices: new Float32Array(0), triangles: new Uint32Array(0) })));
    return c;
  }

  move(axis, to) {
    this.current.at[axis] = between(to, 0, this.current.dims[axis] - 1);
    this.draw();
  }

  toggle(i) {
    if (i >= this.on.length || this.chips[i].disabled) return;
    this.on[i] = !this.on[i];
    this.draw();
  }

  change(key) {
    this[key] = !this[key];
    this.draw();
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.tagName === 'SELECT') return;
    if (/^[0-9]$/.test(e.key)) this.toggle(Number(e.key));
    else if (e.key === '[') this.go(this.index - 1);
    else if (e.key === ']') this.go(this.index + 1);
    else if (e.key === 'f') this.change('filled');
    else if (e.key === 'z') this.change('close');
    else return;
    e.preventDefault();
  }

  draw() {
    if (!this.current) return;
    this.chips.forEach((chip, i) => chip.setAttribute('aria-pressed', this.on[i]));
    this.tools.forEach(tool => tool.setAttribute('aria-pressed', this[tool.dataset.key]));
    this.boxes = this.panes.map(pane => this.drawSlice(pane));
    this.drawScene();
  }

  drawScene() {
    if (this.has3D && this.current) this.scene.draw(this.on, this.colors);
  }

  // drawSlice draws a plane and returns where its part of the case is in the canvas.
  drawSlice({ plane, canvas, where, slider }) {
    const c = this.current, { dims, spacing } = c, { normal, across, up } = plane;
    const lo = this.close ? c.lo : [0, 0, 0], hi = this.close ? c.hi : dims;
    const ratio = devicePixelRatio || 1, side = canvas.clientWidth;
    if (!side) return null;
    canvas.width = canvas.height = Math.round(side * ratio);
    const g = canvas.getContext('2d');
    g.scale(ratio, ratio);
    const nx = hi[across] - lo[across], ny = hi[up] - lo[up];
    const scale = side / Math.max(nx * spacing[across], ny * spacing[up]);
    const width = nx * spacing[across] * scale, height = ny * spacing[up] * scale;
    const left = (side - width) / 2, top = (side - height) / 2;
    const stride = [dims[1] * dims[2], dims[2], 1], base = c.at[normal] * stride[normal];
    const voxel = (x, y) => base + (hi[across] - 1 - x) * stride[across] + (hi[up] - 1 - y) * stride[up];

    const gray = new ImageData(nx, ny);
    for (let y = 0, o = 0; y < ny; y++) for (let x = 0; x < nx; x++, o += 4) {
      gray.data.fill(c.image[voxel(x, y)], o, o + 3);
      gray.data[o + 3] = 255;
    }
    const picture = new OffscreenCanvas(nx, ny);
    picture.getContext('2d').putImageData(gray, 0, 0);
    g.imageSmoothingQuality = 'high';
    g.drawImage(picture, left, top, width, height);

    const w = width / nx, h = height / ny;
    c.masks.forEach((mask, i) => {
      if (!mask || !this.on[i]) return;
      const inside = (x, y) => x >= 0 && y >= 0 && x < nx && y < ny && mask[voxel(x, y)] === 1;
      const area = new Path2D(), outline = new Path2D();
      const line = (x0, y0, x1, y1) => { outline.moveTo(left + x0 * w, top + y0 * h); outline.lineTo(left + x1 * w, top + y1 * h); };
      for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++) {
        if (!inside(x, y)) continue;
        if (this.filled) area.rect(left + x * w, top + y * h, w, h);
        if (!inside(x - 1, y)) line(x, y, x, y + 1);
        if (!inside(x + 1, y)) line(x + 1, y, x + 1, y + 1);
        if (!inside(x, y - 1)) line(x, y, x + 1, y);
        if (!inside(x, y + 1)) line(x, y + 1, x + 1, y + 1);
      }
      g.fillStyle = this.colors[i] + '59';
      g.fill(area);
      g.strokeStyle = this.colors[i];
      g.lineWidth = 1.6;
      g.lineCap = 'round';
      g.stroke(outline);
    });

    g.strokeStyle = 'rgba(255, 255, 255, 0.28)';
    g.lineWidth = 1;
    g.beginPath();
    const x = left + (hi[across] - c.at[across] - 0.5) * w, y = top + (hi[up] - c.at[up] - 0.5) * h;
    g.moveTo(x, top); g.lineTo(x, top + height);
    g.moveTo(left, y); g.lineTo(left + width, y);
    g.stroke();
    g.font = '600 11px ' + variable('--font');
    g.fillStyle = 'rgba(255, 255, 255, 0.75)';
    g.textBaseline = 'middle';
    g.textAlign = 'left'; g.fillText(plane.sides[0], 6, side / 2);
    g.textAlign = 'right'; g.fillText(plane.sides[1], side - 6, side / 2);
    g.textAlign = 'center'; g.fillText(plane.sides[2], side / 2, 10); g.fillText(plane.sides[3], side / 2, side - 9);

    slider.value = c.at[normal];
    where.textContent = `${c.at[normal] + 1} / ${dims[normal]}`;
    return { left, top, width, height, lo, hi };
  }
}

// extent returns the box lo ≤ (i,j,k) < hi of a mask, the number of its voxels, and for each axis
// the slice with most of them; without any, the middle of the image.
function extent(mask, dims) {
  const counts = dims.map(d => new Int32Array(d));
  let n = 0, count = 0;
  for (let i = 0; i < dims[0]; i++) for (let j = 0; j < dims[1]; j++) for (let k = 0; k < dims[2]; k++, n++) {
    if (!mask[n]) continue;
    counts[0][i]++; counts[1][j]++; counts[2][k]++; count++;
  }
  if (!count) return { lo: [0, 0, 0], hi: [...dims], largest: dims.map(d => d >> 1), count };
  return {
    lo: counts.map(c => c.findIndex(v => v > 0)), hi: counts.map(c => c.findLastIndex(v => v > 0) + 1),
    largest: counts.map(c => c.indexOf(Math.max(...c))), count,
  };
}
