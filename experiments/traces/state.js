/** What the page shows, as its address has it, and the samples that pass. */

// All of the address; these are the values that it leaves out.
const DEFAULTS = {
  arm: '', dataset: '', prompt: '', sample: '', // the sample that is read
  with: '', // another arm beside it; *: all
  grade: '', only_dataset: '', only_arm: '', control: '', truncated: '',
  latents: '', search: '', sort: '', heat: '',
};
const state = {...DEFAULTS};

/** Filters with few values: name -> [label, value of a sample]. */
const FACETS = {
  grade: ['grade', (sample) => sample.grade],
  only_dataset: ['dataset', (sample) => sample.question.dataset],
  only_arm: ['arm', (sample) => sample.arm.arm],
  control: ['control', (sample) => sample.arm.control || 'none'],
  truncated: ['truncated', (sample) => (sample.truncated ? 'yes' : 'no')],
  latents: ['latents', (sample) => (sample.latents ? 'yes' : 'no')],
};

/** Orders: name -> [label, key of a sample]. A minus reverses. */
const ORDERS = {
  '': ['question', (sample) => sample.order],
  'num_tokens': ['fewest tokens', (sample) => sample.num_tokens],
  '-num_tokens': ['most tokens', (sample) => -sample.num_tokens],
  'mean_entropy': ['lowest entropy', (sample) => sample.mean_entropy],
  '-mean_entropy': ['highest entropy', (sample) => -sample.mean_entropy],
  'mean_latent_share':
    ['least latent', (sample) => sample.mean_latent_share],
  '-mean_latent_share':
    ['most latent', (sample) => -sample.mean_latent_share],
  'reward': ['lowest reward', (sample) => sample.reward ?? Infinity],
  '-reward': ['highest reward', (sample) => -(sample.reward ?? -Infinity)],
};

for (const sample of SAMPLES) {
  sample.facets = {};
  for (const [name, [, valueOf]] of Object.entries(FACETS)) {
    sample.facets[name] = valueOf(sample);
  }
}
/** Facet -> all its values. */
const VALUES = Object.fromEntries(Object.keys(FACETS).map((name) =>
  [name, [...new Set(SAMPLES.map((sample) => sample.facets[name]))]]));

/** Sets the state from the address. */
function readAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(DEFAULTS)) {
    state[name] = fields.get(name) ?? DEFAULTS[name];
  }
  if (!Object.hasOwn(ORDERS, state.sort)) state.sort = '';
}

/** Writes the state to the address; with `step`, Back returns to the one
 * before. */
function writeAddress(step) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value !== DEFAULTS[name]) fields.set(name, value);
  }
  const hash = `#${fields}`;
  if (hash === location.hash) return;
  if (step) history.pushState(null, '', hash);
  else history.replaceState(null, '', hash);
}

/** The samples that pass all filters, in order, and per facet the number of
 * samples of each value that pass the others. */
function filtered() {
  const counts = Object.fromEntries(
    Object.keys(FACETS).map((name) => [name, new Map()]));
  const wanted = state.search.toLowerCase();
  const shown = [];
  for (const sample of SAMPLES) {
    if (wanted && !searched(sample).includes(wanted)) continue;
    const failed = Object.keys(FACETS).filter((name) =>
      state[name] && sample.facets[name] !== state[name]);
    if (failed.length > 1) continue;
    for (const name of failed.length ? failed : Object.keys(FACETS)) {
      const value = sample.facets[name];
      counts[name].set(value, (counts[name].get(value) ?? 0) + 1);
    }
    if (!failed.length) shown.push(sample);
  }
  const [, key] = ORDERS[state.sort];
  shown.sort((a, b) => key(a) - key(b) || a.number - b.number);
  return {shown, counts};
}

/** The sample that the state names, or null. */
function named() {
  return SAMPLES.find((sample) =>
    sample.arm.arm === state.arm &&
    sample.question.dataset === state.dataset &&
    String(sample.question.prompt) === state.prompt &&
    String(sample.sample) === state.sample) ?? null;
}

/** Makes `sample` the one that is read. */
function select(sample) {
  Object.assign(state, {
    arm: sample.arm.arm,
    dataset: sample.question.dataset,
    prompt: String(sample.question.prompt),
    sample: String(sample.sample),
  });
}

/** The samples side by side: the one that is read, and of the same question
 * those of the other arms that the state asks for. */
function columnsOf(sample) {
  const all = BY_QUESTION.get(sample.question);
  const others = new Map();
  for (const other of all) {
    const name = other.arm.arm;
    if (other.arm === sample.arm) continue;
    if (state.with !== '*' && state.with !== name) continue;
    if (!others.has(name) || other.sample === sample.sample) {
      others.set(name, other);
    }
  }
  return [sample, ...others.values()];
}
