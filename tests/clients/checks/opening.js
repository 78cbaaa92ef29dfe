// A note as the editor sees it: y-prosemirror with the schema of TipTap's StarterKit.

import assert from 'node:assert/strict';

import { EditorState } from 'prosemirror-state';
import { initProseMirrorDoc, updateYFragment } from 'y-prosemirror';
import * as Y from 'yjs';

import { Client } from '../lib/client.js';
import { canonical, contentOf, schema } from '../lib/editorschema.js';
import { check } from '../lib/harness.js';
import { eventually } from '../lib/scene.js';
import { DocumentProvider } from '../provider.js';

const MARKDOWN = `# Title with *emphasis*

A paragraph with **bold**, *italic*, ***both***, ~~struck~~, \`code\` and a [link](https://example.org/a?b=c "T").
Its second line.\\
After a hard break. Ünïcödé 東京 👩‍🚀 & <not a tag>

## Lists

- one
- two
  - nested *deep*

    a second paragraph
- three

7. seven
8. eight

> quoted
>
> - in a quote

\`\`\`js
const a = "<b>" && 1;

  indented
\`\`\`

---

###### The end
`;

/** An editor's copy of a note. */
async function open(scene, person, note) {
  const client = new Client(scene.config.servers.main, scene.transport, { auth: { token: person.token } });
  scene.clients.push(client);
  const doc = new Y.Doc();
  const provider = new DocumentProvider(client.socket, note.document, doc);
  await eventually(() => provider.synced, 'it has joined');
  const fragment = doc.getXmlFragment('prosemirror');
  return { client, doc, provider, fragment };
}

/** Make a change in ProseMirror and write it into the Yjs document as the editor does. */
function change(editor, edit) {
  const { doc: root, meta } = initProseMirrorDoc(editor.fragment, schema);
  const state = EditorState.create({ schema, doc: root });
  const next = state.apply(edit(state));
  next.doc.check();
  updateYFragment(editor.doc, editor.fragment, next.doc, meta);
  return next.doc.toJSON();
}

const types = (json, found = new Set()) => {
  found.add(json.type);
  for (const mark of json.marks ?? []) found.add(mark.type);
  for (const child of json.content ?? []) types(child, found);
  return found;
};

check('yjs', 'a note seeded from Markdown opens in the editor without loss', async (scene) => {
  const ann = await scene.person();
  const note = await scene.note(ann, MARKDOWN);
  const editor = await open(scene, ann, note);
  const before = Y.snapshot(editor.doc);
  const { doc: root } = initProseMirrorDoc(editor.fragment, schema);
  root.check();
  // y-prosemirror deletes from the document what the schema does not take.
  assert.ok(Y.equalSnapshots(before, Y.snapshot(editor.doc)), 'the editor took everything');
  const derived = (await ann.http.get(note.path)).data.content;
  assert.deepEqual(root.toJSON(), canonical(derived.json));

  const expected = [
    'heading', 'paragraph', 'bulletList', 'orderedList', 'listItem', 'blockquote', 'codeBlock',
    'horizontalRule', 'hardBreak', 'bold', 'italic', 'strike', 'code', 'link',
  ];
  const found = types(root.toJSON());
  for (const type of expected) assert.ok(found.has(type), `${type} is there`);
  const blocks = root.toJSON().content;
  assert.deepEqual(blocks[0].attrs.level, 1);
  const ordered = blocks.find((each) => each.type === 'orderedList');
  assert.equal(ordered.attrs.start, 7);
  assert.equal(ordered.content.length, 2);
  const code = blocks.find((each) => each.type === 'codeBlock');
  assert.equal(code.attrs.language, 'js');
  assert.equal(code.content[0].text, 'const a = "<b>" && 1;\n\n  indented');
  for (const word of ['emphasis', 'both', 'struck', 'Ünïcödé 東京 👩‍🚀 & <not a tag>', 'nested', 'in a quote', 'The end']) {
    assert.ok(root.textContent.includes(word), word);
  }
  const link = JSON.stringify(root.toJSON()).match(/"href":"([^"]*)"/);
  assert.equal(link[1], 'https://example.org/a?b=c');
});

