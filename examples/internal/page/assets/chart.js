// Charts of curves, drawn by uPlot.

// aligned returns the columns that uPlot draws: the x of all curves in ascending order, then the
// y of each curve, undefined where it has none, then the bounds of bands, high and low. An x that a curve has several times, such as
// the steps of a ROC curve, is there as often.
function aligned(curves) {
  const most = new Map();
  for (const c of curves) {
    const count = new Map();
    for (const x of c.x) count.set(x, (count.get(x) || 0) + 1);
    for (const [x, n] of count) most.set(x, Math.max(n, most.get(x) || 0));
  }
  const xs = [...most.keys()].sort((a, b) => a - b), first = new Map(), all = [];
  for (const x of xs) {
    first.set(x, all.length);
    for (let n = most.get(x); n > 0; n--) all.push(x);
  }
  const place = (c, values) => {
    const ys = new Array(all.length), used = new Map();
    c.x.forEach((x, i) => {
      const n = used.get(x) || 0;
      used.set(x, n + 1);
      ys[first.get(x) + n] = values[i];
    });
    return ys;
  };
  const banded = curves.filter(c => c.low);
  return [all, ...curves.map(c => place(c, c.y)), ...banded.flatMap(c => [place(c, c.high), place(c, c.low)])];
}

// bounds returns the range of an axis: its own limits, or those of the values.
function bounds(axis, values) {
  const defined = values.filter(v => v !== undefined && v !== null);
  let lo = axis.min ?? Math.min(...defined), hi = axis.max ?? Math.max(...defined);
  if (!(hi > lo)) [lo, hi] = [lo - 0.5, lo + 0.5];
  const margin = (hi - lo) * 0.04;
  return [axis.min ?? lo - margin, axis.max ?? hi + margin];
}

const fewDigits = v => (Number.isInteger(v) ? String(v) : v.toPrecision(4));

class Chart {
  constructor(data) {
    this.data = data;
    this.columns = aligned(data.curves);
    this.banded = data.curves.flatMap((c, i) => (c.low ? [i] : []));
    const [xs, ...ys] = this.columns;
    this.whole = { x: bounds(data.x, xs), y: bounds(data.y, ys.flat()) };
    this.at = element('span', { class: 'at' });
    this.names = data.curves.map((c, i) => element('button', { type: 'button', 'aria-pressed': 'true', click: () => this.toggle(i) },
      element('i', { class: c.dashed ? 'swatch dashed' : 'swatch' }), element('span', {}, c.name), element('output')));
    this.frame = element('div', { class: 'plot', tabindex: 0, role: 'img', 'aria-label': data.title, keydown: e => this.key(e) });
    const tool = (text, title, press) => element('button', { type: 'button', title, 'aria-label': title, click: press }, text);
    this.root = element('figure', { class: 'chart' },
      element('figcaption', {}, element('span', {}, data.title), element('span', { class: 'tools' },
        tool('+', 'Zoom in', () => this.zoom(0.5)), tool('−', 'Zoom out', () => this.zoom(2)), tool('↺', 'Show all', () => this.showAll()))),
      this.frame,
      element('div', { class: 'names' }, ...this.names, this.at),
      ...(data.note ? [element('p', { class: 'hint' }, data.note)] : []));
    onTheme.push(() => this.draw());
    new ResizeObserver(() => this.resize()).observe(this.frame);
  }

  size() {
    const width = Math.max(this.frame.clientWidth, 200);
    return { width, height: Math.round(Math.min(Math.max(width * 0.62, 240), 380)) };
  }

  resize() {
    if (!this.plot) this.draw();
    else if (this.plot.width !== this.size().width) this.plot.setSize(this.size());
  }

