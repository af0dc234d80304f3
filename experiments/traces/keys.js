/** What the controls and keys do; then the page starts. */

const STEPS = {ArrowRight: 1, ArrowLeft: -1, Home: 'first', End: 'last'};

const KEYS = {
  'j': () => move(1, false),
  'k': () => move(-1, false),
  'J': () => move(1, true),
  'K': () => move(-1, true),
  '/': () => {
    document.body.classList.add('listed');
    byId('search').focus();
    byId('search').select();
  },
  'f': () => {
    const grades = [...byId('grades').children].map((x) => x.dataset.grade);
    const place = (grades.indexOf(state.grade) + 1) % grades.length;
    change({grade: grades[place]});
  },
  'c': () => {
    const arms = [...byId('with').options].map((option) => option.value);
    const place = (arms.indexOf(byId('with').value) + 1) % arms.length;
    change({with: arms[place]}, true);
  },
  'e': () => change({heat: state.heat === '1' ? '' : '1'}),
  't': () => document.querySelector('.trace')?.focus(),
  '?': () => byId('help').showModal(),
};

document.addEventListener('keydown', (event) => {
  const {key, target} = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (byId('help').open) return;
  if (key === 'Escape') {
    hideTip();
    target.blur?.();
    return;
  }
  if (target.matches('input, select')) return;
  const box = target.closest('.trace');
  const byRow = target === document.body || target.closest('#list');
  if (target === box && key === 'Enter') {
    box.querySelector('.cursor.chip')?.click();
  } else if (box && Object.hasOwn(STEPS, key)) {
    walk(box, STEPS[key]);
  } else if (byRow && /^Arrow(Up|Down)$/.test(key)) {
    move(key === 'ArrowDown' ? 1 : -1, false);
  } else if (Object.hasOwn(KEYS, key)) {
    KEYS[key]();
  } else {
    return;
  }
  event.preventDefault();
});

byId('facets').append(...Object.entries(FACETS)
  .filter(([name]) => name !== 'grade')
  .map(([name, [label]]) => element('label', {}, element('select', {
    'id': name, 'aria-label': label,
  }))), element('label', {}, element('select', {
  'id': 'sort', 'aria-label': 'Order',
}, ...Object.entries(ORDERS).map(([name, [label]]) =>
  element('option', {'value': name}, `order: ${label}`)))));

byId('facets').addEventListener('change', ({target}) =>
  change({[target.id]: target.value}));
byId('search').addEventListener('input', ({target}) =>
  change({search: target.value}));
byId('grades').addEventListener('click', ({target}) => {
  const button = target.closest('button');
  if (button) change({grade: button.dataset.grade});
});
byId('list').addEventListener('click', ({target}) => {
  const row = target.closest('.row');
  if (row) go(shown[row.dataset.place]);
  document.body.classList.remove('listed');
});
byId('question').addEventListener('click', ({target}) => {
  const button = target.closest('button');
  if (button) go(SAMPLES[button.dataset.number]);
});
byId('with').addEventListener('change', ({target}) =>
  change({with: target.value}, true));
byId('heat').addEventListener('click', KEYS.e);
byId('ask').addEventListener('click', KEYS['?']);
byId('previous').addEventListener('click', KEYS.k);
byId('next').addEventListener('click', KEYS.j);
for (const id of ['open-side', 'close-side']) {
  byId(id).addEventListener('click', () =>
    document.body.classList.toggle('listed', id === 'open-side'));
}

const columns = byId('columns');
columns.addEventListener('pointerover', ({target}) => showTip(target));
columns.addEventListener('pointerleave', hideTip);
columns.addEventListener('focusin', ({target}) => showTip(target));
columns.addEventListener('focusout', hideTip);
columns.addEventListener('click', ({target, clientX}) => {
  const node = target.closest('.trace [data-t]');
  if (node) setCursor(node);
  const svg = target.closest('svg');
  if (!svg) return;
  const {left, width} = svg.getBoundingClientRect();
  const box = svg.closest('article').querySelector('.trace');
  const t = (clientX - left) / width * TRACE.get(box).ids.length;
  seenTokens(box).findLast((token) => token.dataset.t <= t)
    ?.scrollIntoView({block: 'center'});
});
for (const scroll of ['wheel', 'touchmove']) {
  byId('reader').addEventListener(scroll, hideTip, {passive: true});
}

byId('scale').append('latent share', ...[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1].map(
  (share) => element('span.token', {
    '--latent-share': Math.sqrt(share).toFixed(2),
  }, ` ${100 * share} % `)));

addEventListener('popstate', () => {
  readAddress();
  update(true);
});
readAddress();
update(true);
writeAddress(false);
