import { io } from 'socket.io-client';

const url = process.env.HELIOGRAPH_URL ?? 'http://127.0.0.1:8080';
const token = process.env.HELIOGRAPH_TOKEN;
const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
const post = async (path, body) =>
  (await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })).json();

const socket = io(url, { path: '/ws/socket.io', auth: { token } });
socket.on('connect_error', (error) => console.error(error.message));
socket.on('events', ({ data: { type, data } }) => {
  if (type === 'message') process.stdout.write(data.content);
  if (type === 'chat:completion' || type === 'chat:message:error') socket.disconnect();
});
socket.once('connect', async () => {
  const { id } = await post('/api/v1/chats/new', { chat: {} });
  const messages = [{ role: 'user', content: 'Hello there, how are you?' }];
  const answer = { session_id: socket.id, chat_id: id, id: crypto.randomUUID() };
  await post('/api/chat/completions', { model: 'echo', messages, ...answer });
});
