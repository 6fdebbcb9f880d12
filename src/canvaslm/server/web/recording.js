// What a stream showed, moment by moment: every step of every canvas, so that it can be seen again.

/** An answer as it came. Each frame is one moment: `settled` characters of `text`, then a draft. */
export class Recording {
  constructor(clock = () => performance.now() / 1000) {
    this.clock = clock;
    this.begun = clock();
    this.frames = [];
    this.text = "";
    this.deltas = 0;
    this.steps = 0;
    this.firstText = null;
    this.usage = null;
    this.finished = false;
  }

  /** Take in one chunk of a stream, a chat's or a rewriting's. */
  add(chunk) {
    if (chunk.canvas) this.#draft(chunk.canvas);
    const choice = chunk.choices?.[0];
    const delta = choice?.delta?.content ?? choice?.text ?? chunk.edit?.text ?? "";
    if (delta) this.#settle(delta);
    this.usage = chunk.usage ?? chunk.edit?.usage ?? this.usage;
  }

  /** Nothing more comes; `whole`: what came is the whole answer. */
  end(whole) {
    this.finished = true;
    const last = this.frames.at(-1);
    if (whole && last) this.frames.push({ ...last, t: this.#now(), rest: null, last: true });
  }

  /** Seconds that it takes in all, so far. */
  get seconds() {
    return this.frames.at(-1)?.t ?? 0;
  }

  /** The number of the frame that is seen `t` seconds after the start; -1: none yet. */
  at(t) {
    let low = 0;
    let high = this.frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.frames[middle].t <= t) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #now() {
    return this.clock() - this.begun;
  }

  #draft(canvas) {
    this.steps += 1;
    const offset = canvas.offset ?? 0;
    this.#push({ ...canvas, offset }, offset + count(canvas.accepted));
  }

  #settle(delta) {
    this.text += delta;
    this.deltas += 1;
    this.firstText ??= this.#now();
    const before = this.frames.at(-1);
    const rest = before?.rest ? without(before.rest, delta) : null;
    this.#push(rest, Math.max(before?.tokens ?? 0, this.deltas));
    // A canvas that is committed in several pieces at once is one moment.
    if (before?.settling && this.frames.at(-1).t - before.t < 0.002) this.frames.splice(-2, 1);
    this.frames.at(-1).settling = true;
  }

  #push(rest, tokens) {
    const { steps, text, firstText } = this;
    const canvas = rest?.canvas ?? this.frames.at(-1)?.canvas ?? 0;
    const step = rest?.step ?? this.frames.at(-1)?.step ?? 0;
    const t = this.#now();
    this.frames.push({ t, settled: text.length, rest, tokens, steps, canvas, step, firstText });
  }
}

function count(flags) {
  return flags.reduce((sum, flag) => sum + (flag ? 1 : 0), 0);
}

/** A draft without the tokens whose text has just been settled; null: nothing else is in it. */
function without(rest, delta) {
  let length = 0;
  let tokens = 0;
  while (tokens < rest.tokens.length && length < delta.length) {
    length += rest.tokens[tokens].length;
    tokens += 1;
  }
  if (tokens >= rest.tokens.length || !rest.tokens.join("").startsWith(delta)) return null;
  const cut = (list) => list.slice(tokens);
  return {
    ...rest,
    offset: rest.offset + tokens,
    tokens: cut(rest.tokens),
    certainty: cut(rest.certainty),
    accepted: cut(rest.accepted),
    noise: cut(rest.noise),
  };
}
