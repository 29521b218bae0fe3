# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to the processes before, during and after a fencing.

A fault strikes the victim at a random moment, and leaves behind in Round.relief what undoes it.
The others are rounds of their own kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .fencing import Fence, Round, lost
from .initiator import BUSY, GOOD
from .node import RUNNING, Node

# --- faults


def nothing(r: Round) -> None:
    pass


def kill(r: Round) -> None:
    _kill(r, r.victim)


def freeze(r: Round) -> None:
    r.victim.freeze()
    r.count("SIGSTOP")

    def thaw() -> None:
        if r.rng.random() < 0.25:
            kill(r)
        else:
            r.victim.thaw()
            r.count("SIGCONT")

    r.relief = thaw


def pause(r: Round) -> None:
    r.victim.pause()
    r.count("stop")
    r.relief = lambda: _resume(r)


def write_error(r: Round) -> None:
    """werror=stop parks one to four writes; the machine stops."""
    victim, number = r.victim, r.rng.randint(1, 4)
    if len(victim.traps) < number:
        kill(r)  # the next process has new ones
        return
    victim.depth = 0
    ended: list[int] = []
    for _ in range(number):
        r.cluster.write(victim, victim.traps.pop(), then=ended.append)
    victim.initiator.notify()
    # One that is parked does not end; none is if the fencing was faster.
    condition = lambda: victim.stopped_by_error() or len(ended) == number  # noqa: E731
    r.cluster.until(condition, "werror=stop stops it")
    if victim.state == RUNNING and not victim.stopped_lately():
        return

    def resume() -> None:
        # A write that was still in the ring when the machine stopped stops it once more.
        _resume(r)
        r.cluster.until(go_on, "what werror=stop has parked ends")
        if victim.stopped_lately():
            _resume(r)

    def go_on() -> bool:
        if victim.stopped_by_error():
            _resume(r)
        return len(ended) == number

    r.count("werror=stop")
    r.relief = resume


def logical_unit_reset(r: Round) -> None:
    if not r.victim.resets_units:
        return
    r.victim.initiator.logical_unit_reset()
    r.count("LOGICAL UNIT RESET")


def system_reset(r: Round) -> None:
    r.cluster.reset(r.victim)
    r.count("system_reset")


def unplug(r: Round) -> None:
    r.victim.depth = 0
    r.victim.unplug()
    r.count("device_del")
    r.relief = r.victim.plug


def _kill(r: Round, node: Node) -> None:
    node.depth = 0
    r.cluster.end(node)
    r.count("SIGKILL")


def _resume(r: Round) -> None:
    r.victim.resume()
    r.count("cont")


# --- rounds


def strike(fault: Callable[[Round], None]) -> Callable[[Round], None]:
    """A round in which the fault strikes at some moment, and is undone at a later one."""

    def round_(r: Round) -> None:
        moment, early = r.rng.choice(("before", "during", "during", "after")), r.rng.random() < 0.3
        if moment == "before":
            fault(r)
            r.pass_time(2)
        fence = r.fence()
        if moment == "during":
            r.pass_time(4)
            fault(r)
        if early:
            r.pass_time(4)
            r.relieve()
        r.complete(fence)
        if moment == "after":
            fault(r)
        r.take_over()

    return round_


def held(r: Round) -> None:
    """Stopped with writes in flight for certain: no fencing is GOOD, but nobody else waits."""
    victim = r.victim
    ended: list[int] = []
    victim.depth, r.other.depth = 0, 2
    r.cluster.until(lambda: victim.initiator.under_way == 0, "the queue is empty")
    victim.brake(50)
    # The device takes all of them in one go, before it ends the first: then the rest is in the gate.
    for _ in range(r.rng.choice((16, 128))):
        r.cluster.write(victim, 0, then=ended.append)
    r.cluster.until(lambda: bool(ended), "the brake lets a write go")
    freeze(r)
    r.cluster.take_in(victim)
    in_flight, others = victim.initiator.under_way, r.other.good
    for _ in range(10):
        fence = r.fence()
        r.wait(fence)
        if fence.status == GOOD and in_flight:
            r.cluster.violation("GOOD while writes of a stopped process were in flight")
        if fence.status == GOOD or r.other.good > others:
            break
    else:
        r.cluster.violation("nobody could write while a fencing waited")
    if not r.is_fenced:
        r.must_be_listed()
        r.relieve()
        if victim.state == RUNNING:
            r.must_write_on()
        fence = r.fence()
    r.complete(fence)
    r.take_over()


