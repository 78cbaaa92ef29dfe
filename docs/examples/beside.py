"""A program beside the server: a flag that all see, and a job that runs once at a time.

    WEBSOCKET_REDIS_URL=redis://127.0.0.1:6379/0 python beside.py

It reads the same variables as the server.
"""

# #region beside
from heliograph.backplane import RedisDict, RedisLock, connect

client = connect()  # redis-py's
flags = RedisDict("myapp:flags", client=client)
lock = RedisLock(None, "myapp:nightly", timeout_secs=60, client=client)


def nightly(rooms):
    if not lock.acquire_lock():
        return "another program is at it"
    try:
        for room in rooms:
            if not lock.renew_lock():
                return "lost the lock"  # whoever has it now does the rest
            flags[room] = {"tidy": True}
    finally:
        lock.release_lock()
    return "done"


# #endregion

if __name__ == "__main__":
    print(nightly(["one", "two"]))
    print(sorted(flags.items()))
