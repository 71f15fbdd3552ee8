const data = JSON.parse(document.getElementById('data').textContent);
showCharts(data.charts);

// dice returns the Dice of a layer of the viewer in a case, undefined if it is not known.
function dice(id, layer) {
  const training = data.cases?.trainings.find(t => t.name === layer);
  return training && decode(training.values.at(-1)[data.cases.first][data.cases.ids.indexOf(id)]);
}

const viewer = data.viewer && new Viewer(document.querySelector('.viewer'), data.viewer, dice);
if (data.cases) {
  // Opens the images of a case, if the page has them; ask only asks whether it has.
  const open = (id, ask) => {
    const there = Boolean(viewer && viewer.has(id));
    if (there && !ask) {
      viewer.open(id);
      const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
      document.getElementById('viewer').scrollIntoView({ behavior: still ? 'instant' : 'smooth' });
    }
    return there;
  };
  new Compare(document.querySelector('.compare'), data.cases, open);
}
await viewer?.loaded;
root.dataset.ready = 'yes';
