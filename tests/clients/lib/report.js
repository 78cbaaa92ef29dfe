// What the clients of a history have to tell: lines of JSON on standard output.
//
//   {"fact": "lost", "at", "person", "reason"}            a connection broke
//   {"fact": "back", "at", "person", "since", "recovered"} and is there again
//   {"fact": "refused", "at", "person", "error"}          an attempt to connect failed
//   {"fact": "silent", "at", "person", "since"}           an event came after a long time without
//   {"fact": "wrong", "at", "person", "kind", …}          something lost, doubled, out of order
//   {"status": {…}}                                       how things are, see `Report.status`
//   {"report": {…}}                                       the last line
//
// Times are milliseconds of the system's clock, so that those of several processes compare.

export const now = () => performance.timeOrigin + performance.now();

/** Between two events of somebody whose answer goes on, less than this is not told. */
const SILENCE_MS = 1000;

export class Report {
  constructor() {
    this.counts = {
      events: 0, deltas: 0, answers: 0, interrupted: 0, posts: 0, postsRefused: 0, asksRefused: 0,
      disconnects: 0, recovered: 0, resynced: 0, longestPauseMs: 0, longestOutageMs: 0,
    }; // prettier-ignore
    this.failings = {
      gaps: [], doubles: [], disorder: [], offsetsBack: [], wrongTexts: [], channelLost: [],
      channelDoubles: [], channelDisorder: [],
    }; // prettier-ignore
    this.refusals = {};
    this.began = now();
  }

  wrong(person, kind, details) {
    this.failings[kind].push({ person, ...details });
    this.fact('wrong', { person, kind, ...details });
  }

  lost(person, reason) {
    this.counts.disconnects += 1;
    this.fact('lost', { person, reason });
  }

  back(person, since, recovered) {
    this.counts.longestOutageMs = Math.max(this.counts.longestOutageMs, now() - since);
    this.fact('back', { person, since, recovered });
  }

  /** Time between two events of a person, or since it connected first. */
  pause(person, since) {
    const took = now() - since;
    this.counts.longestPauseMs = Math.max(this.counts.longestPauseMs, took);
    if (took >= SILENCE_MS) this.fact('silent', { person, since });
  }

  /** A request or a handshake that failed. */
  refused(error) {
    this.refusals[error] = (this.refusals[error] ?? 0) + 1;
  }

  fact(fact, fields) {
    say({ fact, at: now(), ...fields });
  }

  /** Who is connected, who waits, since when; and what was counted so far. */
  status(people) {
    const { events, answers, disconnects } = this.counts;
    const waiting = people.filter((person) => !person.socket.connected);
    const silent = people.filter((person) => person.opened).map((person) => person.lastEventAt);
    say({
      status: {
        at: now(),
        people: people.length,
        connected: people.length - waiting.length,
        opened: people.filter((person) => person.opened && !person.syncing).length,
        since: least(waiting.map((person) => person.lostAt)),
        silentSince: least(silent),
        events, answers, disconnects,
        wrong: Object.values(this.failings).reduce((sum, each) => sum + each.length, 0),
      },
    }); // prettier-ignore
  }

  end(seconds) {
    const eventsPerSecond = this.counts.events / seconds;
    const { counts, failings, refusals } = this;
    say({ report: { ...counts, ...failings, refusals, seconds, eventsPerSecond } });
  }
}

const least = (times) => (times.length ? Math.min(...times) : null);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
