/** What the tests of documents share: people with a connection each, notes, and their text. */

import * as Y from 'yjs';
import { Api, Connection, type Note, type SignedIn } from '$lib/realtime';
import { DocumentProvider, type DocumentOptions } from '$lib/realtime/document';
import { signUp, until } from './server';

export interface Writer {
  user: SignedIn;
  api: Api;
  connection: Connection;
}

export interface Copy {
  doc: Y.Doc;
  provider: DocumentProvider;
}

/** How long something may take while other tests have the processors, ms. */
export const PATIENCE = 60_000;

const open: { close(): void | Promise<void> }[] = [];

/** Close everything that was opened here. */
export async function closeAll(): Promise<void> {
  for (const each of open.splice(0).reverse()) await each.close();
}

/** A new account with a connection. */
export async function writer(url: string, name?: string): Promise<Writer> {
  return tabOf(await signUp(url, name), url);
}

/** Another tab of somebody. */
export async function tabOf(user: SignedIn, url: string): Promise<Writer> {
  const api = new Api(url, user.token);
  const { socket: config } = await api.config();
  const connection = new Connection(url, user.token, config);
  open.push(connection);
  await until(() => connection.connected, 'connected', PATIENCE);
  return { user, api, connection };
}

/** A document of somebody's, not yet joined. */
export function copy(
  { user, connection }: Writer,
  documentId: string,
  options: Partial<DocumentOptions> = {},
): Copy {
  const doc = new Y.Doc();
  const provider = new DocumentProvider(connection, documentId, doc, {
    userId: user.id,
    ...options,
  });
  open.push(provider);
  return { doc, provider };
}

/** The same, when it has what the server has. */
export async function joined(
  who: Writer,
  documentId: string,
  options: Partial<DocumentOptions> = {},
): Promise<Copy> {
  const made = copy(who, documentId, options);
  await until(() => made.provider.status === 'synced', 'joined', PATIENCE);
  return made;
}

/** A note with what each of `others` may do with it. */
export async function note(
  owner: Writer,
  others: [Writer, 'read' | 'write'][] = [],
  md = '',
): Promise<Note> {
  const made = await owner.api.createNote('A note', md);
  return grant(owner, made, others);
}

export function grant(
  owner: Writer,
  { id }: Note,
  others: [Writer, 'read' | 'write'][],
): Promise<Note> {
  return owner.api.shareNote(
    id,
    others.map(([{ user }, permission]) => ({
      principal_type: 'user',
      principal_id: user.id,
      permission,
    })),
  );
}

/** Add a paragraph at the end, as an editor does. */
export function type({ doc }: Copy, text: string): void {
  const paragraph = new Y.XmlElement('paragraph');
  paragraph.insert(0, [new Y.XmlText(text)]);
  doc.getXmlFragment('prosemirror').push([paragraph]);
}

export function textOf({ doc }: Copy): string {
  return doc.getXmlFragment('prosemirror').toString();
}

export const has = (made: Copy, text: string): Promise<true> =>
  until(() => textOf(made).includes(text) || null, `${text} in the document`, PATIENCE);

export const saved = ({ provider }: Copy): Promise<true> =>
  until(
    () => (provider.status === 'synced' && provider.unacknowledged === 0) || null,
    'saved',
    PATIENCE,
  );
