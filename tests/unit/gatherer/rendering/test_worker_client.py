"""How much may wait to be rendered, without the process that renders."""

from __future__ import annotations

import json
from pathlib import Path

from gatherer.config import LinesConfig
from gatherer.rendering.accounting import Accounts
from gatherer.rendering.progress import Progress, ReportedProgress, Reporter
from gatherer.rendering.worker_client import FAIR_BACKLOG, MAX_BACKLOG, RendererProcess


def test_all_spools_share_the_room_and_small_ones_always_have_some(tmp_path: Path) -> None:
    process = RendererProcess(LinesConfig(), 1 << 30)
    loud, quiet = (process.renderer(tmp_path / name) for name in ("loud", "quiet"))
    process._spools = {loud.number: loud, quiet.number: quiet}
    loud.notify(MAX_BACKLOG)
    assert (loud.full, quiet.full) == (False, False)
    quiet.notify(FAIR_BACKLOG)
    assert (loud.full, quiet.full) == (True, False)
    quiet.notify(FAIR_BACKLOG + 1)
    assert (loud.full, quiet.full) == (True, True)
    report = Reporter(loud.number).report(Progress(FAIR_BACKLOG + 1, Accounts(), (), (), 0))
    loud.apply(json.loads(report))
    assert process.backlog == MAX_BACKLOG
    assert (loud.full, quiet.full) == (False, False)


def test_calls_that_could_not_be_decoded_are_reported() -> None:
    report = Reporter(1).report(Progress(1, Accounts(undecoded=3), (), (), 0))
    reported = ReportedProgress()
    reported.apply(json.loads(report))
    assert reported.progress().accounts.undecoded == 3
