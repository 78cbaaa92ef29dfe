import 'fake-indexeddb/auto';
import { afterEach, expect, inject, test } from 'vitest';
import * as Y from 'yjs';
import {
  closeAll,
  copy,
  grant,
  has,
  joined,
  note,
  saved,
  tabOf,
  textOf,
  type,
  writer,
} from './documents';
import { until } from './server';

const url = inject('url');
const ids = (made: { provider: { people: { id: string }[] } }) =>
  made.provider.people.map((person) => person.id);

afterEach(closeAll);

test('two providers converge, also when both type at once', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'write']], 'Beginning');
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  expect(textOf(hers)).toContain('Beginning');
  type(hers, 'from Ann');
  type(his, 'from Ben');
  expect(hers.provider.status).toBe('saving');
  await Promise.all([saved(hers), saved(his), has(hers, 'from Ben'), has(his, 'from Ann')]);
  expect(textOf(hers)).toBe(textOf(his));
  expect((await ann.api.note(id)).data.content.md).toContain('from Ben');
});

test('many changes are counted, merged and all acknowledged', async () => {
  const ann = await writer(url);
  const { id } = await note(ann);
  const hers = await joined(ann, `note:${id}`);
  for (let i = 0; i < 500; i += 1) type(hers, `line ${i}.`);
  expect(hers.provider.unacknowledged).toBe(500);
  expect(hers.provider.unacknowledgedBytes).toBeGreaterThan(500);
  await saved(hers);
  const { md } = (await ann.api.note(id)).data.content;
  expect(md.match(/line \d+\./g)).toHaveLength(500);
});

test('a document that was edited elsewhere brings that along', async () => {
  const ann = await writer(url);
  const { id } = await note(ann);
  const hers = copy(ann, `note:${id}`);
  type(hers, 'before joining');
  await saved(hers);
  expect((await ann.api.note(id)).data.content.md).toBe('before joining');
});

test('a reader is refused, keeps what was typed, and keeps reading', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'read']], 'Beginning');
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  expect(his.provider.readOnly).toBe(false); // nobody has said so yet
  type(his, 'not allowed');
  await until(() => his.provider.readOnly, 'read-only');
  expect(his.provider.status).toBe('synced');
  expect(his.provider.unacknowledged).toBe(1);
  type(hers, 'news');
  await has(his, 'news');
  expect(textOf(hers)).not.toContain('not allowed');
});

test('a document that is known to be read-only sends nothing', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'read']]);
  const his = await joined(ben, `note:${id}`, { readOnly: true });
  type(his, 'an editor that fills an empty document');
  expect(his.provider.unacknowledged).toBe(0);
  expect(his.provider.status).toBe('synced');
});

test('write access that is taken away and given back: nothing typed is lost', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const made = await note(ann, [[ben, 'write']]);
  const [hers, his] = [await joined(ann, `note:${made.id}`), await joined(ben, `note:${made.id}`)];
  type(his, 'allowed');
  await has(hers, 'allowed');
  await grant(ann, made, [[ben, 'read']]);
  type(his, 'refused at first');
  await until(() => his.provider.readOnly, 'read-only');
  await grant(ann, made, [[ben, 'write']]);
  his.provider.setReadOnly(false);
  await saved(his);
  await has(hers, 'refused at first');
});

test('what was refused can be given up', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'read']]);
  const his = await joined(ben, `note:${id}`);
  type(his, 'not allowed');
  await until(() => his.provider.readOnly, 'read-only');
  await his.provider.discard();
  expect(his.provider.unacknowledged).toBe(0);
  await his.provider.close();
  const again = await joined(ben, `note:${id}`);
  expect(textOf(again)).not.toContain('not allowed');
});

test('read access that is taken away ends it, and only it', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const made = await note(ann, [[ben, 'write']]);
  const his = await joined(ben, `note:${made.id}`);
  await grant(ann, made, []);
  await until(() => his.provider.status === 'ended', 'ended');
  expect(his.provider.end?.code).toBe('access_revoked');
  expect(ben.connection.connected).toBe(true);
  type(his, 'into nothing');
  expect(his.provider.unacknowledged).toBe(0);
});

test('a deleted document ends for everybody', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'write']]);
  const his = await joined(ben, `note:${id}`);
  await ann.api.deleteNote(id);
  await until(() => his.provider.status === 'ended', 'ended');
  expect(his.provider.end?.code).toBe('document_deleted');
});

test('a document that does not exist ends at once', async () => {
  const ann = await writer(url);
  const hers = copy(ann, 'note:there-is-none');
  await until(() => hers.provider.end, 'ended');
  expect(hers.provider.end?.code).toBe('not_found');
  expect(hers.provider.ready).toBe(false);
});

