/**
 * From HTML that anybody may have written to a tree that is safe to show: known elements without
 * scripts, styles, forms or frames; links to http(s) and mailto only, in a tab of their own that
 * learns nothing of us; pictures only when the text contains them.
 */

import DOMPurify from 'dompurify';
import { isLink, isPicture } from './addresses';

const purify = DOMPurify(window);

purify.addHook('uponSanitizeAttribute', (node, attribute) => {
  if (attribute.attrName === 'src' && !isPicture(attribute.attrValue)) attribute.keepAttr = false;
  if (attribute.attrName === 'href' && !isLink(attribute.attrValue)) attribute.keepAttr = false;
  // Only what our own highlighter gives.
  if (attribute.attrName === 'class') {
    attribute.keepAttr =
      node.nodeName === 'CODE' && /^language-[\w+#-]+$/.test(attribute.attrValue);
  }
});

purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.nodeName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer nofollow');
});

const ALLOWED_TAGS = [
  'a', 'b', 'blockquote', 'br', 'code', 'dd', 'del', 'details', 'div', 'dl', 'dt', 'em', 'h1', 'h2',
  'h3', 'h4', 'h5', 'h6', 'hr', 'i', 'img', 'ins', 'kbd', 'li', 'mark', 'ol', 'p', 'pre', 'q', 's',
  'samp', 'small', 'span', 'strong', 'sub', 'summary', 'sup', 'table', 'tbody', 'td', 'tfoot', 'th',
  'thead', 'tr', 'u', 'ul', 'var',
]; // prettier-ignore
const ALLOWED_ATTR = [
  'align',
  'alt',
  'class',
  'colspan',
  'href',
  'open',
  'rowspan',
  'src',
  'start',
];

/** A `body` element with the safe tree, in a document of its own. */
export function sanitise(html: string): HTMLElement {
  const body = purify.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM: true,
  });
  return body as HTMLElement;
}
