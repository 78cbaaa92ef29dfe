// Edit a note together with others: a Yjs provider, and a program that adds a paragraph.
//
//   node note.mjs NOTE_ID "Written from Node"

import { fileURLToPath } from 'node:url';

import { io } from 'socket.io-client';
import * as Y from 'yjs';
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate } from 'y-protocols/awareness';

// #region provider
export class Provider {
  /** Keeps `doc` the same as the server's; what was typed here is sent until it is acknowledged. */
  constructor(socket, documentId, doc) {
    Object.assign(this, { socket, documentId, doc, awareness: new Awareness(doc) });
    this.unacknowledged = [];
    this.joined = false;
    this.sending = false;
    this.handlers = {
      connect: () => this.connected(),
      disconnect: () => { this.joined = false; },
      'ydoc:document:state': (event) => this.take(event, 'state'),
      'ydoc:document:update': (event) => this.take(event, 'update'),
      'ydoc:awareness:update': (event) => this.see(event),
    };
    for (const [name, handler] of Object.entries(this.handlers)) socket.on(name, handler);
    doc.on('update', (update, origin) => {
      if (origin === this) return;
      this.unacknowledged.push(update);
      this.send();
    });
    this.awareness.on('update', ({ added, updated, removed }, origin) => {
      const changed = [...added, ...updated, ...removed];
      if (origin !== this && changed.includes(doc.clientID)) this.show();
    });
    if (socket.connected) this.connected();
  }

  async connected() {
    if (!this.socket.recovered || !this.member) {
      const joined = await this.socket.emitWithAck('ydoc:document:join', {
        document_id: this.documentId,
        state_vector: Y.encodeStateVector(this.doc), // then only what is missing comes
      });
      if (joined.error) return this.fail(joined.error);
      this.member = true;
    }
    this.joined = true;
    const mine = this.awareness.getLocalState(); // the others saw it vanish: show it anew
    this.awareness.setLocalState(null);
    this.awareness.setLocalState(mine);
    this.send();
  }

  take({ document_id, ...event }, field) {
    if (document_id !== this.documentId) return;
    Y.applyUpdate(this.doc, new Uint8Array(event[field]), this);
  }

  async send() {
    if (!this.joined || this.sending || this.unacknowledged.length === 0) return;
    this.sending = true;
    const count = this.unacknowledged.length;
    try {
      const update = Y.mergeUpdates(this.unacknowledged);
      const payload = { document_id: this.documentId, update };
      const ack = await this.socket.timeout(20_000).emitWithAck('ydoc:document:update', payload);
      if (ack.error) return this.fail(ack.error);
      this.unacknowledged.splice(0, count); // logged: it survives the server
    } catch {
      // No acknowledgement: the connection broke. Sending an update twice is harmless.
    } finally {
      this.sending = false;
    }
    if (this.unacknowledged.length === 0) this.onsaved?.();
    else this.send();
  }

  show() {
    if (!this.joined) return;
    const update = encodeAwarenessUpdate(this.awareness, [this.doc.clientID]);
    this.socket.emit('ydoc:awareness:update', { document_id: this.documentId, update });
  }

  see({ document_id, update }) {
    if (document_id !== this.documentId) return;
    applyAwarenessUpdate(this.awareness, new Uint8Array(update), this);
  }

  fail({ code, message }) {
    this.joined = false; // read_only, not_found, bad_update …: nothing more is sent
    this.onerror?.(code, message);
  }

  async close() {
    for (const [name, handler] of Object.entries(this.handlers)) this.socket.off(name, handler);
    this.awareness.destroy();
    await this.socket.emitWithAck('ydoc:document:leave', { document_id: this.documentId });
  }
}
// #endregion

async function main([noteId, text]) {
  // #region use
  const socket = io(process.env.HELIOGRAPH_URL ?? 'http://127.0.0.1:8080', {
    path: '/ws/socket.io',
    auth: { token: process.env.HELIOGRAPH_TOKEN },
  });
  const doc = new Y.Doc();
  const provider = new Provider(socket, `note:${noteId}`, doc);
  provider.onerror = (code, message) => { console.error(code, message); socket.disconnect(); };
  provider.onsaved = async () => {
    console.log(doc.getXmlFragment('prosemirror').toString());
    await provider.close();
    socket.disconnect();
  };
  socket.on('ydoc:document:state', () => {
    const paragraph = new Y.XmlElement('paragraph');
    paragraph.insert(0, [new Y.XmlText(text)]);
    doc.getXmlFragment('prosemirror').push([paragraph]);
  });
  // #endregion
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
