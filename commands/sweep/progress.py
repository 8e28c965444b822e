"""What a sweep says while it runs: a line for each trial that ended, and how all of them stand.

On a terminal that is a line that changes; where none watches, as in a log, one after each AGAIN without another.
"""

import math
import sys
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from rich import progress
from rich.console import Console

from commands.sweep.experiments import AGAIN
from commands.sweep.findings import Findings, Tried, spread, told
from commands.sweep.settings import described, distinct


class Progress(tune.Callback):  # type: ignore[misc] # which has no types
    """Takes what Tune tells of its trials into the findings, and says it, with a `bar` while that is entered.

    Before it looks at a result it calls `receive`, to have the experiments brought in that have arrived.
    """

    def __init__(self, findings: Findings, receive: Callable[[], None] = lambda: None) -> None:
        self._findings, self._receive = findings, receive
        self._console = Console(file=sys.stdout)
        columns = (progress.TextColumn("{task.description}", markup=False), progress.TimeRemainingColumn())
        self.bar = progress.Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self.bar.add_task("", total=findings.plan.trials)
        self._said = time.monotonic()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return tune.Callback, ()  # Tune keeps a copy of all that it is given, and nobody reads it

    def on_step_end(self, **_: Any) -> None:
        """Tune looked at its trials once more, as it does several times a second."""
        if not self._console.is_terminal and time.monotonic() - self._said > AGAIN:
            self._say(summary(self._findings))

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """A trial begins, or begins anew where its node was lost."""
        drawn = trial.config.get("setting", trial.config)
        self._findings.trials[trial.trial_id] = Tried(drawn, distinct(drawn, self._findings.plan.baseline))
        self._show()

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial told an epoch of its first seed, the mean over its seeds so far, or why it failed."""
        self._receive()
        tried = self._findings.trials[trial.trial_id]
        tried.value = result.get(self._findings.plan.sweep.metric, math.nan)
        tried.epoch, tried.why = int(result.get("epoch", 0)), result.get("failure", "")
        self._show()

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """A trial is over: done, stopped because others were better, or failed."""
        tried = self._findings.trials[trial.trial_id]
        of_all = len(self._findings.plan.seeds_of(tried.drawn))
        done = len(self._findings.scores(tried)) == of_all
        tried.state = "failed" if tried.why else "done" if done else "stopped"
        self._say(self._line(tried))
        self._show()

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """A trial was begun anew as often as it may, or no node took it."""
        if trial.trial_id not in self._findings.trials:
            self.on_trial_start(trial=trial)
        error = trial.get_error()
        self._findings.trials[trial.trial_id].why = " ".join(str(getattr(error, "cause", None) or error).split())
        self.on_trial_complete(trial=trial)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._said = time.monotonic()

    def _line(self, tried: Tried) -> str:
        over = len(self._findings.of("done", "stopped", "failed"))
        return f"{over}/{self._findings.plan.trials}  {tried.state}  {self._outcome(tried)}  {described(tried.setting)}"

    def _outcome(self, tried: Tried) -> str:
        metric = self._findings.plan.sweep.metric
        match tried.state:
            case "failed":
                return tried.why
            case "done":
                return spread([*self._findings.scores(tried).values()], metric)
        return f"{told(tried.value, metric)} at epoch {tried.epoch}"

    def _show(self) -> None:
        over = len(self._findings.of("done", "stopped", "failed"))
        self.bar.update(self._task, description=summary(self._findings), completed=over)


def summary(findings: Findings) -> str:
    """Trials done, stopped, failed, running; the best so far."""
    states = ("done", "stopped", "failed", "running")
    counted = ", ".join(f"{len(findings.of(state))} {state}" for state in states)
    best = [spread([*ranked.scores.values()], findings.plan.sweep.metric) for ranked in findings.rank()[:1]]
    return "; best ".join([f"{counted} of {findings.plan.trials}", *best])
