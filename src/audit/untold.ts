/** What a chain does not tell of yet: a start or a torn line, events that were lost, and lines of a write that failed. */

import type { Clock } from '../clock.js';
import type { Chain, DraftLine } from './chain.js';
import type { AuditNotice, LineBody } from './line.js';
import type { Past } from './sink.js';

/** What the next write tells first. */
interface Told {
  readonly lines: readonly LineBody[];
  /** So many lines of the write were written, counted from the first of these. */
  readonly written: (lines: number) => void;
}

export class Untold {
  readonly #clock: Clock;
  /** Lines that have to come before all others: what is to be told of a restart or a failure. */
  #notices: LineBody[] = [];
  #lost = 0;
  #lostEvents = 0;
  /** Lines of a failed write, some of which may be there. */
  unsure: readonly DraftLine[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#lost === 0 && this.#notices.length === 0;
  }

  /** Events that were not written and that no line tells of yet. */
  get lost(): number {
    return this.#lost;
  }

  /** Events that were not written, ever. */
  get lostEvents(): number {
    return this.#lostEvents;
  }

  tell(): Told {
    const { length: notices } = this.#notices;
    const lost = this.#lost;
    const gap = lost > 0 ? [this.#notice('gap', { lost })] : [];
    const lines = [...this.#notices, ...gap];
    return {
      lines,
      written: (written) => {
        this.#notices.splice(0, Math.min(notices, written));
        if (written >= lines.length) this.#lost -= lost;
      },
    };
  }

  /** @returns how many of the lines are events. */
  lose(bodies: readonly LineBody[]): number {
    const lost = bodies.filter(({ type }) => type === 'event').length;
    this.#lost += lost;
    this.#lostEvents += lost;
    // Notices come again; a checkpoint is made anew.
    this.#notices.push(...bodies.filter(({ type }) => type === 'notice'));
    return lost;
  }

  /** What a sink that was opened is told first: a start, if this is one, and the torn lines that no notice tells of. */
  begin(start: readonly LineBody[], torn: Past['torn']): void {
    const untold = torn.filter(({ sha256 }) => !this.#notices.some(tellsOf(sha256)));
    this.#notices.unshift(
      ...start,
      ...untold.map(({ bytes, sha256 }) =>
        this.#notice('recovery', { tornBytes: bytes, tornSha256: sha256 }),
      ),
    );
  }

  /**
   * Lines of the failed write that are there all the same are not lost.
   * @throws Error when the sink holds anything else than what this process wrote: it would be signed as if it had.
   */
  settle({ head, lines }: Past, before: Chain): void {
    const there = lines.filter(({ line }) => line.sequence > before.head.sequence);
    const ours = this.unsure.slice(0, there.length);
    const isOurs = there.length === ours.length && there.every(({ text }, at) => text === ours[at]?.text);
    const end = ours.at(-1) ?? before.head;
    if (!isOurs || head.sequence !== end.sequence || head.sha256 !== end.sha256) {
      throw new Error(
        'what was written last is not there as it was: somebody else changed, shortened or replaced it. ' +
          'Verify it, and restart with another path',
      );
    }
    before.commit(ours);
    const bodies = ours.map(({ body }) => body);
    const events = bodies.filter(({ type }) => type === 'event').length;
    this.#notices = this.#notices.filter((notice) => !bodies.includes(notice));
    this.#lost -= events + bodies.reduce((sum, body) => sum + toldLoss(body), 0);
    this.#lostEvents -= events;
    this.unsure = [];
  }

  #notice(notice: AuditNotice['notice'], details: AuditNotice['details']): LineBody {
    return { type: 'notice', notice, time: new Date(this.#clock.now()).toISOString(), details };
  }
}

const tellsOf =
  (tornSha256: string) =>
  (body: LineBody): boolean =>
    body.type === 'notice' && body.details['tornSha256'] === tornSha256;

/** The events that a `gap` tells of. */
function toldLoss(body: LineBody): number {
  const lost = body.type === 'notice' && body.notice === 'gap' ? body.details['lost'] : 0;
  return Number(lost);
}
