/** The page: its controls, keys and address, and the sample that is read. */

let shown = []; // the samples that pass the filters
let current = null; // the one that is read
let drawn = ''; // which columns are, or will be once their traces are decoded

/** Brings the page in line with the state. The sample that it names is read if
 * it passes the filters, or else with `asNamed`. */
function update(asNamed = false) {
  const result = filtered();
  shown = result.shown;
  const sample = named();
  const kept = sample && (asNamed || shown.includes(sample));
  current = kept ? sample : shown[0] ?? null;
  if (current) select(current);
  drawFilters(result.counts);
  list.show(shown, current);
  drawReader();
}

/** Changes the state; `step`: as a step that Back undoes. */
function change(fields, step = false) {
  Object.assign(state, fields);
  update();
  writeAddress(step);
}

/** Reads another sample. */
function go(sample) {
  if (!sample || sample === current) return;
  select(sample);
  current = sample;
  list.show(shown, current);
  drawReader();
  writeAddress(true);
}

/** Reads the next sample in the list, or the first of the next question. */
function move(direction, byQuestion) {
  let place = shown.indexOf(current) + direction;
  if (byQuestion) {
    while (shown[place]?.question === current?.question &&
           shown[place]) place += direction;
  }
  if (shown.length) go(shown[Math.min(Math.max(place, 0), shown.length - 1)]);
}

function drawFilters(counts) {
  const total = [...counts.grade.values()].reduce((a, b) => a + b, 0);
  const grades = ['right', 'wrong', 'partly', 'ungraded'].filter((grade) =>
    grade !== 'partly' || VALUES.grade.includes(grade));
  const button = (grade) => element(
    'button', {
      'type': 'button', 'data-grade': grade,
      'aria-pressed': String(state.grade === grade),
    }, grade ? `${GRADES[grade]} ${grade} ` : 'all ',
    element('b', {}, count(grade ? counts.grade.get(grade) ?? 0 : total)));
  redraw(byId('grades'), '[aria-pressed=true]', ...['', ...grades].map(button));
  for (const [name, [label]] of Object.entries(FACETS)) {
    if (name !== 'grade') drawFacet(name, label, counts[name]);
  }
  byId('sort').value = state.sort;
  byId('search').value = state.search;
  byId('heat').setAttribute('aria-pressed', String(state.heat === '1'));
  byId('count').textContent =
    `${count(shown.length)} of ${plural(SAMPLES.length, 'sample')}`;
}

/** The choices of a filter with their counts; hidden where there is one. */
function drawFacet(name, label, counts) {
  const values = new Set(VALUES[name]);
  if (state[name]) values.add(state[name]);
  const choice = byId(name);
  choice.parentElement.hidden = values.size < 2;
  choice.replaceChildren(
    element('option', {'value': ''}, `${label}: any`),
    ...[...values].map((value) => element('option', {'value': value},
      `${label}: ${visible(value)} (${count(counts.get(value) ?? 0)})`)));
  choice.value = state[name];
}

async function drawReader() {
  const place = shown.indexOf(current);
  byId('place').textContent =
    `${place < 0 ? '–' : count(place + 1)} / ${count(shown.length)}`;
  byId('columns').classList.toggle('heat', state.heat === '1');
  const drawing = `${current?.number} ${state.with}`;
  if (drawing === drawn) return;
  drawn = drawing;
  hideTip();
  if (current) drawQuestion();
  else byId('question').replaceChildren('No sample passes the filters.');
  const columns = current ? columnsOf(current) : [];
  const traces = await Promise.all(columns.map(traceOf));
  if (drawing !== drawn) return; // another sample is read by now
  byId('columns').replaceChildren(
    ...columns.map((sample, i) => columnElement(sample, traces[i])));
  byId('reader').scrollTop = 0;
  if (current) {
    document.title = `${current.arm.arm} · ${current.question.dataset} ` +
      `${current.question.prompt} · Traces`;
  }
}

/** The question, and a button per arm and per sample that answers it. */
function drawQuestion() {
  const {question} = current;
  const all = BY_QUESTION.get(question);
  const arms = new Map();
  for (const sample of all) {
    if (!arms.has(sample.arm) || sample.sample === current.sample) {
      arms.set(sample.arm, sample);
    }
  }
  const repeats = all.filter((sample) => sample.arm === current.arm);
  const button = (sample, ...text) => element('button', {
    'type': 'button', 'data-number': sample.number,
    'aria-current': sample === current && 'true',
  }, gradeMark(sample), ...text);
  redraw(
    byId('question'), '[aria-current]',
    element('p.where', {}, isolated(question.dataset), ' ',
      element('b', {}, String(question.prompt))),
    element('blockquote', {'dir': 'auto'}, visible(question.question)),
    element('div.arms', {'role': 'group', 'aria-label': 'Arms'},
      ...[...arms.values()].map((sample) =>
        button(sample, isolated(sample.arm.arm)))),
    ...repeats.length < 2 ? [] : [element(
      'div.arms', {'role': 'group', 'aria-label': 'Samples'},
      ...repeats.map((sample) => button(sample, String(sample.sample))))]);
  const others = [...arms.keys()].filter((arm) => arm !== current.arm)
    .map((arm) => arm.arm);
  byId('with').replaceChildren(
    element('option', {'value': ''}, 'no other arm'),
    ...others.map((arm) => element('option', {'value': arm}, visible(arm))),
    ...others.length ? [element('option', {'value': '*'}, 'all arms')] : []);
  byId('with').value = state.with;
  if (!byId('with').value) byId('with').value = ''; // an arm that is not here
}

/** Shows what is known of a token or span beside it; `speak`: also to screen
 * readers. */
function showTip(target, speak = false) {
  const node = target.closest?.('.trace [data-t]');
  if (!node) return hideTip();
  const {text, facts, near} = factsOf(node);
  const tip = byId('tip');
  tip.replaceChildren(
    element('b.text', {}, isolated(text)),
    ...facts.map(([name, value]) => element('span', {}, `${name} `,
      element('b', {}, isolated(value)))),
    ...near.length && node.matches('.token') ? [nearElement(near)] : []);
  tip.hidden = false;
  const {left, top, bottom} = node.getClientRects()[0];
  const {width, height} = tip.getBoundingClientRect();
  const below = top < height + 12;
  tip.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  tip.style.top = `${below ? bottom + 6 : top - height - 6}px`;
  if (!speak) return;
  const words = facts.map((fact) => fact.join(' '));
  for (const [word, share] of near) {
    words.push(`near ${shortText(word)} ${percent(share)}`);
  }
  byId('live').textContent = [text, ...words].join('; ');
}

function hideTip() {
  byId('tip').hidden = true;
}

/** The tokens and spans of a trace that are seen. */
function seenTokens(box) {
  return [...box.querySelectorAll('[data-t]')].filter(
    (node) => node.getClientRects().length);
}

/** Moves the cursor of a trace: by a number of tokens, or to the 'first' or
 * 'last'. */
function walk(box, to) {
  const nodes = seenTokens(box);
  const place = {first: 0, last: nodes.length - 1}[to] ??
    nodes.indexOf(box.querySelector('.cursor')) + to;
  const node = nodes[Math.min(Math.max(place, 0), nodes.length - 1)];
  if (!node) return;
  setCursor(node);
  node.scrollIntoView({block: 'nearest'});
  showTip(node, true);
}

function setCursor(node) {
  node.closest('.trace').querySelector('.cursor')?.classList.remove('cursor');
  node.classList.add('cursor');
}
