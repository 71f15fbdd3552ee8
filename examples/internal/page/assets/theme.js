// The theme is that of the system until the button is pressed.
const root = document.documentElement;
const system = matchMedia('(prefers-color-scheme: dark)');
const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
const onTheme = []; // called after a change

function themeChanged() {
  document.getElementById('theme').textContent = isDark() ? 'Light' : 'Dark';
  onTheme.forEach(redraw => redraw());
}

// variable returns a color of the style sheet.
const variable = name => getComputedStyle(root).getPropertyValue(name).trim();

// onBackground returns a color of a curve or a mask that can be seen on a dark background.
function onBackground(color, dark) {
  if (!dark) return color;
  const [r, g, b] = rgb(color);
  const white = r + g + b < 60 ? 0.85 : 0.25;
  return '#' + [r, g, b].map(v => Math.round(v + (255 - v) * white).toString(16).padStart(2, '0')).join('');
}

function rgb(color) {
  return [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16));
}

// element returns a new element with attributes and children. Attributes that are functions
// are event handlers.
function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') e.addEventListener(key, value);
    else if (value !== false && value !== null) e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children);
  return e;
}

// choice returns a labeled drop-down list of texts that calls change with the index.
function choice(label, texts, selected, change) {
  const select = element('select', { change: () => change(select.selectedIndex) },
    ...texts.map((text, i) => element('option', { selected: i === selected }, text)));
  return element('label', {}, element('span', {}, label), select);
}

document.getElementById('theme').addEventListener('click', () => {
  root.dataset.theme = isDark() ? 'light' : 'dark';
  themeChanged();
});
system.addEventListener('change', themeChanged);
themeChanged();
