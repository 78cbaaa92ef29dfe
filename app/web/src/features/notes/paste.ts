/**
 * Pasted markup without style attributes.
 *
 * The page's policy lets no inline style take effect, also in documents that are never shown, so
 * an editor cannot see what one says: Google Docs wraps everything into a `<b>` that is not bold,
 * and makes bold text of spans. What a style says of a text is put into elements here, by reading
 * the attribute as the text it is; the styles, and handlers of events, go. The parsed document is
 * inert: it runs nothing and loads nothing.
 */

type Test = (style: Map<string, string>) => boolean;

const isBold: Test = (style) => /^(bold|bolder|[6-9]00)$/.test(style.get('font-weight') ?? '');
const isPlain: Test = (style) => /^(normal|[1-5]00)$/.test(style.get('font-weight') ?? '');
const decorated =
  (line: string): Test =>
  (style) =>
    `${style.get('text-decoration')} ${style.get('text-decoration-line')}`.includes(line);

const MARKS: readonly (readonly [tag: string, test: Test])[] = [
  ['strong', isBold],
  ['em', (style) => style.get('font-style') === 'italic'],
  ['s', decorated('line-through')],
  ['u', decorated('underline')],
];

function declarations(text: string): Map<string, string> {
  const found = text.split(';').map((each): [string, string] => {
    const [name = '', ...value] = each.split(':');
    return [name.trim().toLowerCase(), value.join(':').trim().toLowerCase()];
  });
  return new Map(found);
}

export function withoutStyles(html: string): string {
  const { body } = new DOMParser().parseFromString(html, 'text/html');
  for (const element of body.querySelectorAll('*')) {
    const style = declarations(element.getAttribute('style') ?? '');
    for (const { name } of [...element.attributes]) {
      if (name === 'style' || name.startsWith('on')) element.removeAttribute(name);
    }
    if (element.matches('b, strong') && isPlain(style)) {
      element.replaceWith(...element.childNodes);
    } else if (element.matches('span')) {
      for (const [tag, test] of MARKS) {
        if (!test(style)) continue;
        const mark = element.ownerDocument.createElement(tag);
        mark.append(...element.childNodes);
        element.append(mark);
      }
    }
  }
  return body.innerHTML;
}
