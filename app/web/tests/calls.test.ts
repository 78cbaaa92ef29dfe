import { afterEach, expect, inject, test } from 'vitest';
import { CallOver, type Call } from '$lib/realtime';
import { breakAndReturn, closeScenes, lineTo, scene } from './calls-scene';
import { startServer, until } from './server';

const url = inject('url');

afterEach(closeScenes);

/** A handler that answers when the test says so. */
function patient() {
  const calls: Call[] = [];
  const answers: ((answer: unknown) => void)[] = [];
  const handler = (call: Call) => {
    calls.push(call);
    return new Promise<unknown>((resolve, reject) => {
      answers.push(resolve);
      call.signal.addEventListener('abort', () => reject(call.signal.reason as Error));
    });
  };
  return { calls, answers, handler };
}

test('a handler is told what is asked and by which answer, and its answer arrives', async () => {
  const { room, desk, answered } = await scene(url);
  const seen: Call[] = [];
  desk.handle('input', async (call) => {
    seen.push(call);
    return 'Ann';
  });
  await room.ask('/ask {"message": "Your name?", "placeholder": "First"}', { model: 'echo' });
  const answer = await answered();
  expect(answer.content).toBe('the user answered: Ann');
  expect(seen).toHaveLength(1);
  expect(seen[0]).toMatchObject({ chatId: room.id, messageId: answer.id });
  expect(seen[0]?.data).toMatchObject({ message: 'Your name?', placeholder: 'First' });
});

test('what a handler throws, and a call that nobody handles, are told to the tool', async () => {
  const { room, desk, answered } = await scene(url);
  await room.ask('/python {"code": "1"}', { model: 'echo' });
  expect((await answered()).content).toContain('cannot answer execute:python');
  desk.handle('execute:python', () => Promise.reject(new Error('No Python today.')));
  await room.ask('/python {"code": "1"}', { model: 'echo' });
  expect((await answered()).content).toContain('No Python today.');
});

test('a call that is sent again after a recovery is asked once and answered', async () => {
  const line = await lineTo(url);
  const here = await scene(line.url);
  const { calls, answers, handler } = patient();
  here.desk.handle('confirmation', handler);
  await here.room.ask('/confirm {}', { model: 'echo' });
  await until(() => calls.length === 1, 'asked');
  await breakAndReturn(line, here);
  await until(() => here.came.length === 2, 'sent again');
  answers[0]?.(true);
  expect((await here.answered()).content).toBe('the user confirmed');
  expect(calls).toHaveLength(1);
  expect(here.came[0]?.call_id).toBe(here.came[1]?.call_id);
});

test('an answer that was given while the line was down arrives after the recovery', async () => {
  const line = await lineTo(url);
  const here = await scene(line.url);
  const { calls, answers, handler } = patient();
  here.desk.handle('confirmation', handler);
  await here.room.ask('/confirm {}', { model: 'echo' });
  await until(() => calls.length === 1, 'asked');
  line.cut();
  await until(() => !here.connection.connected, 'the line is down');
  answers[0]?.(true);
  expect((await here.answered()).content).toBe('the user confirmed');
  expect(calls).toHaveLength(1);
});

test('when the answer is stopped the handler is told so', async () => {
  const { room, desk, answered } = await scene(url);
  const { calls, handler } = patient();
  desk.handle('confirmation', handler);
  await room.ask('/confirm {}', { model: 'echo' });
  const call = await until(() => calls[0], 'asked');
  await room.stop();
  await answered('stopped');
  await until(() => call.signal.aborted, 'told');
  expect(call.signal.reason).toMatchObject({ why: 'answer-ended' });
  expect(call.answerEnded.aborted).toBe(true);
});

test('a call may be answered while its answer goes on, and the end is told all the same', async () => {
  const { room, desk, answered } = await scene(url);
  const ends: AbortSignal[] = [];
  desk.handle('confirmation', async (call) => {
    ends.push(call.answerEnded);
    return true;
  });
  await room.ask('/confirm {}', { model: 'echo' });
  await answered();
  await until(() => ends[0]?.aborted, 'told');
});

test('when the deadline passes the handler is told so, and the tool', async () => {
  const server = await startServer({ WEBSOCKET_EVENT_CALLER_TIMEOUT: '1' });
  try {
    const { room, desk, answered } = await scene(server.url);
    const { calls, handler } = patient();
    desk.handle('confirmation', handler);
    await room.ask('/confirm {}', { model: 'echo' });
    const call = await until(() => calls[0], 'asked');
    await until(() => call.signal.aborted, 'told');
    expect(call.signal.reason).toBeInstanceOf(CallOver);
    expect(call.signal.reason).toMatchObject({ why: 'deadline' });
    // The page and the server each count for themselves: either may be the first by a hair.
    expect((await answered()).content).toMatch(/time/i);
    await closeScenes();
  } finally {
    await server.remove();
  }
});

test('when the session is lost the handler is told so', async () => {
  const server = await startServer();
  try {
    const { room, desk } = await scene(server.url);
    const { calls, handler } = patient();
    desk.handle('confirmation', handler);
    await room.ask('/confirm {}', { model: 'echo' });
    const call = await until(() => calls[0], 'asked');
    await server.stop('SIGKILL');
    await server.start();
    await until(() => call.signal.aborted, 'told');
    expect(call.signal.reason).toMatchObject({ why: 'session-ended' });
    await closeScenes();
  } finally {
    await server.remove();
  }
});
