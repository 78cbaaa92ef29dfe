// A Yjs client that edits a note at random, whose connection breaks, and that can be compared.

import assert from 'node:assert/strict';

import * as Y from 'yjs';

import { DocumentProvider } from '../provider.js';
import { Client } from './client.js';
import { RandomEditor } from './editor.js';
import { contentOf } from './editorschema.js';

/** A person with a document and a random mind. */
export class Writer {
  constructor(scene, person, note, transport, random, server = 'main') {
    this.client = new Client(scene.config.servers[server], transport, {
      auth: { token: person.token }, reconnectionDelay: 20, reconnectionDelayMax: 60,
    });
    scene.clients.push(this.client);
    this.doc = new Y.Doc();
    this.provider = new DocumentProvider(this.client.socket, note.document, this.doc);
    this.provider.on('error', (error) => { this.error = error; });
    this.editor = new RandomEditor(this.doc, random);
    this.recovered = 0;
    this.offline = 0;
    this.client.socket.on('connect', () => {
      this.recovered += this.client.socket.recovered ? 1 : 0;
    });
  }

  get settled() {
    assert.equal(this.error, undefined, JSON.stringify(this.error));
    return this.client.socket.connected && this.provider.synced && !this.provider.unsaved;
  }

  edit() {
    if (!this.client.socket.connected) this.offline += 1;
    this.editor.edit();
  }

  /**
   * Break the connection, if there is one, in one of three ways; it comes back by itself, or
   * by `comeBack`.
   */
  breakConnection(random) {
    const { socket } = this.client;
    const { engine } = socket.io;
    const way = Math.floor(random() * 3);
    if (way === 0) {
      socket.disconnect(); // goes off-line and will begin a new session
    } else if (engine.readyState !== 'open') {
      return false; // socket.io-client would wait 20 s for an opening that was cut short
    } else if (way === 1 && engine.transport.name === 'websocket') {
      engine.transport.ws.terminate();
    } else {
      engine.close();
    }
    return true;
  }

  /** Connect to this server from now on, as a load balancer would make it. */
  moveTo(url) {
    this.client.socket.io.uri = url;
  }

  comeBack() {
    if (!this.client.socket.active) this.client.socket.connect();
  }
}

/** Whether two documents have the same changes, deletions included. */
export const sameState = (one, other) => Y.equalSnapshots(Y.snapshot(one), Y.snapshot(other));

export function assertEqual(one, other, what) {
  assert.ok(sameState(one, other), `${what}: another state`);
  assert.deepEqual(contentOf(other), contentOf(one), what);
}

/** Not at all, or a few milliseconds. */
export const pause = (random) => new Promise((resolve) => {
  if (random() < 0.5) setImmediate(resolve);
  else setTimeout(resolve, random() * 6);
});
