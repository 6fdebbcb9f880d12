"""What LiteLLM's users do, as a program: `python calls.py BASE MODEL` prints one JSON document.

It runs where litellm is installed, which wants another `openai` than these tests.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import litellm

MESSAGES = [{"role": "user", "content": "Draw: a small red circle in the center."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 9}, "days": {"enum": [1, 2]}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
GAP = {"prompt": "def add(a, b):\n    return ", "suffix": "\n", "max_tokens": 3}


def chat(base: str, model: str, **more: Any) -> Any:
    return litellm.completion(
        model=f"openai/{model}", api_base=base, api_key="none", messages=MESSAGES, **more
    )


def fill(base: str, model: str, **more: Any) -> str:
    answer = litellm.text_completion(model=model, api_base=base, api_key="none", **GAP, **more)
    text: str = answer.choices[0].text
    return text


def error(ask: Callable[[], object]) -> str:
    """What kind of error it is for LiteLLM's users."""
    try:
        ask()
    except Exception as raised:
        return type(raised).__name__
    return "none"


def plain(base: str, model: str) -> dict[str, Any]:
    """With a model that answers."""
    asked: dict[str, Any] = {"seed": 7, "temperature": 0, "max_tokens": 64}
    whole = chat(base, model, **asked)
    pieces = chat(base, model, **asked, stream=True, stream_options={"include_usage": True})
    chunks = list(pieces)
    return {
        "content": whole.choices[0].message.content,
        "usage": whole.usage.completion_tokens,
        "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "streamed_usage": litellm.stream_chunk_builder(chunks).usage.completion_tokens,
        "gap": fill(base, f"text-completion-openai/{model}", seed=1),
        "gap_of_inception": fill(f"{base}/fim", f"text-completion-inception/{model}"),
        "wrong": error(lambda: chat(base, model, temperature=-1)),
        "missing": error(lambda: chat(base, "gpt-6")),
    }


def tools(base: str, model: str) -> dict[str, Any]:
    """With a model that knows tools."""
    asked = {"seed": 5, "max_tokens": 60, "tools": [WEATHER], "tool_choice": "required"}
    (call,) = chat(base, model, **asked).choices[0].message.tool_calls
    built = litellm.stream_chunk_builder(list(chat(base, model, **asked, stream=True)))
    (streamed,) = built.choices[0].message.tool_calls
    return {
        "name": call.function.name,
        "arguments": call.function.arguments,
        "streamed": streamed.function.arguments,
    }


if __name__ == "__main__":
    litellm.suppress_debug_info = True
    do = {"plain": plain, "tools": tools}[sys.argv[1]]
    sys.stdout.write(json.dumps(do(sys.argv[2], sys.argv[3])) + "\n")
