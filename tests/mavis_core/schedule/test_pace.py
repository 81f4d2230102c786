"""How much of new prompts a step reads beside rows that decode, on machines that take what they are told to take."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf

import pytest

from mavis_core.schedule.pace import AGAIN, FEWEST, FIRST, Pace


@dataclass
class Machine:
    """Seconds of a step: so many for being one, for each row that decodes and for each token of a prompt."""

    step: float
    row: float
    token: float
    noise: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(1)

    def takes(self, decoding: int, prompts: int) -> float:
        exact = self.step + self.row * decoding + self.token * prompts
        return exact * (1 + self.noise * self._random.uniform(-1, 1))


def read(pace: Pace, machine: Machine, decoding: int, steps: int, length: float = inf) -> list[tuple[int, float]]:
    """Tokens that each step reads of a prompt of that ``length``, and the seconds that the step takes."""
    found: list[tuple[int, float]] = []
    for _ in range(steps):
        count = int(min(pace.room(decoding), length - sum(part for part, _ in found)))
        seconds = machine.takes(decoding, count)
        pace.took(decoding, count, seconds)
        found.append((count, seconds))
    return found


CPU, SLOW_PROMPTS, GPU = Machine(0.02, 0.01, 0.0017), Machine(0.08, 0.001, 0.02), Machine(0.01, 0.00001, 0.00003)


@pytest.mark.parametrize("machine", [CPU, SLOW_PROMPTS, GPU])
def test_steps_with_prompts_take_at_most_what_was_asked_for_and_hardly_less(machine: Machine) -> None:
    plain = machine.takes(16, 0)
    settled = read(Pace(1.8, 2048), machine, 16, 60)[20:]
    assert max(seconds for _, seconds in settled) <= max(1.81 * plain, plain + FEWEST * machine.token)
    mixed = [seconds for count, seconds in settled if count]
    fits = 0.8 * plain / machine.token
    assert min(mixed) >= (1.7 * plain if FEWEST <= fits <= 2048 else plain)


def test_noise_of_a_fifth_does_not_carry_it_away() -> None:
    machine = Machine(0.02, 0.01, 0.0017, noise=0.2)
    mixed = [seconds for count, seconds in read(Pace(1.8, 2048), machine, 16, 400)[20:] if count]
    assert sum(seconds > 2.5 * 0.18 for seconds in mixed) <= 0.05 * len(mixed)
    assert sum(mixed) / len(mixed) >= 1.4 * 0.18


def test_one_step_that_hangs_does_not_open_the_gates() -> None:
    pace = Pace(1.8, 2048)
    before = read(pace, CPU, 16, 20)[-2][0]
    pace.took(16, 0, 100 * CPU.takes(16, 0))
    after = [count for count, _ in read(pace, CPU, 16, 12)]
    assert max(after) <= 3 * before


def test_the_first_part_is_small_and_comes_after_a_step_without_prompts() -> None:
    pace = Pace(1.8, 2048)
    assert [count for count, _ in read(pace, CPU, 4, 2)] == [0, FIRST]


def test_a_step_without_prompts_is_measured_again_after_a_while_and_when_rows_have_come_or_gone() -> None:
    pace = Pace(1.8, 2048)
    counts = [count for count, _ in read(pace, CPU, 4, 2 * (AGAIN + 1))]
    assert [i for i, count in enumerate(counts) if count == 0] == [0, AGAIN + 1]
    assert pace.room(4) == 0  # its time has come once more
    pace.took(4, 0, CPU.takes(4, 0))
    assert [pace.room(rows) > 0 for rows in (1, 2, 4, 8, 9)] == [False, True, True, True, False]


def test_a_machine_that_gets_slower_is_followed() -> None:
    pace = Pace(1.8, 2048)
    read(pace, CPU, 16, 30)
    slower = Machine(0.02, 0.01, 0.0068)
    assert max(seconds for _, seconds in read(pace, slower, 16, 40)[4:]) <= 1.85 * slower.takes(16, 0)


def test_the_short_end_of_a_prompt_says_nothing_of_how_much_fits() -> None:
    pace = Pace(1.8, 2048)
    read(pace, CPU, 16, 30)
    before = pace.room(16)
    pace.took(16, 3, 10 * CPU.takes(16, 3))
    assert pace.room(16) == before


def test_where_more_wait_than_read_the_step_is_stretched_for_them() -> None:
    pace = Pace(1.8, 2048)
    read(pace, CPU, 4, 30)
    alone = pace.room(4)
    assert [pace.room(4, joining) for joining in (0, 1, 4, 8)] == [alone, alone, alone, 2 * alone]
    assert pace.room(4, 10**6) == 2048


def test_where_nothing_is_being_written_a_prompt_is_read_as_fast_as_may_be() -> None:
    pace = Pace(1.8, 2048)
    assert pace.room(0) == 2048
    pace.took(0, 2048, 3.0)
    assert pace.room(0) == 2048


def test_without_a_limit_nothing_waits() -> None:
    pace = Pace(inf, 2048)
    assert {count for count, _ in read(pace, CPU, 16, 3)} == {2048}
