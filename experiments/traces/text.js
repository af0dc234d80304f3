/** Text and elements. Text of a model is only ever the text of a node. */

// Controls, direction marks and overrides, zero-width and lone surrogates.
const UNSEEN = new RegExp([
  '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e]',
  '[\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]',
  '[\\u{e0000}-\\u{e007f}]', '\\p{Surrogate}'].join('|'), 'gu');

/** The text with the code of each character that would not be seen, or that
 * would move its neighbours. */
function visible(text) {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0).toString(16).toUpperCase();
    return `⟨${code.padStart(4, '0')}⟩`;
  });
}

/** A token as it stands in a trace: line breaks are seen, and an empty one. */
function tokenText(text) {
  return visible(text).replaceAll('\n', '↵\n') || '·';
}

/** A token as it stands in a list: short, its spaces seen. */
function shortText(text, limit = 24) {
  const shown = visible(text.slice(0, 4 * limit)).replaceAll('\n', '↵')
    .replaceAll('\t', '⇥').replace(/^ | $/g, '␣');
  const letters = [...shown];
  return letters.length > limit
    ? `${letters.slice(0, limit - 1).join('')}…` : shown || '·';
}

/**
 * An element.
 * @param {string} tag its name, with classes: 'span.a.b'.
 * @param {Object<string, *>} attributes `--x` sets a property of its style,
 *   false and null leave one out.
 * @param {...(Node|string)} children a string is text.
 */
function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith('--')) made.style.setProperty(key, value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Replaces what is in a box; the focus, if it was there, is then on the child
 * that the selector finds. */
function redraw(box, selector, ...children) {
  const focused = box.contains(document.activeElement);
  box.replaceChildren(...children);
  if (focused) box.querySelector(selector)?.focus();
}

/** Text of a record within a line of ours: its direction stays its own. */
const isolated = (text) => element('bdi', {}, visible(String(text)));

/** A number with at most three digits; a dash for none. */
function number(value) {
  if (value === null || value === undefined) return '–';
  return String(Number(value.toPrecision(3))).replace('-', '−');
}

const COUNT = new Intl.NumberFormat('en');
const count = (value) => COUNT.format(value);
const percent = (share) =>
  (share === null ? '–' : `${number(100 * share)}\u00a0%`);
const plural = (value, noun) =>
  `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
