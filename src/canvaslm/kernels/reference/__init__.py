"""The operations in plain torch: the definition of each."""

from canvaslm.kernels.reference.attention import ReferenceAttention
from canvaslm.kernels.reference.experts import ReferenceExperts
from canvaslm.kernels.reference.head import ReferenceHead
from canvaslm.kernels.reference.linear import ReferenceLinear
from canvaslm.kernels.reference.rows import ReferenceRows


class Reference(
    ReferenceRows, ReferenceLinear, ReferenceExperts, ReferenceAttention, ReferenceHead
):
    """`Operations`, slow and plain."""

    name = "reference"
