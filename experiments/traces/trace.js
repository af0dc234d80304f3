/** A sample as a column: what it scored, and its trace token by token. */

const TRACE = new WeakMap(); // element of a trace -> its trace
const POINTS = 300; // of a drawing along a trace
const MAX_ENTROPY = 4; // nats: the end of the scale of the underlines

/** The column of a sample. */
function columnElement(sample, trace) {
  return element(
    'article', {'aria-label': `Sample of ${visible(sample.arm.arm)}`},
    element('h2', {}, gradeMark(sample), isolated(sample.arm.arm)),
    element('p.settings', {}, ...settings(sample.arm)),
    answers(sample), scores(sample, trace), figures(sample, trace),
    alongTrace(trace), ...prefixElements(trace), traceElement(sample, trace));
}

/** Which model, feedback and limits an arm has. */
function settings({arm, model, feedback, mode, control, budget, sampling}) {
  const words = [
    model, feedback, mode.replaceAll('_', ' '),
    sampling === 'sample' ? 'sampled' : sampling,
    budget === null ? '' : `${count(budget)} tokens at most`,
    control && `control: ${control.replaceAll('_', ' ')}`,
  ].filter((word) => word && word !== arm);
  return words.flatMap((word, i) => [i ? ' · ' : '', isolated(word)]);
}

function answers(sample) {
  const {answer} = sample.question;
  return element(
    'p.answers', {},
    element(`span.parsed.${sample.grade}`, {}, 'answer ', element('b', {},
      sample.parsed === null ? 'none' : isolated(sample.parsed))),
    element('span', {}, 'gold ', element('b', {}, isolated(
      Array.isArray(answer) ? answer.join(' | ') : answer))));
}

function scores(sample, trace) {
  const rewards = Object.entries(trace.rewards);
  if (rewards.length !== 1 || rewards[0][1] !== sample.reward) {
    rewards.push(['total', sample.reward]);
  }
  return element('p.scores', {}, 'reward', ...rewards.map(([name, value]) =>
    element('span', {}, isolated(name), ' ',
      element('b', {}, number(value)))));
}

function figures(sample, trace) {
  const marks = sample.num_tokens - trace.num_tokens_without_marks;
  const parts = [
    plural(sample.num_tokens, 'token') + (marks
      ? `, ${count(trace.num_tokens_without_marks)} without marks` : ''),
    trace.thinking_tokens && `${count(trace.thinking_tokens)} of thinking`,
    sample.latents && plural(sample.latents, 'latent'),
    trace.switches && plural(trace.switches, 'switch').replace('hs', 'hes'),
    sample.latents && `latent share ${percent(sample.mean_latent_share)}`,
    `mean entropy ${number(sample.mean_entropy)} nats`,
  ].filter(Boolean).map((text) => element('span', {}, text));
  if (trace.forced_tokens) {
    parts.push(element(
      'span.warning', {}, plural(trace.forced_tokens, 'forced token')));
  }
  if (sample.truncated) parts.push(element('span.warning', {}, 'truncated'));
  return element('p.figures', {}, ...parts);
}

/** A drawing of the latent share (area) and the entropy (line) along the
 * trace; a click goes to the token. */