test('an update that is too large ends it with that reason', async () => {
  const ann = await writer(url);
  const { id } = await note(ann);
  const hers = await joined(ann, `note:${id}`);
  type(hers, 'x'.repeat(4 * 1024 * 1024 + 1));
  await until(() => hers.provider.end, 'ended');
  expect(hers.provider.end?.code).toBe('too_large');
  await hers.provider.discard();
});

test('when an earlier update was lost, the whole state is sent', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'write']]);
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  const elsewhere = new Y.Doc();
  Y.applyUpdate(elsewhere, Y.encodeStateAsUpdate(hers.doc));
  type({ ...hers, doc: elsewhere }, 'lost');
  // As if it had come from the server, which has never seen it.
  Y.applyUpdate(hers.doc, Y.encodeStateAsUpdate(elsewhere), hers.provider);
  const [paragraph] = hers.doc.getXmlFragment('prosemirror').toArray().slice(-1);
  ((paragraph as Y.XmlElement).get(0) as Y.XmlText).insert(4, ' and found');
  await saved(hers);
  await has(his, 'lost and found');
});

test('who is put out of the room joins again and misses nothing', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'write']]);
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  await ben.connection.request('ydoc:document:leave', { document_id: `note:${id}` });
  type(hers, 'missed');
  await saved(hers);
  type(his, 'sent without being in'); // not_joined
  await saved(his);
  await has(his, 'missed');
  await has(hers, 'sent without being in');
});

test('a later update without the one before it makes the provider ask', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'write']]);
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  await ben.connection.request('ydoc:document:leave', { document_id: `note:${id}` });
  type(hers, 'first');
  await saved(hers);
  await ben.connection.request('ydoc:document:join', {
    document_id: `note:${id}`,
    state_vector: Y.encodeStateVector(hers.doc), // not what he has
  });
  type(hers, 'second');
  await has(his, 'first');
  await has(his, 'second');
});

test('awareness shows who is there, by the server, and they go when they leave', async () => {
  const [ann, ben] = [await writer(url, 'Ann'), await writer(url, 'Ben')];
  const { id } = await note(ann, [[ben, 'read']]);
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  await until(() => ids(hers).includes(ben.user.id) && ids(his).includes(ann.user.id), 'both');
  expect(hers.provider.people).toEqual([{ id: ben.user.id, name: 'Ben' }]);
  his.provider.awareness.setLocalStateField('user', { id: ann.user.id, name: 'Not Ben' });
  his.provider.awareness.setLocalStateField('cursor', { at: 1 });
  const states = () => [...hers.provider.awareness.getStates().values()];
  const moved = await until(() => states().find((state) => 'cursor' in state), 'a cursor');
  expect(moved['user']).toMatchObject({ id: ben.user.id, name: 'Ben' });
  expect(hers.provider.sessions).toHaveLength(2);
  await his.provider.close();
  await until(() => hers.provider.people.length === 0, 'gone');
  await until(() => hers.provider.sessions.length === 1, 'left');
});

test('many moves of a cursor are a few messages', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'read']]);
  const [hers, his] = [await joined(ann, `note:${id}`), await joined(ben, `note:${id}`)];
  let messages = 0;
  ann.connection.on('ydoc:awareness:update', () => (messages += 1));
  for (let at = 1; at <= 200; at += 1) his.provider.awareness.setLocalStateField('cursor', { at });
  const states = () => [...hers.provider.awareness.getStates().values()];
  await until(
    () => states().some((state) => (state['cursor'] as { at: number } | undefined)?.at === 200),
    'the last one',
  );
  expect(messages).toBeLessThan(10);
});

test('two tabs of one person are one person to others, and converge', async () => {
  const [ann, ben] = [await writer(url), await writer(url)];
  const { id } = await note(ann, [[ben, 'write']]);
  const hers = await joined(ann, `note:${id}`);
  const second = await tabOf(ben.user, url);
  const [one, two] = [await joined(ben, `note:${id}`), await joined(second, `note:${id}`)];
  await until(() => hers.provider.sessions.length === 3, 'three sessions');
  await until(() => hers.provider.awareness.getStates().size === 3, 'three cursors');
  expect(ids(hers)).toEqual([ben.user.id]);
  type(one, 'one');
  type(two, 'two');
  await Promise.all([saved(one), saved(two)]);
  await Promise.all([has(one, 'two'), has(two, 'one'), has(hers, 'one'), has(hers, 'two')]);
  await one.provider.close();
  await until(() => hers.provider.sessions.length === 2, 'two sessions');
  expect(ids(hers)).toEqual([ben.user.id]);
});
