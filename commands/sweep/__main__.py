"""Search over parameters on one machine or many; every trial is a DVC experiment: `python -m commands.sweep FILE.yaml`.

The file in sweeps/ says what is searched. Trials are compared by validation images alone; what the test images say is
told of the best. docs/sweeps.md has the files, the clusters, and what happens when something breaks.
"""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from commands.sweep.plan import Plan, read_plan
from commands.sweep.settings import described, distinct, experiment_name
from digits.foundation.command import Refusal, run

if TYPE_CHECKING:  # what it imports takes seconds, or is not there
    from commands.sweep.report import Progress

LOOPBACK = ("", "127.0.0.1", "localhost")


def main() -> None:
    """Read the command line, then plan, run and tell the sweep."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.sweep", description="Search over parameters; every trial is a DVC experiment."
    )
    parser.add_argument("file", metavar="FILE.yaml", type=Path, help="what to search, as sweeps/NAME.yaml")
    parser.add_argument(
        "--address", metavar="HOST:PORT", default=os.environ.get("RAY_ADDRESS"),
        help="a Ray that runs (default: RAY_ADDRESS, or one of our own on this machine)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with a sweep that was begun at this commit")
    parser.add_argument("--dry-run", action="store_true", help="list the trials, and run none")
    arguments = parser.parse_args()
    if (arguments.address or "").rpartition(":")[0] in LOOPBACK:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's switch for listening on the loopback alone
    try:
        import optuna  # noqa: F401
        import ray.tune  # noqa: F401
    except ImportError as error:
        raise Refusal(f"{error.name} is not installed, and sweeps need it: make sweep-installed") from error
    plan = read_plan(arguments.file)
    if arguments.dry_run:
        print(listed(plan))
    else:
        sweep(plan, arguments.address, arguments.resume)


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


def listed(plan: Plan) -> str:
    """The trials in lines; of a search that learns from results, those that come before any."""
    from commands.sweep.engine import drawn_ahead

    ahead = {"grid": plan.trials, "random": plan.trials, "tpe": min(plan.trials, 10)}[plan.sweep.search]
    settings = plan.settings if plan.settings is not None else drawn_ahead(plan, ahead)
    lines = [
        f"{experiment_name(plan.name, setting, seed)}  {described(setting)}"
        for drawn in settings
        for setting in (distinct(drawn, plan.baseline),)
        for seed in plan.seeds_of(drawn)
    ]
    if ahead < plan.trials:
        lines.append(f"... and {plan.trials - ahead} settings more, which follow from the results")
    return "\n".join(lines)


def sweep(plan: Plan, address: str | None, resume: bool) -> None:
    """Run the sweep, tell how it goes, and write what it found to sweeps/NAME/.

    Raises:
        Refusal: it cannot start, or no setting was trained with all its seeds.
    """
    from commands.sweep import engine, experiments, report
    from commands.sweep.trial import Job

    at, identity, remote = experiments.commit(), experiments.identity(), experiments.remote()
    if address and not remote:
        raise Refusal(
            "no DVC remote is configured, through which the nodes of a cluster get the data and return the networks: "
            "`dvc remote add --default NAME URL`"
        )
    earlier = experiments.earlier(at, plan.name, plan.baseline, plan.sweep.metric)
    if not resume and any(experiment == trial for trial, experiment in earlier.names.items()):
        raise Refusal(f"{plan.path} was begun at this commit: --resume goes on, `dvc exp remove` forgets what it found")
    history = engine.split(plan, earlier.settings, earlier.numbers)
    with contextlib.ExitStack() as stack:
        folder = None
        if address:
            stack.enter_context(engine.cluster(address))
        else:
            folder = str(stack.enter_context(engine.own_ray(max(plan.cpus, engine.cores()))))
        engine.check_room(plan.cpus, plan.sweep.resources.memory_gb)
        if address:
            experiments.push_data()
        signal.signal(signal.SIGTERM, _leave)  # in the place of Ray's, which leaves its folder
        job = Job(
            sweep=plan.name, commit=at, repository=experiments.first_commit(), baseline=plan.baseline,
            seeds=plan.seeds, metric=plan.sweep.metric, by_epoch=plan.sweep.stop is not None, identity=identity,
            remote=remote if address else {}, cache=None if address else experiments.cache(), folder=folder,
        )  # fmt: skip
        progress = stack.enter_context(report.Progress(plan, earlier.numbers, [drawn for drawn, _ in history.finished]))

        def arrived(name: str, numbers: dict[str, float], bundle: bytes) -> None:
            experiments.receive(at, name, bundle)
            progress.numbers[name] = numbers

        engine.run(plan, job, experiments.bundle(), earlier.numbers, history, arrived, progress)
    best = [earlier.names.get(trial, trial) for trial in progress.best()]
    if address:
        experiments.fetch_networks(best)
    conclude(progress, best)


def conclude(progress: "Progress", best: list[str]) -> None:
    """Write the ranking and the picture, and tell the best.

    Args:
        progress: of a sweep that is over.
        best: the experiments of the best setting.

    Raises:
        Refusal: there is none.
    """
    from commands.sweep import report
    from digits.foundation.files import write_table
    from digits.results.drawing import use_style, write_figure

    print(progress.summary())
    results = Path("sweeps") / progress.plan.name
    write_table(results / "ranking.csv", report.table(progress))
    if not best:
        raise Refusal(f"no setting was trained with all its seeds; {results / 'ranking.csv'} says why")
    use_style()
    write_figure(results / "picture.png", report.draw(progress), report.DPI)
    print(report.conclusion(progress))
    print(f"to have it: dvc exp apply {best[0]} && dvc repro")
    print(f"ranking and picture: {results}")


if __name__ == "__main__":
    run(main)