function alongTrace(trace) {
  const shares = means(trace.latent_share);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${Math.max(shares.length, 1)} 1`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const area = shares.map((share, i) =>
    `V${1 - Math.sqrt(share)}H${i + 1}`).join('');
  const line = means(trace.entropy).map((entropy, i) =>
    `${i ? 'L' : 'M'}${i + 0.5} ${1 - heatOf(entropy)}`).join('');
  for (const [name, path] of [['area', `M0 1${area}V1Z`], ['line', line]]) {
    const drawn = document.createElementNS(svg.namespaceURI, 'path');
    drawn.setAttribute('class', name);
    drawn.setAttribute('d', path);
    svg.append(drawn);
  }
  return svg;
}

/** The means of at most POINTS stretches of a list. */
function means(values) {
  const size = Math.max(values.length / POINTS, 1);
  const found = [];
  for (let end = size; end <= values.length + 1e-6; end += size) {
    const part = values.slice(Math.round(end - size), Math.round(end));
    found.push(part.reduce((sum, x) => sum + (x ?? 0), 0) / part.length);
  }
  return found;
}

/** Square root of the entropy on a fixed scale, 0 to 1. */
function heatOf(entropy) {
  return Math.sqrt(Math.min(Math.max(entropy ?? 0, 0) / MAX_ENTROPY, 1));
}

/** The latents of a prefix, as cards before the completion. */
function prefixElements(trace) {
  if (!trace.prefix_near.length) return [];
  const cards = trace.prefix_near.map((near, i) => element(
    'div.card', {}, element('b', {}, `latent ${i + 1}`), nearElement(near)));
  return [element(
    'details.prefix', {},
    element('summary', {}, `prefix of ${plural(cards.length, 'latent')}: `,
      nearest(trace.prefix_near)),
    element('div.cards', {}, ...cards))];
}

/** The trace: tokens, and spans of latents as chips. */
function traceElement(sample, trace) {
  const box = element('div.trace', {
    'tabindex': 0, 'role': 'group', 'dir': 'auto',
    'aria-label': `Trace of ${visible(sample.arm.arm)}, ` +
      `${plural(trace.ids.length, 'token')}, arrow keys go by token`,
  });
  let t = 0;
  for (const [begin, end] of [...spansOf(trace), [Infinity, Infinity]]) {
    for (; t < Math.min(begin, trace.ids.length); t++) {
      box.append(tokenElement(trace, t));
    }
    if (begin < Infinity) box.append(...chipElements(trace, begin, end));
    t = end;
  }
  box.append(element(
    `span.end${sample.truncated ? '.warning' : ''}`, {},
    sample.truncated ? 'truncated' : trace.terminated ? 'end' : 'not ended'));
  TRACE.set(box, trace);
  return box;
}

/** The spans of latents between marks, [begin, end). A trace that begins within
 * a span has no first mark of it, one that is cut has no last. */
function spansOf({ids, latent, marks}) {
  const isMark = new Set(marks);
  const spans = [];
  let open = null; // where a span begins, or latents that may be one
  let marked = false;
  const close = (end) => {
    if (marked) spans.push([open, end]);
    [open, marked] = [null, false];
  };
  for (let t = 0; t < ids.length; t++) {
    if (isMark.has(t)) {
      const closes = open !== null;
      open ??= t;
      marked = true;
      if (closes) close(t + 1);
    } else if (latent[t]) {
      open ??= t;
    } else {
      close(t);
    }
  }
  close(ids.length);
  return spans;
}

function tokenElement(trace, t) {
  const share = trace.latent_share[t];
  return element('span.token', {
    'data-t': t,
    '--latent-share': share ? Math.sqrt(Math.min(share, 1)).toFixed(2) : null,
    '--heat': heatOf(trace.entropy[t]).toFixed(2),
  }, tokenText(trace.tokens[t]));
}

/** A span: a button, and what it opens. */
function chipElements(trace, begin, end) {
  const isMark = new Set(trace.marks);
  const places = [];
  for (let t = begin; t < end; t++) if (!isMark.has(t)) places.push(t);
  const near = places.map((t) => trace.near[t]);
  const label = plural(places.length, 'latent');
  const cards = places.map((t) => element(
    'span.card', {'data-t': t},
    element('b', {}, `position ${trace.first_position + t}`),
    nearElement(trace.near[t])));
  const panel = element(
    'span.cards', {'hidden': ''}, ...cards.length ? cards : ['no latents']);
  const chip = element(
    'button.chip', {
      'type': 'button', 'aria-expanded': 'false', 'data-t': begin,
      'data-places': places.join(' '),
    }, element('b', {}, label), ' ', nearest(near));
  chip.addEventListener('click', () => {
    panel.hidden = !panel.hidden;
    chip.setAttribute('aria-expanded', String(!panel.hidden));
  });
  return [chip, panel];
}

/** A token without the space that most begin with. */
const wordOf = (text) => shortText(text.trim() || text, 14);

/** The nearest token of each latent, in a line. */
function nearest(near) {
  const firsts = near.slice(0, 8).map((pairs) =>
    (pairs.length ? wordOf(pairs[0][0]) : '·'));
  const more = near.length > firsts.length ? ' …' : '';
  return element('bdi', {}, firsts.join(' · ') + more);
}

/** The tokens that a latent is near, with their shares. */
function nearElement(near) {
  if (!near.length) return element('span.none', {}, 'near: not recorded');
  return element('span.near', {'role': 'list'}, ...near.map(([text, share]) =>
    element('span', {'role': 'listitem', '--share': share ?? 0},
      element('bdi', {}, shortText(text)), ' ',
      element('span', {}, percent(share)))));
}

/** What is known of a token or span: its text, facts, and the tokens that its
 * latent is near. */
function factsOf(node) {
  const trace = TRACE.get(node.closest('.trace'));
  const t = Number(node.dataset.t);
  if (node.matches('.chip')) return spanFacts(trace, node.dataset.places);
  const logProb = trace.log_prob[t];
  const facts = [
    ['position', String(trace.first_position + t)],
    ['id', String(trace.ids[t])],
    ['entropy', `${number(trace.entropy[t])} nats`],
    ['log-prob', number(logProb) + (logProb === null || logProb > 0
      ? '' : `, ${percent(Math.exp(logProb))}`)],
    ['latent share', percent(trace.latent_share[t])],
  ];
  return {text: shortText(trace.tokens[t], 60), facts, near: trace.near[t]};
}

/** What is known of a span of latents: of each, the three nearest tokens. */
function spanFacts(trace, list) {
  const places = list ? list.split(' ').map(Number) : [];
  const facts = places.slice(0, 8).map((t) => [
    String(trace.first_position + t),
    trace.near[t].slice(0, 3).map(([text, share]) =>
      `${wordOf(text)} ${percent(share)}`).join(', ')]);
  if (places.length > facts.length) facts.push(['…', '']);
  return {text: plural(places.length, 'latent'), facts, near: []};
}
