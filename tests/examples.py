"""How many examples property tests try: few in each run, `EXAMPLES=10` times as many when asked."""

import os

from hypothesis import HealthCheck, settings

SCALE = float(os.environ.get("EXAMPLES", "1"))


def examples(count: int, steps: int = 50) -> settings:
    """Settings that try so many examples.

    Args:
        count: in a usual run of the suite.
        steps: the most of a life.
    """
    return settings(max_examples=max(1, round(count * SCALE)), stateful_step_count=steps)


def load_profile() -> None:
    """Let an example take any time, since the machine may be busy, and share a test's fixtures."""
    settings.register_profile(
        "suite",
        max_examples=max(1, round(50 * SCALE)),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile("suite")
