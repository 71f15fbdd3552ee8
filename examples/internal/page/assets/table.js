// Tables: the columns sort.

// number returns the number that a cell begins with, null if there is none.
function number(text) {
  const t = text.trim().replace(/−/g, '-');
  if (t.startsWith('∞')) return Infinity;
  const found = t.match(/^[<>≤≥=]?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?![\w.])/i);
  return found && Number(found[1]);
}

const isMissing = text => ['', '–', '-'].includes(text.trim());

// sorted returns rows in the order of a column; cells without a value are last.
function sorted(rows, column, descending) {
  const text = row => (row.cells[column] ? row.cells[column].textContent : '');
  const given = rows.filter(row => !isMissing(text(row)));
  const numeric = given.every(row => number(text(row)) !== null);
  const compare = numeric
    ? (a, b) => { const x = number(text(a)), y = number(text(b)); return x < y ? -1 : x > y ? 1 : 0; }
    : (a, b) => text(a).localeCompare(text(b), 'en', { numeric: true });
  given.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  return given.concat(rows.filter(row => isMissing(text(row))));
}

// makeSortable turns the cells of a table's header into buttons: pressed once they sort in
// ascending order, twice in descending order, and the third time they restore the first order.
function makeSortable(table) {
  const body = table.tBodies[0], original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.scope = 'col';
    head.setAttribute('aria-sort', 'none');
    const button = element('button', { type: 'button', click: () => {
      const next = { none: 'ascending', ascending: 'descending', descending: 'none' }[head.getAttribute('aria-sort')];
      heads.forEach(h => h.setAttribute('aria-sort', 'none'));
      head.setAttribute('aria-sort', next);
      body.append(...(next === 'none' ? original : sorted(original, column, next === 'descending')));
    } }, ...head.childNodes);
    head.append(button);
  });
}

// inFrame puts a table into a frame that scrolls sideways.
function inFrame(table) {
  const frame = element('div', { class: 'frame' });
  table.replaceWith(frame);
  frame.append(table);
  return frame;
}

document.querySelectorAll('main table').forEach(table => {
  inFrame(table);
  makeSortable(table);
});
