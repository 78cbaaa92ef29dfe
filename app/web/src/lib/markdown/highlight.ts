/** Colours for code. The highlighter loads when the first code is shown. */

import type { HLJSApi } from 'highlight.js';

/** Longer code stays plain: it would take too long, and nobody reads it for its colours. */
const MOST_CHARACTERS = 150_000;

let highlighter: HLJSApi | null = null;
let loading: Promise<void> | null = null;

/** Resolves when {@link highlight} can be used. */
export function ready(): Promise<void> {
  loading ??= import('highlight.js/lib/common').then(
    (module) => {
      highlighter = module.default;
    },
    () => {
      loading = null; // plain code is readable, too; the next block tries again
    },
  );
  return loading;
}

/** HTML of `<span>`s and escaped text, or null: not loaded, no such language, too long. */
export function highlight(code: string, language: string): string | null {
  if (!highlighter || code.length > MOST_CHARACTERS) return null;
  if (!highlighter.getLanguage(language)) return null;
  return highlighter.highlight(code, { language, ignoreIllegals: true }).value;
}
