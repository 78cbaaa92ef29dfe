// A model of the page's own: the server asks this session, streams and stores the answer.
//
//   node own-model.mjs "Say this backwards"

import { io } from 'socket.io-client';

const url = process.env.HELIOGRAPH_URL ?? 'http://127.0.0.1:8080';
const token = process.env.HELIOGRAPH_TOKEN;
const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
const post = async (path, body) =>
  (await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })).json();

// #region model
const socket = io(url, { path: '/ws/socket.io', auth: { token } });

socket.on('events', async (event, acknowledge) => {
  const { type, data } = event.data;
  if (type === 'request:chat:completion') {
    acknowledge({ status: true }); // or {error: "why not"}
    for await (const line of answerOf(data.form_data)) socket.emit(data.channel, line);
    socket.emit(data.channel, { done: true });
  }
  if (type === 'message') process.stdout.write(data.content);
  if (type === 'chat:completion' && data.done) socket.disconnect();
});

async function* answerOf({ messages }) {
  const words = messages.at(-1).content.split(' ').reverse();
  for (const content of words.join(' ').split(/(?<= )/)) {
    yield `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}`;
  }
  yield 'data: [DONE]';
}
// #endregion

socket.once('connect', async () => {
  const { id: chat_id } = await post('/api/v1/chats/new', { chat: {} });
  await post('/api/chat/completions', {
    model: 'backwards',
    model_item: { id: 'backwards', direct: true },
    session_id: socket.id,
    chat_id,
    id: crypto.randomUUID(),
    messages: [{ role: 'user', content: process.argv[2] ?? 'Say this backwards' }],
  });
});
