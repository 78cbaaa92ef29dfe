const CHARACTERS = 4_000;
const LINES = 60;

/** The beginning of a text that is too long to be shown whole at once; null: it is not. */
export function excerpt(text: string): string | null {
  let end = text.length > CHARACTERS * 1.25 ? CHARACTERS : text.length;
  let at = -1;
  for (let lines = 0; lines < LINES; lines += 1) {
    at = text.indexOf('\n', at + 1);
    if (at < 0 || at > end) break;
  }
  if (at >= 0 && at < end) end = at;
  if (end === text.length) return null;
  const space = Math.max(text.lastIndexOf(' ', end), text.lastIndexOf('\n', end));
  const whole = space > end / 2 ? space : end;
  // Not through the middle of a surrogate pair.
  return text.slice(0, whole).replace(/[\ud800-\udbff]$/, '');
}
