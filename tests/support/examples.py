"""How many examples property tests try: few in each run, `EXAMPLES=10` times as many when asked.

`SHRINK=` leaves it at the first example that fails, and tries the same ones each time: tests.mutants.
"""

import os

from hypothesis import HealthCheck, Phase, settings

SCALE = float(os.environ.get("EXAMPLES", "1"))
SHRINK = bool(os.environ.get("SHRINK", "yes"))


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
        derandomize=not SHRINK,
        phases=[phase for phase in Phase if SHRINK or phase in {Phase.explicit, Phase.generate}],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile("suite")
