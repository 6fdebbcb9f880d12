// A clock for what was recorded: it runs, slower if steps are too quick to see, stops and jumps.

const SECONDS_PER_STEP = 0.22;

/** Moves `position` (recorded seconds) along; `move` is called with it whenever it changes. */
export class Player {
  constructor({ end, live, pace, move }) {
    Object.assign(this, { end, live, pace, move });
    this.position = 0;
    this.playing = false;
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  /** Go on from `position`; from the start where it stands at the end. */
  play(position = this.position) {
    this.position = !this.live() && position >= this.end() ? 0 : position;
    if (this.playing) return;
    this.playing = true;
    let before = null;
    const tick = (now) => {
      if (!this.playing) return;
      const passed = before === null ? 0 : (now - before) / 1000;
      before = now;
      this.#advance(passed);
      if (this.playing) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  pause() {
    this.playing = false;
    this.move(this.position);
  }

  /** Stop at a moment. */
  seek(position) {
    this.position = position;
    this.pause();
  }

  #advance(passed) {
    const end = this.end();
    this.position = this.still
      ? end
      : Math.min(end, this.position + passed * this.pace(this.position));
    if (this.position >= end && !this.live()) this.playing = false;
    this.move(this.position);
  }
}

/** How fast to show steps that take `mean` seconds each: 1 is as they came. */
export function slowed(mean) {
  return mean > 0 ? Math.min(1, mean / SECONDS_PER_STEP) : 1;
}
