/** The list of samples, of which only the rows in view exist. */

const ROW = 62; // height in CSS pixels, as in traces.css
const GRADES = {right: '✓', wrong: '✗', partly: '◐', ungraded: '?'};

const list = {
  box: byId('list'),
  rows: byId('rows'),
  samples: [],
  selected: -1,

  /** Shows these samples, with the selected one in view. */
  show(samples, selected) {
    this.samples = samples;
    this.selected = samples.indexOf(selected);
    this.rows.style.setProperty('height', `${samples.length * ROW}px`);
    if (this.selected >= 0) this.reveal(this.selected);
    this.draw();
  },

  reveal(place) {
    const top = place * ROW;
    const {scrollTop, clientHeight} = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    if (top + ROW > scrollTop + clientHeight) {
      this.box.scrollTop = top + ROW - clientHeight;
    }
  },

  draw() {
    const {scrollTop, clientHeight} = this.box;
    const begin = Math.max(Math.floor(scrollTop / ROW) - 3, 0);
    const end = Math.ceil((scrollTop + clientHeight) / ROW) + 3;
    const shown = this.samples.slice(begin, end);
    this.rows.replaceChildren(
      ...shown.map((sample, i) => this.row(sample, begin + i)));
    this.box.setAttribute(
      'aria-activedescendant',
      this.selected >= begin && this.selected < end ? 'selected' : '');
  },

  row(sample, place) {
    const {question, arm} = sample;
    const selected = place === this.selected;
    return element(
      'div.row',
      {
        'role': 'option', 'data-place': place, '--top': `${place * ROW}px`,
        'aria-selected': String(selected), 'id': selected && 'selected',
        'aria-setsize': this.samples.length, 'aria-posinset': place + 1,
      },
      gradeMark(sample),
      element('span.about', {},
        element('span.first', {}, element('b', {}, isolated(arm.arm)),
          element('span', {}, plural(sample.num_tokens, 'token'))),
        element('span.second', {}, isolated(question.dataset),
          ` ${question.prompt}${sample.sample ? `.${sample.sample}` : ''} · `,
          isolated(question.question.slice(0, 120).replace(/\s+/g, ' '))),
        strip(sample.shades)),
    );
  },
};

list.box.addEventListener('scroll', () => list.draw(), {passive: true});
new ResizeObserver(() => list.draw()).observe(list.box);

/** The grade of a sample as a coloured sign with its name. */
function gradeMark(sample) {
  return element(
    `span.grade.${sample.grade}`,
    {'role': 'img', 'aria-label': sample.grade, 'title': sample.grade},
    GRADES[sample.grade]);
}

/** The latent shares along a sample, a digit per stretch, as a thin line. */
function strip(shades) {
  const stops = [...shades].map((shade, i) =>
    `color-mix(in oklab, var(--latent) ${shade * 11}%, var(--edge)) ` +
    `${(100 * i) / shades.length}% ${(100 * (i + 1)) / shades.length}%`);
  return element('span.strip', {
    'aria-hidden': 'true',
    '--along': `linear-gradient(to right, ${stops.join(', ')})`,
  });
}
