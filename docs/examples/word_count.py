"""A tool for models: HELIOGRAPH_TOOLS=word_count:word_count, with this folder in PYTHONPATH."""


async def word_count(emit, call, text: str, longest: bool = False) -> dict:
    """Count the words of a text.

    :param text: the text.
    :param longest: whether to name the longest word too.
    """
    await emit({"type": "status", "data": {"description": "Counting", "done": False}})
    words = text.split()
    result = {"words": len(words)}
    if longest:
        question = {"title": "Longest word", "message": f"Look through {len(words)} words?"}
        if await call({"type": "confirmation", "data": question}) is True:
            result["longest"] = max(words, key=len, default="")
    await emit({"type": "status", "data": {"description": "Counted", "done": True}})
    return result
