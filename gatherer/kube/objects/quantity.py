"""Resource quantities such as `256Mi`.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(
    r"(?P<number>[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]{1,2}))?"
)
_FACTORS = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}


def parse_quantity(text: str) -> int | None:
    """Reads a quantity of bytes.

    Args:
        text: such as `256Mi`, `1e9`, `0.5Gi` or `1500m`.

    Returns:
        Bytes, rounded up as Kubernetes does; None when the text is no quantity.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    number = Decimal(match["number"])
    if match["suffix"]:
        number *= _FACTORS[match["suffix"]]
    elif match["exponent"]:
        number *= Decimal(10) ** int(match["exponent"])
    return int(number.to_integral_value(rounding="ROUND_CEILING"))
