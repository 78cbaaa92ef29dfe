"""Ask a model, print its answer as it comes, and answer what tools ask.

    python chat.py "What is a heliograph?"
    python chat.py --chat CHAT_ID           # follow what is in flight there

HELIOGRAPH_URL and HELIOGRAPH_TOKEN say where and who.
"""

import asyncio
import os
import sys
import uuid

import httpx
import socketio

URL = os.environ.get("HELIOGRAPH_URL", "http://127.0.0.1:8080")
TOKEN = os.environ["HELIOGRAPH_TOKEN"]

http = httpx.AsyncClient(base_url=URL, headers={"Authorization": f"Bearer {TOKEN}"})


class Answer:
    """One answer as it comes."""

    def __init__(self, chat_id, message_id):
        self.chat_id = chat_id
        self.message_id = message_id
        self.seq = 0
        self.text = ""
        self.held = None
        self.ended = asyncio.get_running_loop().create_future()

    def show(self, text):
        new = text[len(self.text) :] if text.startswith(self.text) else f"\n{text}"
        print(new, end="", flush=True)
        self.text = text

    def end(self, state, reason=""):
        if not self.ended.done():
            self.ended.set_result(f"{state}: {reason}" if reason else state)


# #region client
class Client(socketio.AsyncClientNamespace):
    """The socket. What a handler returns is the acknowledgement."""

    answer = None

    async def on_connect(self):
        # Python clients do not recover connections: a new session asks for what it missed.
        if self.answer is not None:
            await self.catch_up()

    async def on_connect_error(self, refusal):
        print(refusal, file=sys.stderr)  # {message, data: {code, message}}

    async def on_error(self, refusal):
        print(refusal["event"], refusal["code"], refusal["message"], file=sys.stderr)

    async def on_events(self, event):
        if "call_id" in event:
            return await self.decide(event["data"]["type"], event["data"]["data"])
        if self.answer is not None and event["message_id"] == self.answer.message_id:
            await self.take(event)
        return None

    async def take(self, event):
        answer = self.answer
        if answer.held is not None:
            answer.held.append(event)
            return
        kind, data = event["data"]["type"], event["data"]["data"]
        # Without one: of a tool, after the answer has ended.
        seq = event.get("seq", answer.seq + 1)
        if kind == "message" and seq > answer.seq + 1:
            answer.held = [event]  # a gap
            await self.catch_up()
        elif kind in ("message", "replace"):
            if seq > answer.seq:  # else join-chat has brought it already
                answer.seq = seq
                answer.show(data["content"] if kind == "replace" else answer.text + data["content"])
        elif kind == "status":
            print(f"[{data['description']}]", file=sys.stderr)
        elif kind == "chat:completion" and data.get("done"):
            answer.end(data["state"])
        elif kind == "chat:tasks:cancel":
            answer.end("stopped")
        elif kind == "chat:message:error":
            answer.end("error", data["error"]["content"])

    async def catch_up(self):
        answer = self.answer
        if answer.held is None:
            answer.held = []  # what comes now waits until it is known what it continues
        request = {"chat_id": answer.chat_id, "message_id": answer.message_id}
        try:
            joined = await self.call("join-chat", {**request, "last_seq": answer.seq}, timeout=10)
        except socketio.exceptions.SocketIOError:
            return  # the connection broke again: `on_connect` will ask
        if "error" in joined:
            answer.end("error", joined["error"]["message"])
        elif joined["streams"]:
            [stream] = joined["streams"]
            # `content` covers (from_seq, seq]; from_seq 0 means the whole.
            before = answer.text if stream["from_seq"] else ""
            answer.seq = stream["seq"]
            answer.show(before + stream["content"])
            held, answer.held = answer.held, None
            for event in held:
                await self.take(event)
        else:  # it has ended meanwhile
            chat = (await http.get(f"/api/v1/chats/{answer.chat_id}")).json()
            message = chat["chat"]["history"]["messages"][answer.message_id]
            answer.show(message["content"])
            answer.end(message["state"], message.get("error", {}).get("content", ""))

    async def decide(self, kind, data):
        print(f"? {data.get('message')}", file=sys.stderr)
        if kind == "confirmation":
            return True  # or False
        if kind == "input":
            return os.environ.get("USER", "nobody")  # text, or False for "cancelled"
        return {"error": f"this client cannot {kind}"}


# #endregion


# #region ask
async def ask(client, content):
    chat = (await http.post("/api/v1/chats/new", json={"chat": {}})).raise_for_status().json()
    models = (await http.get("/api/models")).json()["data"]
    client.answer = Answer(chat["id"], str(uuid.uuid4()))
    request = {
        "model": models[0]["id"],
        "session_id": client.client.get_sid(),
        "chat_id": client.answer.chat_id,
        "id": client.answer.message_id,
        "messages": [{"role": "user", "content": content}],
    }
    (await http.post("/api/chat/completions", json=request)).raise_for_status()


# #endregion


async def follow(client, chat_id):
    chat = (await http.get(f"/api/v1/chats/{chat_id}")).raise_for_status().json()
    client.answer = Answer(chat_id, chat["chat"]["history"]["currentId"])
    await client.catch_up()


async def main(arguments):
    client = Client("/")
    # #region connect
    sio = socketio.AsyncClient(reconnection_delay=1, reconnection_delay_max=5)
    sio.register_namespace(client)
    await sio.connect(URL, socketio_path="/ws/socket.io", auth={"token": TOKEN, "recovery": False})
    # #endregion
    if arguments[:1] == ["--chat"]:
        await follow(client, arguments[1])
    else:
        await ask(client, arguments[0] if arguments else "Hello there")
    print(f"\n{await client.answer.ended}; chat {client.answer.chat_id}")
    await sio.disconnect()
    await http.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
