"""What a vocabulary head believes: the definition, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from canvaslm.errors import ParameterError
from canvaslm.kernels.ops import Belief
from canvaslm.kernels.reference.linear import ReferenceLinear, check
from canvaslm.kernels.rows import Rows
from canvaslm.kernels.weight import Weight

# T tokens, D hidden, V vocabulary, R rows asked for


class ReferenceHead:
    """`HeadOperations`. What is kept to soften are all probabilities [T, V], float64."""

    def believe(
        self,
        x: Rows,
        table: Weight,
        *,
        softcap: float | None,
        temperature: float,
        uniform_T: Tensor | None = None,
        bias_V: Tensor | None = None,
        soft: bool = True,
    ) -> Belief:
        check_question(x, table, temperature=temperature, uniform_T=uniform_T, bias_V=bias_V)
        y_TV = self.logits(x, table, softcap=softcap).double()
        if bias_V is not None:
            y_TV += bias_V
        best_T = y_TV.max(dim=-1).indices
        z_TV = y_TV.div_(temperature)
        log_z_T = z_TV.logsumexp(dim=-1)
        check_possible(log_z_T)
        p_TV = (z_TV - log_z_T[:, None]).exp()
        spread_TV = (log_z_T[:, None] - z_TV).mul_(p_TV)
        entropy_T = spread_TV.masked_fill_(p_TV == 0, 0).sum(dim=-1)  # 0 log 0 is 0
        drawn_T = None if uniform_T is None else drawn(p_TV, uniform_T)
        kept = (p_TV, table) if soft else None
        return Belief(log_z_T.float(), entropy_T.float(), best_T, drawn_T, kept)

    def soften(self, belief: Belief, rows_R: Tensor | None = None) -> Tensor:
        check_kept(belief)
        p_TV, table = belief.state
        p_RV = p_TV if rows_R is None else p_TV[rows_R]
        soft_RD: Tensor = p_RV.float() @ table.dequantised()
        return soft_RD

    def logits(self, x: Rows, table: Weight, *, softcap: float | None) -> Tensor:
        check(x, table)
        raw_TV = ReferenceLinear().linear(x, table)
        return raw_TV if softcap is None else raw_TV.div_(softcap).tanh_().mul_(softcap)


def drawn(p_TV: Tensor, uniform_T: Tensor) -> Tensor:
    """The token whose share of [0, 1), in the order of the vocabulary, holds `uniform`."""
    upper_TV = p_TV.cumsum(dim=-1)
    total_T1 = upper_TV[:, -1:].contiguous()
    token_T1 = torch.searchsorted(upper_TV, uniform_T[:, None] * total_T1, right=True)
    last_T1 = torch.searchsorted(upper_TV, total_T1)  # the last that has any probability
    return torch.minimum(token_T1, last_T1)[:, 0]


def check_question(
    x: Rows,
    table: Weight,
    *,
    temperature: float,
    uniform_T: Tensor | None,
    bias_V: Tensor | None,
) -> None:
    check(x, table)
    if not temperature > 0:
        raise ParameterError(f"temperature must be above 0, got {temperature}")
    checks = (
        ("uniform", uniform_T, (x.count,), torch.float64),
        ("bias", bias_V, (table.shape[0],), torch.float32),
    )
    for name, found, shape, dtype in checks:
        if found is not None and (found.shape != shape or found.dtype != dtype):
            raise ParameterError(
                f"{name} must be {dtype} {list(shape)}, got {found.dtype} {list(found.shape)}"
            )


def check_possible(log_z_T: Tensor) -> None:
    """A bias is the same for all rows: where it rules out everything, so it does in the first."""
    if len(log_z_T) and log_z_T[0] == -torch.inf:
        raise ParameterError("the bias is -inf for every token: leave at least one")


def check_kept(belief: Belief) -> None:
    if belief.state is None:
        raise ParameterError("nothing was kept to soften: call believe with soft=True")
