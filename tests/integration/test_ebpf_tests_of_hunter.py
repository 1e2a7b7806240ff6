# ruff: noqa: F401 - the imported tests are what is run
"""What holds for the ptrace engines holds for ebpf: the same tests, run with it."""

from __future__ import annotations

import platform

import pytest

from hg_shared import rights
from hunter.engines.ebpf import loading
from hunter.memory import procfs
from tests.integration.test_hunter_ends import (
    counter as counter,
)
from tests.integration.test_hunter_ends import (
    test_a_signal_ends_hunter_in_order as test_a_signal_ends_hunter_in_order,
)
from tests.integration.test_hunter_records import (
    test_blocked_calls_are_told_while_they_block as test_blocked_calls_are_told_while_they_block,
)
from tests.integration.test_hunter_records import (
    test_captured_bytes_are_what_the_calls_were_given as test_captured_bytes,
)
from tests.integration.test_hunter_records import (
    test_no_record_starts_before_a_watermark_that_was_given as test_watermark,
)
from tests.integration.test_hunter_records import (
    test_only_calls_that_were_asked_for_arrive as test_only_calls_that_were_asked_for_arrive,
)
from tests.integration.test_hunter_targets import (
    test_32_bit_calls_are_recorded_with_their_abi_and_filtered as test_32_bit_calls,
)
from tests.integration.test_hunter_targets import (
    test_a_process_killed_while_traced as test_a_process_killed_while_traced,
)
from tests.integration.test_hunter_targets import (
    test_every_queued_signal_is_delivered_once as test_every_queued_signal_is_delivered_once,
)
from tests.integration.test_hunter_targets import (
    test_execve_by_the_main_thread as test_execve_by_the_main_thread,
)
from tests.integration.test_hunter_targets import (
    test_output_and_exit_code_are_those_of_an_untraced_run as test_output_and_exit_code,
)
from tests.integration.test_hunter_targets import (
    test_stop_and_continue_keep_their_meaning as test_stop_and_continue_keep_their_meaning,
)
from tests.integration.test_hunter_targets import (
    test_threads_and_programs_started_while_traced as test_threads_and_programs,
)

REFUSED = loading.missing(
    platform.machine(),
    platform.release(),
    rights.parse_rights(procfs.status_fields("self"), "").capabilities,
)
pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.skipif(bool(REFUSED), reason=f"ebpf: {REFUSED}"),
]


@pytest.fixture
def engine() -> str:
    return "ebpf"
