// A Yjs provider for Heliograph in one file: copy it into your own front end.
//
//   const socket = io(url, { path: '/ws/socket.io', auth: { token } });
//   const provider = new DocumentProvider(socket, `note:${noteId}`, new Y.Doc());
//   provider.on('synced', () => …);            // a note's text is doc.getXmlFragment('prosemirror')
//
// What it does:
// - It joins on every connect, says what it has (its state vector) and gets what it lacks.
// - It sends local changes one after another and keeps each until the server has acknowledged
//   it. What is typed while one is on its way travels together in the next. After a break,
//   everything that was not acknowledged is sent again; Yjs applies an update once however
//   often it comes.
// - An acknowledged update is in the server's log: `unsaved` is true until all of them are.
// - It shows the others' cursors (y-protocols' Awareness), and yours to them.
//
// Socket.IO's own recovery brings back the updates that were missed, too. Joining again costs
// one small message and is right in every case, so nothing here depends on it.

import { Observable } from 'lib0/observable';
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness';
import * as Y from 'yjs';

const ACK_MS = 20_000;
const RETRY_MS = 1_000;

/**
 * Events: `synced`, when this copy has what the server has; `saved`, when the server has what
 * this copy has; `error` with `{ code, message }`, when the server has refused something.
 */
export class DocumentProvider extends Observable {
  /**
   * @param {import('socket.io-client').Socket} socket
   * @param {string} documentId `note:{id}` for a note
   * @param {Y.Doc} doc may have content already, from an earlier visit
   * @param {string} [color] `#rrggbb`, for the others to know you by
   */
  constructor(socket, documentId, doc, color) {
    super();
    this.socket = socket;
    this.documentId = documentId;
    this.doc = doc;
    this.color = color;
    this.awareness = new Awareness(doc);
    this.synced = false;
    this.stopped = null; // why the server takes nothing from us any more
    this.sending = null; // the update that is on its way
    this.whole = false; // whether it is everything we have
    // What the server has not acknowledged. A document that comes with content has been
    // elsewhere: all of it may be news.
    this.waiting = doc.store.clients.size > 0 ? [Y.encodeStateAsUpdate(doc)] : [];

    this.listeners = {
      connect: () => this.join(),
      disconnect: () => this.lost(),
      'ydoc:document:state': (message) => this.receive(message, message.state),
      'ydoc:document:update': (message) => this.receive(message, message.update),
      'ydoc:awareness:update': (message) => this.receiveAwareness(message),
    };
    for (const [event, listener] of Object.entries(this.listeners)) socket.on(event, listener);
    this.onUpdate = (update, origin) => {
      if (origin === this) return; // it came from the server
      this.waiting.push(update);
      this.flush();
    };
    this.onAwareness = ({ added, updated, removed }, origin) => {
      if (origin !== this) this.sendAwareness([...added, ...updated, ...removed]);
    };
    doc.on('update', this.onUpdate);
    this.awareness.on('update', this.onAwareness);
    if (socket.connected) this.join();
  }

  /** Whether there are changes that the server has not acknowledged. */
  get unsaved() {
    return this.sending !== null || this.waiting.length > 0;
  }

  async join() {
    const { id } = this.socket;
    const ack = await this.ask('ydoc:document:join', {
      user_color: this.color,
      state_vector: Y.encodeStateVector(this.doc),
    });
    if (id !== this.socket.id || ack === null) return; // lost again; there will be another connect
    if (ack.error) {
      this.refused(ack.error);
      return;
    }
    // The state came before the acknowledgement.
    this.synced = true;
    // The others were told that we were gone: only a newer state than theirs brings us back.
    this.awareness.setLocalState(this.awareness.getLocalState());
    this.flush();
    this.emit('synced', []);
  }

  lost() {
    this.synced = false;
    const others = [...this.awareness.getStates().keys()].filter((id) => id !== this.doc.clientID);
    removeAwarenessStates(this.awareness, others, this);
  }

  receive({ document_id }, update) {
    if (document_id === this.documentId) Y.applyUpdate(this.doc, new Uint8Array(update), this);
  }

  /** Send what waits, as one update; the next one goes when this one is acknowledged. */
  async flush() {
    if (!this.synced || this.stopped || this.sending !== null || this.waiting.length === 0) return;
    this.sending = Y.mergeUpdates(this.waiting);
    this.waiting = [];
    const ack = await this.ask('ydoc:document:update', { update: this.sending });
    const update = this.sending;
    this.sending = null;
    if (ack?.ok) {
      this.whole = false;
      if (!this.unsaved) this.emit('saved', []);
    } else {
      this.waiting.unshift(update); // whether it arrived is not known
      if (ack?.error) this.refused(ack.error);
    }
    this.flush();
  }

  refused(error) {
    if (['rate_limited', 'unavailable', 'not_joined'].includes(error.code)) {
      this.synced = false;
      setTimeout(() => this.socket.connected && this.join(), RETRY_MS);
      return;
    }
    if (error.code === 'missing_dependencies' && !this.whole) {
      // Something the server had acknowledged was lost there: it is all here.
      this.whole = true;
      this.waiting = [Y.encodeStateAsUpdate(this.doc)];
      return;
    }
    // No access, too large, damaged: sending it again would not help.
    this.stopped = error;
    this.emit('error', [error]);
  }

  receiveAwareness({ document_id, update }) {
    if (document_id !== this.documentId) return;
    applyAwarenessUpdate(this.awareness, new Uint8Array(update), this);
  }

  sendAwareness(clients) {
    const mine = clients.filter((id) => id === this.doc.clientID);
    if (!this.synced || mine.length === 0) return;
    const update = encodeAwarenessUpdate(this.awareness, mine);
    this.socket.volatile.emit('ydoc:awareness:update', { document_id: this.documentId, update });
  }

  /** The acknowledgement, or `null` when the connection was lost before it came. */
  async ask(event, payload) {
    try {
      return await this.socket.timeout(ACK_MS).emitWithAck(event, { document_id: this.documentId, ...payload });
    } catch {
      return null;
    }
  }

  /** Leave the document. Wait for `saved` before, when `unsaved`. */
  destroy() {
    this.doc.off('update', this.onUpdate);
    this.awareness.off('update', this.onAwareness);
    this.awareness.destroy();
    for (const [event, listener] of Object.entries(this.listeners)) this.socket.off(event, listener);
    if (this.socket.connected) this.socket.emit('ydoc:document:leave', { document_id: this.documentId });
    super.destroy();
  }
}
