"""Every command and program of docs/http.md and of the README's part on serving does what it says,
against a running server."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import openai
import pytest
from tests.server.conftest import Server

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "docs" / "http.md", ROOT / "README.md"]
HOME = "http://localhost:8000"
CURL = 'curl() { command curl --fail-with-body --silent --show-error --max-time 60 "$@"; echo; }\n'


def blocks(language: str) -> list[str]:
    """The code in one language that asks a server."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = re.findall(rf"```{language}\n(.*?)```", pages, re.DOTALL)
    return [block for block in found if HOME in block]


def commands() -> list[str]:
    """Each curl command, with all of its lines."""
    starts = (re.split(r"^curl", block, flags=re.MULTILINE)[1:] for block in blocks("sh"))
    return [f"curl{rest}".strip() for block in starts for rest in block]


def parse(answer: str) -> None:
    """Raise for what is neither JSON, nor server-sent events of JSON."""
    if not answer.startswith(("data:", "event:")):
        json.loads(answer)
        return
    events = [line for line in answer.splitlines() if line.startswith("data: ")]
    assert events.pop() == "data: [DONE]"
    for event in events:
        assert "error" not in json.loads(event.removeprefix("data: "))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", commands())
def test_a_command_is_answered(command: str, server: Server) -> None:
    script = CURL + command.replace(HOME, server.base_url)
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if command.endswith("/metrics"):
        assert "canvaslm_requests_total" in done.stdout
    else:
        parse(done.stdout.strip())


@pytest.mark.parametrize("program", blocks("python"))
def test_a_program_runs(program: str, server: Server) -> None:
    names: dict[str, openai.OpenAI] = {}
    own = program.replace(HOME, server.base_url)
    exec(compile(own, "a program of the documents", "exec"), names)
    names["client"].close()


def test_every_endpoint_has_a_command(server: Server) -> None:
    paths = httpx.get(server.base_url + "/openapi.json").json()["paths"]
    asked = "\n".join(commands())
    probes = {"/health", "/v1/models/{model}", "/v1/embeddings"}
    assert [path for path in paths if f"{HOME}{path}" not in asked and path not in probes] == []
