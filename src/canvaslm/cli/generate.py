"""`canvaslm generate`: answer a prompt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from canvaslm.cli import options, output, parameters
from canvaslm.errors import ParameterError

if TYPE_CHECKING:
    from canvaslm import LM, Params, Result
    from canvaslm.engine.params import Mode


def generate(
    *,
    prompt: Annotated[
        str | None,
        typer.Argument(help="What to ask; without it, standard input.", show_default=False),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    seed: options.Seed = None,
    mode: options.Mode = "diffusion",
    n: parameters.Count = 1,
    stop: parameters.Stop = None,
    regex: parameters.Regex = None,
    choice: parameters.Choices = None,
    schema: parameters.Schema = None,
    effort: parameters.Effort = None,
    temperature: parameters.Temperature = None,
    top_k: parameters.TopK = None,
    top_p: parameters.TopP = None,
    min_p: parameters.MinP = None,
    logit_bias: parameters.LogitBias = None,
    bad_word: parameters.BadWord = None,
    repetition_penalty: parameters.RepetitionPenalty = None,
    presence_penalty: parameters.PresencePenalty = None,
    frequency_penalty: parameters.FrequencyPenalty = None,
    logprobs: parameters.Logprobs = False,
    top_logprobs: parameters.TopLogprobs = None,
    logprobs_kind: parameters.LogprobsKind = None,
    prompt_logprobs: parameters.PromptLogprobs = False,
    max_steps: parameters.MaxSteps = None,
    entropy_bound: parameters.EntropyBound = None,
    hold_settled: parameters.HoldSettled = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the canvas condensing, on the terminal.")
    ] = False,
    as_json: options.Json = False,
    source: options.Source,
) -> None:
    """Answer PROMPT, or what standard input holds; the text comes as it is settled."""
    import canvaslm

    params = canvaslm.Params(
        max_tokens=max_tokens,
        seed=seed,
        n=n,
        stop=stop or None,
        constraint=parameters.read_constraint(regex, choice, schema),
        effort=effort,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        logit_bias=parameters.read_bias(logit_bias),
        bad_words=bad_word or None,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        logprobs_kind=logprobs_kind,
        prompt_logprobs=prompt_logprobs,
        max_steps=max_steps,
        entropy_bound=entropy_bound,
        hold_settled=hold_settled,
    )
    params.check_mode(mode)
    if watch and mode == "ar":
        raise ParameterError("--watch shows canvases, and --mode ar has none: leave one out")
    if watch and n > 1:
        raise ParameterError("--watch shows one answer, and --n asks for more: leave one out")
    if (logprobs or prompt_logprobs) and not as_json:
        raise ParameterError("log-probabilities are shown in the document of --json: add it")
    asked = _read_stdin() if prompt is None else prompt
    lm = source.load()
    if watch:
        result = _watched(lm, asked, params)
    elif as_json or n > 1:
        result = lm.generate(asked, params=params, mode=mode)
    else:
        _stream(lm, asked, params, mode)
        return
    if as_json:
        output.write_json(output.answer(result))
    else:
        output.write("".join(choice.text + "\n" for choice in result.choices))


def _read_stdin() -> str:
    if sys.stdin.isatty():
        raise ParameterError('no prompt: canvaslm generate "PROMPT", or pipe one in')
    try:
        text = sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError as error:
        raise ParameterError(f"standard input is not text: {error}") from None
    if not text:
        raise ParameterError("no prompt: standard input is empty")
    return text


def _stream(lm: LM, prompt: str, params: Params, mode: Mode) -> None:
    from canvaslm import Text

    for event in lm.stream(prompt, params=params, mode=mode):
        if isinstance(event, Text):
            output.write(event.delta)
    output.write("\n")


def _watched(lm: LM, prompt: str, params: Params) -> Result:
    """Answer while the canvas is drawn on stderr, where it is wiped off at the end."""
    from rich.console import Console

    from canvaslm.cli.watch import draw_answer, watch

    console = Console(stderr=True)
    if not console.is_terminal:
        raise ParameterError("--watch draws on stderr, which is no terminal: leave it out")
    return watch(
        lm.stream(prompt, params=params),
        lambda said, draft: draw_answer(lm, said, draft, console=console),
        console=console,
    )
