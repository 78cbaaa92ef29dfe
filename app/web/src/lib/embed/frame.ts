/**
 * What frame.html runs: shows markup of a tool, with its styles and without its scripts.
 *
 * Three walls: the markup is sanitised here; the policy of this document runs no inline script;
 * its origin is opaque, so a script that got through would find nothing. The page hands over a
 * port, so nobody else is listened to.
 */

import DOMPurify from 'dompurify';
import './frame.css';
import type { Height, Show } from './protocol';

let port: MessagePort | null = null;

addEventListener('message', (event) => {
  if (event.source !== parent || port || !event.ports[0]) return;
  port = event.ports[0];
  port.onmessage = ({ data }: MessageEvent<Show>) => show(data.html);
});

// Links leave by a window of their own; the frame itself stays what it is.
DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  const to = node.getAttribute('href') ?? node.getAttribute('xlink:href');
  if (to === null || to.startsWith('#')) return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer');
});

const content = document.createElement('div');
content.id = 'content';
document.body.append(content);

function show(html: string): void {
  const clean: unknown = DOMPurify.sanitize(html, {
    WHOLE_DOCUMENT: true, // or styles of a head would be lost
    RETURN_DOM: true,
    ADD_TAGS: ['style'],
    FORBID_TAGS: ['form', 'iframe', 'object', 'embed', 'base', 'meta', 'link'],
  });
  if (!(clean instanceof HTMLElement)) return;
  const styles = [...clean.querySelectorAll('head style')];
  const body = clean.querySelector('body');
  // Most markup is made for white paper; what knows about dark pages says so.
  document.documentElement.classList.toggle('adapts', /color-scheme|light-dark\(/.test(html));
  if (body) {
    for (const name of ['class', 'style']) {
      const value = body.getAttribute(name);
      if (value !== null) document.body.setAttribute(name, value);
    }
  }
  content.replaceChildren(...styles, ...(body?.childNodes ?? []));
}

let told = 0;
new ResizeObserver(() => {
  const height = Math.ceil(content.getBoundingClientRect().bottom + scrollY);
  if (height === told) return;
  told = height;
  port?.postMessage({ height } satisfies Height);
}).observe(content);
