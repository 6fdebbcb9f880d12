"""Text at the edges: messages become token ids, token ids become text and spans."""