  // draw makes the plot anew, with the colors of the theme and the part that is shown.
  draw() {
    const { data } = this, dark = isDark();
    const shown = this.plot && { x: this.range('x'), y: this.range('y') };
    if (this.plot) this.plot.destroy();
    const axis = (a, extra) => ({
      label: a.label, stroke: variable('--soft'), font: '12px ' + variable('--font'), labelFont: '12px ' + variable('--font'),
      grid: { stroke: variable('--line'), width: 1 }, ticks: { stroke: variable('--line'), width: 1, size: 4 }, ...extra,
    });
    const wholeNumbers = this.columns[0].every(Number.isInteger);
    this.plot = new uPlot({
      ...this.size(),
      legend: { show: false },
      cursor: { drag: { x: true, y: true, uni: 24 }, points: { size: 8 } },
      scales: Object.fromEntries(['x', 'y'].map(s => [s, { time: false, distr: data[s].log ? 3 : 1, range: (u, lo, hi) => (this.zoomed ? [lo, hi] : this.whole[s]) }])),
      axes: [
        axis(data.x, { size: 34, labelSize: 20, gap: 4, incrs: wholeNumbers ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] : undefined }),
        axis(data.y, { size: 48, labelSize: 20, gap: 4 }),
      ],
      series: [{}, ...data.curves.map((c, i) => {
        const color = onBackground(c.color, dark);
        this.names[i].style.setProperty('--color', color);
        return {
          label: c.name, stroke: color, width: 2, dash: c.dashed ? [5, 4] : undefined, spanGaps: true,
          show: this.isOn(i), points: { show: c.x.length <= 40, size: 6, fill: color },
        };
      }), ...this.banded.flatMap(i => [0, 1].map(() => ({ show: this.isOn(i), spanGaps: true, stroke: 'transparent', points: { show: false } })))],
      bands: this.banded.map((i, b) => ({ series: this.bounds(b), fill: onBackground(data.curves[i].color, dark) + '26' })),
      hooks: {
        setCursor: [u => this.read(u.cursor.idx)],
        setSelect: [() => { this.zoomed = true; }],
        ready: [u => u.over.addEventListener('dblclick', () => this.showAll())],
      },
    }, this.columns, this.frame);
    if (shown && this.zoomed) this.show(shown.x, shown.y);
    this.read(null);
  }

  // read shows the values of the curves at an index of x. Without one it shows the last value
  // over the epochs, but none where x has limits: that a ROC curve ends at 1 says nothing.
  read(index) {
    const none = index === null || index === undefined;
    this.at.textContent = none ? '' : `${this.data.x.label} ${fewDigits(this.columns[0][index])}`;
    this.names.forEach((name, i) => {
      const ys = this.columns[i + 1];
      const y = none ? ys.findLast(v => v !== undefined) : ys[index];
      name.querySelector('output').textContent = none && this.data.x.max !== undefined ? '' : y === undefined || y === null ? '–' : fewDigits(y);
    });
  }

  range(scale) { const s = this.plot.scales[scale]; return [s.min, s.max]; }

  show(x, y) {
    this.zoomed = true;
    this.plot.batch(() => {
      this.plot.setScale('x', { min: x[0], max: x[1] });
      this.plot.setScale('y', { min: y[0], max: y[1] });
    });
  }

  zoom(factor) {
    const u = this.plot;
    const around = (scale, center) => {
      const { log } = this.data[scale], to = v => (log ? Math.log10(v) : v), from = v => (log ? 10 ** v : v);
      const [lo, hi] = this.range(scale).map(to), [least, most] = this.whole[scale].map(to), half = (hi - lo) / 2 * factor;
      const c = Math.min(Math.max(center === undefined ? (lo + hi) / 2 : to(center), least), most);
      return c - half <= least && c + half >= most ? this.whole[scale] : [Math.max(c - half, least), Math.min(c + half, most)].map(from);
    };
    const x = around('x', u.cursor.idx != null ? this.columns[0][u.cursor.idx] : undefined), y = around('y');
    if (factor > 1 && x[0] === this.whole.x[0] && x[1] === this.whole.x[1] && y[0] === this.whole.y[0] && y[1] === this.whole.y[1]) return this.showAll();
    this.show(x, y);
  }

  showAll() {
    this.show(this.whole.x, this.whole.y);
    this.zoomed = false;
  }

  isOn(i) { return this.names[i].getAttribute('aria-pressed') === 'true'; }

  // bounds returns the columns that bound a band.
  bounds(band) { return [0, 1].map(i => 1 + this.data.curves.length + 2 * band + i); }

  toggle(i) {
    const on = !this.isOn(i), band = this.banded.indexOf(i);
    this.names[i].setAttribute('aria-pressed', on);
    for (const column of [i + 1, ...(band < 0 ? [] : this.bounds(band))]) this.plot.setSeries(column, { show: on });
  }

  key(e) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (step) {
      const xs = this.columns[0], u = this.plot;
      const index = Math.min(Math.max((u.cursor.idx ?? (step > 0 ? -1 : xs.length)) + step, 0), xs.length - 1);
      u.setCursor({ left: u.valToPos(xs[index], 'x'), top: u.over.clientHeight / 2 });
      this.read(index);
    } else if (e.key === '+' || e.key === '=') this.zoom(0.5);
    else if (e.key === '-') this.zoom(2);
    else if (e.key === '0') this.showAll();
    else return;
    e.preventDefault();
  }
}

function showCharts(charts) {
  const parent = document.querySelector('.charts');
  if (parent) parent.append(...charts.map(data => new Chart(data).root));
}
