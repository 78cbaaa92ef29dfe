/**
 * The editor of a note: TipTap's StarterKit over the document's `prosemirror` fragment.
 *
 * The schema is the one the server knows (docs/design.md): nothing may be added here that it does
 * not have. Nothing may write by itself either, or opening a note would change it: so there is no
 * trailing node. Styles are in note.css, since the page's policy allows no inline ones.
 */

import { Editor, Extension, type Mark } from '@tiptap/core';
import Collaboration, { isChangeOrigin } from '@tiptap/extension-collaboration';
import Placeholder from '@tiptap/extension-placeholder';
import { Plugin } from '@tiptap/pm/state';
import StarterKit from '@tiptap/starter-kit';
import type { Awareness } from 'y-protocols/awareness';
import { XmlElement, XmlText, type Doc, type XmlFragment } from 'yjs';
import { isLink } from '$lib/markdown/addresses';
import { Cursors } from './cursors';
import { withoutStyles } from './paste';

export const FRAGMENT = 'prosemirror';

interface Options {
  element: HTMLElement;
  doc: Doc;
  awareness: Awareness;
  editable: boolean;
  /** Ctrl or Cmd and K. */
  onlink: () => void;
}

/** A person types addresses without `https://`, too. */
function mayBecomeLink(address: string): boolean {
  return isLink(/^[a-z][a-z0-9+.-]*:/i.test(address) ? address : `https://${address}`);
}

/** StarterKit, whose links open elsewhere whatever attributes they came with. */
const Kit = StarterKit.extend({
  addExtensions() {
    return (this.parent?.() ?? []).map((extension) =>
      extension.name === 'link'
        ? (extension as Mark).extend({
            inclusive: false, // what is typed or pasted behind a link is not part of it
            renderHTML({ HTMLAttributes: { href, title } }) {
              const address = typeof href === 'string' && isLink(href) ? href : null;
              const elsewhere = { target: '_blank', rel: 'noopener noreferrer nofollow' };
              return ['a', { href: address, title, ...elsewhere }, 0];
            },
          })
        : extension,
    );
  },
}).configure({
  undoRedo: false, // Collaboration has its own, which undoes one's own changes only
  trailingNode: false,
  link: { openOnClick: false, defaultProtocol: 'https', isAllowedUri: mayBecomeLink },
});

/** What others type is linked by them, or by nobody. */
const OwnLinks = Extension.create({
  name: 'ownLinks',
  addProseMirrorPlugins() {
    return [
      new Plugin({
        filterTransaction(transaction) {
          if (isChangeOrigin(transaction)) transaction.setMeta('preventAutolink', true);
          return true;
        },
      }),
    ];
  },
});

export function createEditor({ element, doc, awareness, editable, onlink }: Options): Editor {
  return new Editor({
    element,
    editable,
    injectCSS: false,
    extensions: [
      Kit,
      Collaboration.configure({ document: doc, field: FRAGMENT }),
      OwnLinks,
      Cursors.configure({ awareness }),
      Placeholder.configure({ placeholder: 'Write something…', showOnlyWhenEditable: true }),
    ],
    editorProps: {
      attributes: {
        class: 'note-text',
        role: 'textbox',
        'aria-multiline': 'true',
        'aria-label': 'Note text',
        spellcheck: 'true',
      },
      transformPastedHTML: withoutStyles,
      handleKeyDown(view, event) {
        if (!view.editable || event.key !== 'k' || event.shiftKey || event.altKey) return false;
        if (event.ctrlKey === event.metaKey) return false;
        onlink();
        return true;
      },
      handleClick(_view, _pos, event) {
        const link = event.target instanceof Element ? event.target.closest('a') : null;
        if (!link?.href || !(event.ctrlKey || event.metaKey)) return false;
        window.open(link.href, '_blank', 'noopener,noreferrer');
        return true;
      },
    },
  });
}

/** Take changes or not; does nothing else. */
export function setEditable(editor: Editor, editable: boolean): void {
  if (editor.isEditable === editable) return;
  editor.setEditable(editable, false);
}

/**
 * Names in a document that the editor does not know. It would take them out of everybody's
 * document, so it must not be opened on one that has some.
 */
export function unknownNames(fragment: XmlFragment): string[] {
  const known = new Set([
    ...['paragraph', 'heading', 'blockquote', 'bulletList', 'orderedList', 'listItem'],
    ...['codeBlock', 'horizontalRule', 'hardBreak', 'text'],
    ...['link', 'bold', 'code', 'italic', 'strike', 'underline'],
  ]);
  const found = new Set<string>();
  for (const node of fragment.createTreeWalker(() => true)) {
    if (node instanceof XmlElement) found.add(node.nodeName);
    else if (node instanceof XmlText) {
      for (const part of node.toDelta() as { attributes?: Record<string, unknown> }[]) {
        for (const mark of Object.keys(part.attributes ?? {})) found.add(mark.split('--')[0] ?? '');
      }
    }
  }
  return [...found].filter((name) => !known.has(name));
}
