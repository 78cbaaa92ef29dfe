const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'narrow' });
const dates = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const times = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

/** How long ago a moment was, in a word or two. `at` in milliseconds since 1970. */
export function ago(at: number, now = Date.now()): string {
  const passed = now - at;
  if (passed < MINUTE) return 'now';
  if (passed < HOUR) return relative.format(-Math.floor(passed / MINUTE), 'minute');
  if (passed < DAY) return relative.format(-Math.floor(passed / HOUR), 'hour');
  if (passed < 7 * DAY) return relative.format(-Math.floor(passed / DAY), 'day');
  return dates.format(at);
}

/** The time of day, with the date unless it is today. `at` in milliseconds since 1970. */
export function clock(at: number, now = Date.now()): string {
  const today = new Date(at).toDateString() === new Date(now).toDateString();
  return today ? times.format(at) : `${dates.format(at)}, ${times.format(at)}`;
}