check('yjs', 'what the editor writes is what the server derives', async (scene) => {
  const ann = await scene.person();
  const note = await scene.note(ann, MARKDOWN);
  const editor = await open(scene, ann, note);
  const edits = [
    (state) => state.tr.insertText('Typed ', 1),
    (state) => state.tr.addMark(1, 6, schema.marks.underline.create()),
    (state) => state.tr.insert(0, schema.nodes.heading.create({ level: 3 }, schema.text('On top'))),
    (state) => state.tr.insert(state.doc.content.size, schema.nodes.paragraph.create()),
    (state) => state.tr.delete(0, state.doc.child(0).nodeSize),
    (state) => state.tr.split(4),
  ];
  for (const edit of edits) {
    const shown = change(editor, edit);
    await eventually(() => !editor.provider.unsaved, 'the change is saved');
    const derived = (await ann.http.get(note.path)).data.content;
    assert.deepEqual(canonical(derived.json), shown);
  }
});

check('yjs', 'a change over HTTP reaches open editors and merges with theirs', async (scene) => {
  const ann = await scene.person();
  const note = await scene.note(ann, 'First\n\nSecond\n\nThird');
  const [editor, other] = [await open(scene, ann, note), await open(scene, ann, note)];
  change(editor, (state) => state.tr.insertText('The ', 1));
  await eventually(() => !editor.provider.unsaved, 'the change is saved');
  await ann.http.post(`${note.path}/update`, { data: { content: { md: 'The First\n\nSecond and **more**\n\nThird' } } });
  change(other, (state) => state.tr.insertText('!', state.doc.content.size - 1));
  const said = (each) => each.fragment.toArray().map((block) => block.toArray().map((text) => text.toJSON()).join('')).join('|');
  const expected = 'The First|Second and <bold>more</bold>|Third!';
  await eventually(() => said(editor) === expected && said(other) === expected, `both say ${expected}`);
  const derived = (await ann.http.get(note.path)).data.content;
  assert.deepEqual(canonical(derived.json), contentOf(editor.doc));
  assert.equal(derived.md.trim(), 'The First\n\nSecond and **more**\n\nThird!');
});

check('yjs', 'a client that was away with its own changes merges them', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const note = await scene.note(ann, 'Start', { [bob.id]: 'write' });
  const [mine, other] = [await open(scene, ann, note), await open(scene, bob, note)];
  mine.client.socket.disconnect();
  change(mine, (state) => state.tr.insertText('Away: ', 1));
  change(other, (state) => state.tr.insertText(' here', state.doc.content.size - 1));
  await eventually(() => !other.provider.unsaved, 'the change is saved');
  assert.ok(mine.provider.unsaved);

  // The page is loaded anew: the document comes from where the page kept it.
  const kept = Y.encodeStateAsUpdate(mine.doc);
  mine.provider.destroy();
  const doc = new Y.Doc();
  Y.applyUpdate(doc, kept);
  mine.client.socket.connect();
  const provider = new DocumentProvider(mine.client.socket, note.document, doc);
  await eventually(() => provider.synced && !provider.unsaved, 'everything is saved');
  const said = (each) => each.getXmlFragment('prosemirror').toString();
  await eventually(() => said(doc) === said(other.doc), 'both are equal');
  assert.equal(said(doc), '<paragraph>Away: Start here</paragraph>');
});

check('yjs', 'cursors are shown to the others and go when their client goes', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const note = await scene.note(ann, 'Start', { [bob.id]: 'read' });
  const [mine, other] = [await open(scene, ann, note), await open(scene, bob, note)];
  const shown = () => mine.provider.awareness.getStates().get(other.doc.clientID);
  other.provider.awareness.setLocalStateField('cursor', { anchor: 1, head: 3 });
  await eventually(() => shown()?.cursor?.head === 3, 'the cursor is shown');
  assert.equal(shown().user.name, bob.name);

  // Off and on again: gone, and back.
  other.client.socket.io.engine.close();
  await eventually(() => shown() === undefined, 'the cursor is gone');
  await eventually(() => shown()?.cursor?.head === 3, 'the cursor is back');
  other.client.close();
  await eventually(() => shown() === undefined, 'the cursor is gone for good');
});

check('yjs', 'who may only read is told, and keeps reading', async (scene) => {
  const [ann, bob] = [await scene.person(), await scene.person()];
  const note = await scene.note(ann, 'Start', { [bob.id]: 'read' });
  const [mine, other] = [await open(scene, ann, note), await open(scene, bob, note)];
  let error;
  other.provider.on('error', (told) => { error = told; });
  change(other, (state) => state.tr.insertText('Not allowed ', 1));
  await eventually(() => error, 'it is told');
  assert.equal(error.code, 'read_only');
  change(mine, (state) => state.tr.insertText('Really ', 1));
  await eventually(() => other.fragment.toString().includes('Really'), 'it keeps reading');
  assert.equal(mine.fragment.toString(), '<paragraph>Really Start</paragraph>');
});
