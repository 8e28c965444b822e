"""A trial as Ray's Tune runs it: a setting, with each of its seeds in turn.

Ray carries this module to the nodes, so it imports nothing of this repository but what is carried along.
"""

import math
from collections.abc import Generator, Iterator
from typing import Any

import ray
from ray import tune

from commands.sweep.clone import NONE_VALIDATES, Clone, Job, SettingFailed
from commands.sweep.settings import Numbers, Setting, distinct, experiment_name

ANSWER_S = 60
RUNGS = {4**rung for rung in range(10)}  # epochs after which ASHA compares, with what Ray calls its reduction factor


class Mailbox:
    """Where the trials leave their experiments, and learn which there are; it is with the person who asked."""

    def __init__(self, known: dict[str, Numbers], histories: dict[str, list[Numbers]]) -> None:
        self._known, self._histories = dict(known), histories
        self._new: dict[str, tuple[Numbers, bytes]] = {}

    def known(self, name: str) -> Numbers | None:
        """The numbers of an experiment that there is."""
        return self._known.get(name)

    def history(self, name: str) -> list[Numbers]:
        """The epochs of an experiment that there was at the beginning."""
        return self._histories.get(name, [])

    def deliver(self, name: str, numbers: Numbers, bundle: bytes) -> None:
        """Leave an experiment, whole."""
        self._known[name] = numbers
        self._new[name] = numbers, bundle

    def take(self) -> dict[str, tuple[Numbers, bytes]]:
        """The experiments that came since the last time, by their names: numbers and a Git bundle."""
        taken, self._new = self._new, {}
        return taken


class Trial(tune.Trainable):  # type: ignore[misc] # which has no types
    """A setting, with each of its seeds in turn; Ray asks it for one result after the other."""

    def setup(self, config: dict[str, Any], job: Job, bundle: bytes, mailbox: Any) -> None:
        """Take a clone and begin."""
        self._job, self._bundle, self._mailbox = job, bundle, mailbox
        self._clone: Clone | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin with another setting, in the same process and clone."""
        self._results = self._work(new_config.get("setting", new_config))
        return True

    def step(self) -> dict[str, Any]:
        """The next result: a row of the first seed's history, or the mean over the seeds that are done."""
        return next(self._results)

    def cleanup(self) -> None:
        """End what runs."""
        self._results.close()
        if self._clone:
            self._clone.close()

    def _work(self, drawn: Setting) -> Generator[dict[str, Any], None, None]:
        metric, setting = self._job.metric, distinct(drawn, self._job.baseline)
        seeds = (int(drawn["seed"]),) if "seed" in drawn else self._job.seeds
        values: list[float] = []
        epoch: dict[str, float] = {}  # the last one that ran
        for place, seed in enumerate(seeds):
            name = experiment_name(self._job.sweep, setting, seed)
            numbers = ray.get(self._mailbox.known.remote(name), timeout=ANSWER_S)
            told = self._job.by_epoch and not place
            try:
                if numbers is None:
                    for row in self._rows(name, setting, seed):
                        if metric not in row:
                            raise SettingFailed(NONE_VALIDATES)
                        if told and self._clone:
                            epoch = {"epoch": row["epoch"]}
                            yield {metric: row[metric], **epoch, "last": row["epoch"] == self._clone.epochs()}
                    numbers = self._hand_over(name)
                elif told:
                    for row in ray.get(self._mailbox.history.remote(name), timeout=ANSWER_S):
                        if row["epoch"] in RUNGS and metric in row:
                            yield {metric: row[metric], "epoch": row["epoch"], "known": True}
            except SettingFailed as failure:
                yield {metric: math.nan, **epoch, "failure": str(failure), "done": True}
                return
            values.append(numbers[metric])
            mean = sum(values) / len(values)
            yield {metric: mean, **epoch, "seeds_done": len(values), "done": place == len(seeds) - 1}

    def _rows(self, name: str, setting: Setting, seed: int) -> Iterator[dict[str, float]]:
        self._clone = self._clone or Clone(self._job, self._bundle)
        return self._clone.run(name, setting, seed)

    def _hand_over(self, name: str) -> Numbers:
        assert self._clone is not None
        numbers = self._clone.numbers()
        self._clone.push()
        ray.get(self._mailbox.deliver.remote(name, numbers, self._clone.bundle(name)), timeout=ANSWER_S)
        return numbers