def idle(r: Round) -> None:
    """Stopped with nothing in flight: that is no reason to wait."""
    r.victim.depth = 0
    r.cluster.until(lambda: r.victim.initiator.under_way == 0, "the queue is empty")
    r.cluster.keys(r.victim)  # behind anything else that it does with the store
    freeze(r)
    fence = r.fence()
    r.wait(fence)
    if fence.status == BUSY:
        r.cluster.violation("BUSY because of a stopped process without a write in flight")
    r.complete(fence)
    r.take_over()


def fencer_dies(r: Round) -> None:
    """Nothing stays shut: either the victim is fenced, or it writes on."""
    r.victim.brake(r.rng.choice((0, 200, 1000)))
    r.fence()
    r.pass_time(4)
    _kill(r, r.fencer)
    r.in_doubt = True
    r.fencer, r.other = r.other, r.fencer
    if not r.is_fenced and not r.turns_out_fenced():
        r.must_write_on()
        if not r.is_fenced:
            r.complete(r.fence())
    r.take_over()


def fencer_stands_still(r: Round) -> None:
    fence = r.fence()
    r.pass_time(2)
    r.fencer.freeze()
    r.count("SIGSTOP of the fencer")
    r.pass_time(40)
    r.fencer.thaw()
    r.complete(fence)
    r.take_over()


def two_fencers(r: Round) -> None:
    first, second = r.fence(), r.fence(r.other)
    r.count("two fencers")
    r.wait(first, second)
    _judge(r, first, second)
    if not r.is_fenced:
        r.complete(r.fence())
    r.take_over()


def unplugged_meanwhile(r: Round) -> None:
    """The fencing begins while the device waits for its writes to end, to be gone."""
    r.victim.depth = r.rng.choice((16, 128))
    r.victim.brake(0)
    r.pass_time(4)
    r.victim.depth = 0
    leaving = r.victim.begin_unplug()
    r.count("device_del")
    r.pass_time(r.rng.choice((0, 2)))
    fence = r.fence()
    r.pass_time(2)
    leaving()
    r.relief = r.victim.plug
    r.complete(fence)
    r.take_over()


def each_other(r: Round) -> None:
    """One of the two wins, and the other is its victim."""
    r.fencer.depth = r.rng.choice((1, 32, 64))
    r.pass_time(2)
    first, second = r.fence(), r.fence(r.victim, r.fencer)
    r.count("fence each other")
    r.wait(first, second)
    _judge(r, first, second)
    if second.status == GOOD:
        r.fencer, r.victim = r.victim, r.fencer
        r.tenure = r.victim.tenure
    r.fencer.depth = 0
    if not r.is_fenced:
        r.complete(r.fence())
    r.take_over()


def _judge(r: Round, first: Fence, second: Fence) -> None:
    if first.status == second.status == GOOD:
        r.cluster.violation("two fencings, of which each undoes the other's condition, were GOOD")
    for fence in (first, second):
        if fence.status != GOOD and not lost(fence):
            r.cluster.violation(f"one of two fencings ended in {fence.status:#x}")


# With their weights.
Rounds = dict[str, tuple[int, Callable[[Any], None]]]

# A round that kills costs the start of a process.
ROUNDS: Rounds = {
    "undisturbed": (4, strike(nothing)),
    "SIGKILL": (3, strike(kill)),
    "SIGSTOP": (2, strike(freeze)),
    "SIGSTOP with writes in flight": (1, held),
    "SIGSTOP without writes in flight": (1, idle),
    "stop": (2, strike(pause)),
    "werror=stop": (3, strike(write_error)),
    "LOGICAL UNIT RESET": (2, strike(logical_unit_reset)),
    "system_reset": (2, strike(system_reset)),
    "device_del": (2, strike(unplug)),
    "device_del meanwhile": (2, unplugged_meanwhile),
    "SIGKILL of the fencer": (2, fencer_dies),
    "SIGSTOP of the fencer": (1, fencer_stands_still),
    "two fencers": (2, two_fencers),
    "fence each other": (2, each_other),
}
