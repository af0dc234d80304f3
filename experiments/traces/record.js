'use strict';

/** The samples of the page: its index, and the trace of each on demand. */

/** @return {HTMLElement} the element of the page with this id. */
const byId = (id) => document.getElementById(id);

const INDEX = JSON.parse(byId('index').textContent);
const TRACES = byId('traces').textContent.split('\n');

/** Samples as objects, in the order of the record. */
const SAMPLES = TRACES.map((_, number) => {
  const sample = {number};
  for (const [field, values] of Object.entries(INDEX.samples)) {
    sample[field] = values[number];
  }
  sample.order = sample.question; // of its question
  sample.arm = INDEX.arms[sample.arm];
  sample.question = INDEX.questions[sample.question];
  sample.grade = gradeOf(sample);
  return sample;
});

/** Question -> its samples. */
const BY_QUESTION = new Map();
for (const sample of SAMPLES) {
  if (!BY_QUESTION.has(sample.question)) BY_QUESTION.set(sample.question, []);
  BY_QUESTION.get(sample.question).push(sample);
}

/** @return {string} 'right', 'wrong', 'partly' or 'ungraded'. */
function gradeOf(sample) {
  if (sample.ungraded || sample.correct === null) return 'ungraded';
  if (sample.correct >= 1) return 'right';
  return sample.correct > 0 ? 'partly' : 'wrong';
}

/** What is searched: lower case, made once. */
function searched(sample) {
  sample.searched ??=
    `${sample.question.question}\n${sample.completion}`.toLowerCase();
  return sample.searched;
}

/** The trace of a sample: its lists per token, with the texts of tokens. */
async function traceOf(sample) {
  const packed = atob(TRACES[sample.number]);
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream();
  const plain = stream.pipeThrough(new DecompressionStream('deflate'));
  const trace = JSON.parse(await new Response(plain).text());
  trace.tokens = trace.tokens.map((place) => INDEX.texts[place]);
  trace.near = trace.near.map(pairsOf);
  trace.prefix_near = trace.prefix_near.map(pairsOf);
  return trace;
}

/** [token, share, token, share, ...] as [[text, share], ...], without the
 * tokens that a mixture of fewer has not. */
function pairsOf(flat) {
  const pairs = [];
  for (let i = 0; flat && i < flat.length; i += 2) {
    if (flat[i + 1] > 0) pairs.push([INDEX.texts[flat[i]], flat[i + 1]]);
  }
  return pairs;
}
