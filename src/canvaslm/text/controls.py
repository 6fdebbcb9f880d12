"""The control strings of Gemma's chat format that this package itself reads."""

CHANNEL, CHANNEL_END = "<|channel>", "<channel|>"  # a thought stands between them
TOOL_CALL, TOOL_CALL_END = "<|tool_call>", "<tool_call|>"
TURN_END = "<turn|>"
QUOTE = '<|"|>'  # around every string in a tool call
