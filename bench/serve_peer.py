"""The peer of bench/serve.py: transformers' DiffusionGemma behind the simplest possible server.

    python bench/serve_peer.py [--port 0] [--folder FOLDER]

The same weights, templates and sampler as the embedded model's; the standard library's threaded
HTTP server, and a lock around `generate`, which answers one request at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

import canvaslm
from canvaslm import Params
from canvaslm.engine.loading import POCKET

Json = dict[str, Any]
Answer = Callable[[Json], Json]


def answerer(folder: Path) -> Answer:
    """What transformers makes of a body of /v1/chat/completions."""
    from transformers import AutoTokenizer, DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
        EntropyBoundSamplerConfig,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    rules: Any = canvaslm.load(folder).settings.sampler(Params())
    model: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    pad = model.config.get_text_config().pad_token_id
    options = {
        "max_denoising_steps": rules.max_steps,
        "sampler_config": EntropyBoundSamplerConfig(entropy_bound=rules.accept.bound),
        "t_min": rules.temperature.t_min,
        "t_max": rules.temperature.t_max,
        "stability_threshold": rules.stop.stability,
        "confidence_threshold": rules.stop.confidence,
        "pad_token_id": pad,
    }

    def answer(body: Json) -> Json:
        torch.manual_seed(body.get("seed", 0))
        given = tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        prompt = given["input_ids"]
        limit = body.get("max_tokens", 256)
        output = model.generate(prompt, max_new_tokens=limit, **options)
        said = output.sequences[0, prompt.shape[1] :][:limit]
        said = said[said != pad]
        text = tokenizer.decode(said, skip_special_tokens=True)
        usage = {"prompt_tokens": prompt.shape[1], "completion_tokens": len(said)}
        message = {"role": "assistant", "content": text}
        return {"choices": [{"index": 0, "message": message}], "usage": usage}

    return answer


def handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    """One request after another, whoever asks."""
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply({"status": "ok", "time": time.time()})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with turn, torch.inference_mode():
                found = answer(body)
            self.reply(found)

        def reply(self, document: Json) -> None:
            sent = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class Server(ThreadingHTTPServer):
    """Lets many connect at a time, and does not complain of those who leave."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--folder", type=Path, default=POCKET)
    given = parser.parse_args()
    server = Server(("127.0.0.1", given.port), handler(answerer(given.folder)))
    sys.stderr.write(f"listening on http://127.0.0.1:{server.server_address[1]}\n")
    server.serve_forever()


if __name__ == "__main__":
    main()
