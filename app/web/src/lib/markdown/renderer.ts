/** What the Markdown library writes differently for us. */

import type { RendererObject } from 'marked';
import { isPicture } from './addresses';

export const renderer: RendererObject = {
  // A picture from elsewhere would tell that place who reads, and what the address says.
  image({ href, text }) {
    const alt = escape(text);
    if (isPicture(href)) return `<img src="${escape(href)}" alt="${alt}">`;
    return `<a href="${escape(href)}">${alt || escape(href)}</a>`;
  },
  checkbox({ checked }) {
    return checked ? '☑ ' : '☐ ';
  },
};

/** For text in which HTML is what somebody wrote, not what they mean. */
export const plainHtml: RendererObject = {
  ...renderer,
  html({ text, block }) {
    const shown = escape(text);
    return block ? `<p>${shown.trim().replaceAll('\n', '<br>')}</p>` : shown;
  },
};

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
