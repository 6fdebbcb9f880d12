"""Small runs: arithmetic, and a model that answers it."""

from collections.abc import Sequence

from canvaslm.engine.params import Mode, Params
from canvaslm.engine.result import Result, Usage
from canvaslm.eval.trials.record import Record
from canvaslm.eval.trials.suite import Suite
from canvaslm.tasks import Example, Score
from canvaslm.text.spans import Answer


def sums(name: str, n: int) -> Suite:
    """What 10 and a number make."""
    examples = [
        Example(task=name, prompt=f"{name}: 10 + {i}", answer=str(10 + i), bin="even", canonical="")
        for i in range(n)
    ]
    return Suite(
        name=name,
        examples=examples,
        score=lambda example, text: Score(correct=text == example.answer),
    )


class Adder:
    """Adds, and says in each answer in what company it was asked; dies after `lives` requests."""

    def __init__(self, lives: int = 10**6) -> None:
        self.lives, self.asked = lives, list[str]()

    def generate_many(
        self, prompts: Sequence[str], *, params: Params, mode: Mode, batch: int
    ) -> list[Result]:
        if self.lives < 1:
            raise KeyboardInterrupt
        self.lives -= 1
        self.asked += prompts
        return [self._answer(prompt, len(prompts)) for prompt in prompts]

    def _answer(self, prompt: str, company: int) -> Result:
        usage = Usage(prompt_tokens=1, completion_tokens=company, canvases=1, steps=2, seconds=0.5)
        text = str(10 + int(prompt.split("+ ")[1]))
        return Result(
            token_ids=(1,), finish_reason="stop", usage=usage, seed=0, spans=[Answer(text)]
        )


def record(number: int, *, correct: bool = True, task: str = "sums", **values: object) -> Record:
    usual: dict[str, object] = {
        "task": task,
        "number": number,
        "bin": "even",
        "prompt": f"10 + {number}",
        "expected": str(10 + number),
        "answer": "x",
        "correct": correct,
        "tokens": 3,
        "steps": 4,
        "canvases": 1,
        "seconds": 0.5,
        "spent": 0.5,
        "seed": 0,
    }
    return Record(**(usual | values))  # type: ignore[arg-type]
