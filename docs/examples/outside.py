"""A tool outside the server: it reports into a chat's message, and asks its user.

    python outside.py CHAT_ID MESSAGE_ID SESSION_ID

HELIOGRAPH_TOKEN is a token or an API key of the chat's owner, or of an administrator.
"""

import os
import sys

import httpx

URL = os.environ.get("HELIOGRAPH_URL", "http://127.0.0.1:8080")
TOKEN = os.environ["HELIOGRAPH_TOKEN"]


def main(chat_id, message_id, session_id):
    message = f"{URL}/api/v1/chats/{chat_id}/messages/{message_id}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    # A call is answered by a person: wait longer than WEBSOCKET_EVENT_CALLER_TIMEOUT.
    with httpx.Client(headers=headers, timeout=70) as http:

        def emit(kind, data):
            http.post(f"{message}/event", json={"type": kind, "data": data}).raise_for_status()

        def call(kind, data):
            body = {"type": kind, "data": data, "session_id": session_id}
            answer = http.post(f"{message}/call", json=body)
            if answer.status_code == 409:  # session_gone, call_timeout
                return None
            return answer.raise_for_status().json()["result"]

        emit("status", {"description": "Measuring", "done": False})
        agreed = call("confirmation", {"title": "Report", "message": "Write the result here?"})
        if agreed is True:
            emit("message", {"content": "\n\nIt is 21 degrees outside."})
        source = {"name": "Thermometer"}
        emit("source", {"source": source, "document": ["21"], "metadata": [{}]})
        emit("status", {"description": "Measured", "done": True})
        print("written" if agreed is True else "not written")


if __name__ == "__main__":
    main(*sys.argv[1:])
