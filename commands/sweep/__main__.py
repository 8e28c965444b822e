"""Search over parameters on one machine or many; every trial is a DVC experiment: `python -m commands.sweep FILE.yaml`.

The file in sweeps/ says what is searched. Trials are compared by validation images alone; what the test images say is
told of the best. docs/sweeps.md has the files, the clusters, and what happens when something breaks.
"""

import argparse
import contextlib
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from digits.foundation.command import Refusal, run

if TYPE_CHECKING:  # what they import takes seconds, or is not there
    from commands.sweep.findings import Findings
    from commands.sweep.plan import Plan

LOOPBACK = ("", "127.0.0.1", "localhost")
RAY = {  # calls no one, leaves Ctrl-C to us, and writes no logs of its own beside ours
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


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
    os.environ |= RAY  # which reads it when it is imported
    if (arguments.address or "").rpartition(":")[0] in LOOPBACK:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's switch for listening on the loopback alone
    try:
        import optuna
        import ray.tune  # noqa: F401
    except ImportError as error:
        raise Refusal(f"{error.name} is not installed, and sweeps need it: make sweep-installed") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore")  # of what is to come in Optuna and Ray
    from commands.sweep.plan import read_plan

    plan = read_plan(arguments.file)
    if arguments.dry_run:
        print(listed(plan))
    else:
        sweep(plan, arguments.address, arguments.resume)


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


def listed(plan: "Plan") -> str:
    """The trials in lines; of a search that learns from results, those that come before any."""
    from commands.sweep.search import drawn_ahead
    from commands.sweep.settings import described, distinct, experiment_name

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


def sweep(plan: "Plan", address: str | None, resume: bool) -> None:
    """Run the sweep, tell how it goes, and write what it found to sweeps/NAME/.

    Raises:
        Refusal: it cannot start, or no setting was trained with all its seeds.
    """
    from commands.sweep import cluster, earlier, experiments, tuning
    from commands.sweep.clone import Job
    from commands.sweep.findings import Findings
    from commands.sweep.search import tried_before
    from digits.results.revisions import folder_in_git

    at, identity, remote = experiments.commit(), experiments.identity(), experiments.remote()
    if address and not remote:
        raise Refusal(
            "no DVC remote is configured, through which the nodes of a cluster get the data and return the networks: "
            "`dvc remote add --default NAME URL`"
        )
    found = earlier.find(at, plan.name, plan.baseline, plan.sweep.metric)
    if not resume and any(experiment == trial for trial, experiment in found.names.items()):
        raise Refusal(f"{plan.path} was begun at this commit: --resume goes on, `dvc exp remove` forgets what it found")
    experiments.bring_data(plan.sweep.space)
    experiments.check_validation(plan.sweep.space)
    findings = Findings(plan, found.numbers)
    with contextlib.ExitStack() as stack:
        folder = None
        if address:
            stack.enter_context(cluster.cluster(address))
        else:
            folder = str(stack.enter_context(cluster.own_ray(max(plan.cpus, cluster.cores()))))
        places = cluster.room(plan.cpus, plan.sweep.resources.memory_gb)
        if address:
            with experiments.through_the_remote("what trials read cannot be pushed to the remote") as repo:
                repo.push(targets=["prepare"])
        signal.signal(signal.SIGTERM, _leave)  # in the place of Ray's, which leaves its folder
        job = Job(
            sweep=plan.name, commit=at, repository=experiments.first_commit(), project=str(folder_in_git()),
            baseline=plan.baseline, seeds=plan.seeds, metric=plan.sweep.metric, by_epoch=plan.sweep.stop is not None,
            identity=identity, remote=remote if address else {}, cache=None if address else experiments.cache(),
            folder=folder,
        )  # fmt: skip
        # a single place draws again what it drew; of several, nobody knows in which order they came to what is known
        before = tried_before(plan, found.settings, found.numbers) if places > 1 else []
        tuning.run(findings, job, experiments.bundle(), before, found.histories)
    best = [found.names.get(trial, trial) for trial in findings.best()]
    if address:
        with experiments.through_the_remote("the best networks cannot be fetched from the remote") as repo:
            repo.fetch(targets=["train"], revs=best)
    conclude(findings, best)


def conclude(findings: "Findings", best: list[str]) -> None:
    """Write the ranking and the picture, and tell the best, whose experiments are named; refuse if there is none."""
    from commands.sweep import picture, report
    from commands.sweep.progress import summary
    from digits.foundation.tables import write_table
    from digits.results.drawing import use_style, write_figure

    print(summary(findings))
    results = Path("sweeps") / findings.plan.name
    write_table(results / "ranking.csv", report.ranking(findings))
    if not best:
        raise Refusal(f"no setting was trained with all its seeds; {results / 'ranking.csv'} says why")
    use_style()
    write_figure(results / "picture.png", picture.draw(findings), picture.DPI)
    print(report.conclusion(findings))
    print(f"to have it: dvc exp apply {best[0]} && dvc repro")
    print(f"ranking and picture: {results}")


if __name__ == "__main__":
    run(main)
