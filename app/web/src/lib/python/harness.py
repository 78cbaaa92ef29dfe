"""Runs one program: shows pictures, and gives back its result and a traceback of its own."""

import ast
import base64
import builtins
import contextlib
import json
import linecache
import sys
import traceback

FILE = "<program>"
_MOST_RESULT = 1_000_000
_SAFE_INTEGER = 2**53


def _input(prompt=""):
    raise EOFError("input() does not work here: nobody can type into this program")


def _picture_of(value):
    """The picture that a value is, as (type, base64), or None."""
    if isinstance(value, (bytes, bytearray)):
        for start, kind in ((b"\x89PNG\r\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif")):
            if bytes(value[: len(start)]) == start:
                return kind, base64.b64encode(value).decode()
        return None
    if isinstance(value, type):
        return None
    for name, kind in (("_repr_png_", "png"), ("_repr_jpeg_", "jpeg"), ("_repr_svg_", "svg+xml")):
        method = getattr(value, name, None)
        data = method() if callable(method) else None
        if isinstance(data, tuple):  # IPython's (data, metadata)
            data = data[0]
        if isinstance(data, str):
            # What is binary comes as base64 text already.
            data = data if kind != "svg+xml" else base64.b64encode(data.encode()).decode()
            return kind, "".join(data.split())
        if isinstance(data, (bytes, bytearray)):
            return kind, base64.b64encode(data).decode()
    return None


def _is_plain(value, depth=0):
    """Whether JSON and JavaScript keep the value as it is."""
    if value is None or isinstance(value, (bool, str)):
        return True
    if isinstance(value, int):
        return -_SAFE_INTEGER < value < _SAFE_INTEGER
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    if depth > 30:
        return False
    if isinstance(value, (list, tuple)):
        return all(_is_plain(each, depth + 1) for each in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v, depth + 1) for k, v in value.items())
    return False


def _as_json(value):
    if _is_plain(value):
        text = json.dumps(value)
        if len(text) <= _MOST_RESULT:
            return text
    return json.dumps(repr(value)[:_MOST_RESULT])


def _explain(error):
    """What a person reads: the program's own frames, and a word on missing packages."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != FILE:
        frames = frames.tb_next
    told = traceback.TracebackException(type(error), error, frames)
    own = [frame for frame in told.stack if frame.filename != "harness.py"]
    told.stack = traceback.StackSummary.from_list(own)
    lines = list(told.format())
    if isinstance(error, ModuleNotFoundError):
        lines.append("Only the standard library is there; packages cannot be installed.\n")
    return "".join(lines)


async def run(code, show):
    """Run a program; returns ``{ok, value}``, of its last expression, as JSON text."""
    from pyodide.code import CodeRunner

    def display(*values):
        for value in values:
            picture = _picture_of(value)
            if picture is None:
                print(value if isinstance(value, str) else repr(value))
            else:
                sys.stdout.flush()
                kind, data = picture
                show(f"data:image/{kind};base64,{data}")

    sys.stdout.reconfigure(line_buffering=True)
    sys.stderr.reconfigure(line_buffering=True)
    builtins.input = _input
    builtins.display = display
    linecache.cache[FILE] = (len(code), None, code.splitlines(True), FILE)
    ok, result = True, "null"
    try:
        runner = CodeRunner(code, filename=FILE, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        value = await runner.compile().run_async({"__name__": "__main__"})
        if value is not None and _picture_of(value) is not None:
            display(value)
        else:
            result = _as_json(value)
    except SystemExit as end:
        if end.code not in (None, 0):
            ok = False
            print("SystemExit:", end.code, file=sys.stderr)
    except BaseException as error:
        ok = False
        sys.stderr.write(_explain(error))
    for stream in (sys.stdout, sys.stderr):
        # The program may have closed it, or put something else in its place.
        with contextlib.suppress(Exception):
            stream.flush()
    return f'{{"ok": {json.dumps(ok)}, "value": {result}}}'
