/** What an embed is: markup, the address of another site, or neither. */

export type EmbedKind =
  | { kind: 'html'; html: string }
  | { kind: 'site'; url: string; host: string }
  | { kind: 'text'; text: string };

const MOST_HTML = 4_000_000;

/** @param origin the page's own: nothing of it is ever framed as if it were foreign */
export function kindOf(embed: unknown, origin: string): EmbedKind {
  if (typeof embed !== 'string') {
    return { kind: 'text', text: JSON.stringify(embed, null, 2) ?? '' };
  }
  const text = embed.trim();
  if (/^[a-z][a-z0-9+.-]*:\S*$/i.test(text)) {
    const url = URL.canParse(text) ? new URL(text) : null;
    const foreign = url?.protocol === 'https:' && url.origin !== origin;
    // A name and password in front of the host would be for show only.
    if (!url || !foreign || url.username || url.password) return { kind: 'text', text };
    return { kind: 'site', url: url.href, host: url.host };
  }
  if (/<[a-z!][^>]*>/i.test(text) && text.length <= MOST_HTML) return { kind: 'html', html: text };
  return { kind: 'text', text };
}
