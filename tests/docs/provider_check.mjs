// The provider of docs/examples/note.mjs through a broken connection: two editors of one note.
//   node provider_check.mjs NOTE_ID; prints what the second one sees, as JSON.

import { io } from 'socket.io-client';
import * as Y from 'yjs';

import { Provider } from './note.mjs';

const [noteId] = process.argv.slice(2);

async function until(condition, what) {
  const end = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what} did not come true`);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}

function editor() {
  const socket = io(process.env.HELIOGRAPH_URL, {
    path: '/ws/socket.io',
    auth: { token: process.env.HELIOGRAPH_TOKEN },
    transports: ['websocket'],
    forceNew: true,
    reconnectionDelay: 200,
    reconnectionDelayMax: 200,
  });
  const doc = new Y.Doc();
  const provider = new Provider(socket, `note:${noteId}`, doc);
  provider.onerror = (code, message) => { throw new Error(`${code}: ${message}`); };
  return { socket, doc, provider, text: () => doc.getXmlFragment('prosemirror').toString() };
}

function write({ doc }, text) {
  const paragraph = new Y.XmlElement('paragraph');
  paragraph.insert(0, [new Y.XmlText(text)]);
  doc.getXmlFragment('prosemirror').push([paragraph]);
}

const [ann, bob] = [editor(), editor()];
const seen = () => bob.provider.awareness.getStates().get(ann.doc.clientID);
await until(() => ann.provider.joined && bob.provider.joined, 'joining');
ann.provider.awareness.setLocalState({ cursor: 1 });
await until(() => seen()?.cursor === 1, 'the cursor');

// First a connection that recovers, then a session that ends: the provider joins anew.
for (const [text, breakIt] of [
  ['typed while away', () => ann.socket.io.engine.close()],
  ['typed without a session', () => { ann.socket.disconnect().connect(); }],
]) {
  breakIt();
  write(ann, text);
  await until(() => !seen(), 'the cursor to vanish');
  await until(() => bob.text().includes(text), text);
  await until(() => seen()?.cursor === 1, 'the cursor again');
}
console.log(JSON.stringify({ text: bob.text(), user: seen().user.name }));
for (const { provider, socket } of [ann, bob]) {
  await provider.close();
  socket.disconnect();
}
