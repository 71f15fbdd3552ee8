// Case by case: a measure of one training against that of another, and of all.

// decode returns the number that stands for v in the data: null where there is no value.
const decode = v => (v === 'inf' ? Infinity : v === '-inf' ? -Infinity : v);

// ticks returns about n round numbers from lo to hi.
function ticks(lo, hi, n) {
  const rough = (hi - lo) / n, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough * 0.999);
  const all = [];
  for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + step * 1e-9; i++) all.push(Number((i * step).toPrecision(12)));
  return all;
}

const svg = (name, attributes, ...children) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
};

class Compare {
  constructor(parent, data, open) {
    Object.assign(this, { data, open, x: 0, y: Math.min(1, data.trainings.length - 1), measure: data.first, part: data.parts.length - 1 });
    const names = data.trainings.map(t => t.name);
    const choose = (label, texts, key) => choice(label, texts, this[key], i => { this[key] = i; this.draw(); });
    this.plot = element('div', { class: 'scatter', tabindex: 0, role: 'img', keydown: e => this.key(e) });
    this.tip = element('p', { class: 'tip', role: 'status' });
    this.verdict = element('p', { class: 'verdict' });
    this.table = element('div');
    parent.append(
      element('div', { class: 'choices' },
        choose('Measure', data.measures.map(m => m.label), 'measure'),
        ...(data.parts.length > 1 ? [choose('Of', data.parts, 'part')] : []),
        ...(names.length > 1 ? [choose('Across', names, 'x'), choose('Up', names, 'y')] : [])),
      ...(names.length > 1 ? [element('div', { class: 'pair' }, this.plot, element('div', {}, this.verdict, this.tip, this.table))] : [this.table]));
    onTheme.push(() => this.draw());
    this.draw();
  }

  values(training) { return this.data.trainings[training].values[this.part][this.measure].map(decode); }

  draw() {
    const { data } = this, measure = data.measures[this.measure];
    const xs = this.values(this.x), ys = this.values(this.y);
    this.points = data.ids.map((id, i) => ({ id, x: xs[i], y: ys[i] }))
      .filter(p => Number.isFinite(p.x) && Number.isFinite(p.y)).sort((a, b) => a.x - b.x);
    this.drawPlot(measure);
    this.judge(measure, xs, ys);
    this.drawTable(measure);
  }

  drawPlot(measure) {
    const side = 420, left = 52, top = 12, inner = side - left - top;
    const all = this.points.flatMap(p => [p.x, p.y]);
    let lo = measure.min ?? Math.min(...all), hi = measure.max ?? Math.max(...all);
    if (!all.length) [lo, hi] = [0, 1];
    if (!(hi > lo)) [lo, hi] = [lo - 0.5, lo + 0.5];
    const margin = (hi - lo) * 0.05;
    [lo, hi] = [measure.min ?? lo - margin, measure.max ?? hi + margin];
    const at = v => (v - lo) / (hi - lo) * inner, X = v => left + at(v), Y = v => top + inner - at(v);
    const names = [this.x, this.y].map(i => this.data.trainings[i].name);
    const lines = [], labels = [];
    for (const t of ticks(lo, hi, 5)) {
      lines.push(svg('line', { class: 'grid', x1: X(t), x2: X(t), y1: top, y2: top + inner }), svg('line', { class: 'grid', x1: left, x2: left + inner, y1: Y(t), y2: Y(t) }));
      labels.push(svg('text', { x: X(t), y: top + inner + 18, 'text-anchor': 'middle' }, String(t)), svg('text', { x: left - 8, y: Y(t) + 4, 'text-anchor': 'end' }, String(t)));
    }
    this.circles = this.points.map(p => svg('circle', { cx: X(p.x), cy: Y(p.y), r: 5.5 }, svg('title', {}, this.describe(p))));
    this.circles.forEach((c, i) => {
      c.addEventListener('pointerenter', () => this.select(i));
      c.addEventListener('click', () => this.open(this.points[i].id));
    });
    this.plot.setAttribute('aria-label', `${measure.label} of each case: ${names[0]} across, ${names[1]} up`);
    this.plot.replaceChildren(svg('svg', { viewBox: `0 0 ${side} ${side + 14}` }, ...lines,
      svg('line', { class: 'equal', x1: X(lo), y1: Y(lo), x2: X(hi), y2: Y(hi) }), ...labels,
      svg('text', { class: 'axis', x: left + inner / 2, y: side + 8, 'text-anchor': 'middle' }, names[0]),
      svg('text', { class: 'axis', x: 14, y: top + inner / 2, 'text-anchor': 'middle', transform: `rotate(-90 14 ${top + inner / 2})` }, names[1]),
      ...this.circles));
    this.selected = -1;
    this.tip.textContent = this.points.length ? 'Point at a case, or use the arrow keys.' : '';
  }

