// The editor's own schema, and a note's content in one comparable form.

import { getSchema } from '@tiptap/core';
import StarterKit from '@tiptap/starter-kit';
import { Node } from 'prosemirror-model';
import { yXmlFragmentToProsemirrorJSON } from 'y-prosemirror';

export const schema = getSchema([StarterKit]);

/**
 * ProseMirror JSON as the editor would write it: defaults filled in, marks in order.
 * Throws when the editor would not take it.
 */
export function canonical(json) {
  const node = Node.fromJSON(schema, json);
  node.type.checkContent(node.content);
  // Marks that exclude each other may meet when two people format at once: the editor keeps
  // such text as it came.
  node.descendants((child) => child.isText || child.type.checkContent(child.content));
  return node.toJSON();
}

/** What a Yjs document says, in that form. */
export function contentOf(doc) {
  return canonical(yXmlFragmentToProsemirrorJSON(doc.getXmlFragment('prosemirror')));
}

/** The text of ProseMirror JSON without any structure. */
export function textOf(json) {
  return Node.fromJSON(schema, json).textContent;
}
