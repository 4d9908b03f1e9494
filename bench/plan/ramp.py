"""The highest rate that holds: upwards until one does not, then between the two. Pure but for `measure`."""

from collections.abc import Awaitable, Callable

from bench.plan.measured import Step, WindowRamp

UP = 1.3
DOWN = 0.6
BISECTIONS = 3
MOST_STEPS = 14
LEAST_PER_S = 1.0

Measure = Callable[[float], Awaitable[Step]]


async def ramp(
    measure: Measure,
    *,
    window: int,
    rtt_s: float,
    p99_ms: float,
    guess_per_s: float,
    bisections: int = BISECTIONS,
) -> WindowRamp:
    """Ramps one bind. A rate that does not hold is tried twice: a machine has its moods.

    `guess_per_s`: about what is expected; the ramp starts at six tenths of it. Nothing above 1.1 times
    window / RTT is tried: no window gives that.
    """
    bound = window / rtt_s
    steps: list[Step] = []

    async def holds(rate_per_s: float) -> bool:
        for _ in range(2):
            steps.append(await measure(rate_per_s))
            if steps[-1].holds(p99_ms):
                return True
        return False

    low, high = 0.0, 0.0  # held, did not hold
    rate = max(min(guess_per_s, bound) * DOWN, LEAST_PER_S)
    while len(steps) < MOST_STEPS:
        if await holds(rate):
            low = rate
            if high or rate * UP > bound * 1.1:
                break
            rate *= UP
        else:
            high = rate
            if low or rate * DOWN < LEAST_PER_S:
                break
            rate *= DOWN
    if low and not high:
        high = min(rate * UP, bound * 1.1)
    for _ in range(bisections if low else 0):
        if len(steps) >= MOST_STEPS:
            break
        middle = (low + high) / 2
        if await holds(middle):
            low = middle
        else:
            high = middle
    return WindowRamp(window, bound, low, steps)