  describe(p) {
    const names = [this.x, this.y].map(i => this.data.trainings[i].name);
    return `${p.id}: ${names[0]} ${fewDigits(p.x)}, ${names[1]} ${fewDigits(p.y)}`;
  }

  select(i) {
    this.selected = i;
    this.circles.forEach((c, j) => c.classList.toggle('selected', i === j));
    this.tip.textContent = this.describe(this.points[i]) + (this.open(this.points[i].id, true) ? ' (press it, or Enter, to see its images)' : '');
  }

  key(e) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (step && this.points.length) this.select((this.selected + step + this.points.length) % this.points.length);
    else if (e.key === 'Enter' && this.selected >= 0) this.open(this.points[this.selected].id);
    else return;
    e.preventDefault();
  }

  // judge states in how many cases one training is better than the other.
  judge(measure, xs, ys) {
    const names = [this.x, this.y].map(i => this.data.trainings[i].name);
    const sign = measure.lower ? -1 : 1;
    const better = this.points.map(p => Math.sign(sign * (p.y - p.x)));
    const count = s => better.filter(b => b === s).length;
    const mean = this.points.reduce((sum, p) => sum + p.y - p.x, 0) / this.points.length;
    const without = xs.filter((x, i) => !(Number.isFinite(x) && Number.isFinite(ys[i]))).length;
    this.verdict.replaceChildren(
      element('strong', {}, `${names[1]} is better in ${count(1)}, ${names[0]} in ${count(-1)}`), ` of ${this.points.length} cases`,
      count(0) ? `, and ${count(0)} are equal. ` : '. ',
      this.points.length ? `Mean difference ${names[1]} − ${names[0]}: ${mean > 0 ? '+' : mean < 0 ? '−' : ''}${Math.abs(mean).toPrecision(3)}. ` : '',
      `${measure.lower ? 'Lower' : 'Higher'} is better, so ${names[1]} is ahead ${measure.lower ? 'below' : 'above'} the diagonal.`,
      without ? ` ${without} without a finite value for both ${without === 1 ? 'is' : 'are'} left out.` : '');
  }

  drawTable(measure) {
    const columns = this.data.trainings.map((_, i) => this.values(i));
    const cell = v => (v === null || v === undefined ? '–' : v === Infinity ? '∞' : fewDigits(v));
    const table = element('table', {},
      element('caption', {}, `${measure.label}${this.data.parts.length > 1 ? ', ' + this.data.parts[this.part] : ''}, every case`),
      element('thead', {}, element('tr', {}, element('th', {}, 'Case'), ...this.data.trainings.map(t => element('th', { class: 'number' }, t.name)))),
      element('tbody', {}, ...this.data.ids.map((id, i) => element('tr', {}, element('td', {}, id), ...columns.map(c => element('td', { class: 'number' }, cell(c[i])))))));
    makeSortable(table);
    this.table.replaceChildren(element('div', { class: 'frame tall', tabindex: 0 }, table));
  }
}
