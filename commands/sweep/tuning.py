"""Ray's Tune tries the settings of a plan: what it is given, and what becomes of what it brings."""

import contextlib
import tempfile
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from commands.sweep import clone, experiments, settings, trial
from commands.sweep.clone import Job
from commands.sweep.findings import Findings
from commands.sweep.progress import Progress
from commands.sweep.search import Search
from commands.sweep.settings import Numbers, Setting
from commands.sweep.trial import Mailbox, Trial

MOST_EPOCHS = 10**6  # more than any trains: it would be stopped there
LOST_TRIES = 3  # times that a trial is begun anew after its node was lost


class Rungs(ASHAScheduler):  # type: ignore[misc] # which has no types
    """ASHA, to which what was done before tells how it stood after each rung's epochs.

    That is not stopped again, nor what has come to its last epoch: only the result would be lost.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        action: str = super().on_trial_result(tune_controller, trial, result)
        return self.CONTINUE if result.get("known") or result.get("last") else action


def run(
    findings: Findings, job: Job, bundle: bytes, before: list[Setting], histories: dict[str, list[Numbers]]
) -> None:
    """Have Ray try the settings until all are done, stopped or failed, and bring each experiment in as it comes.

    Args:
        findings: take in how they fare; has the plan, and the numbers of experiments that there are.
        job: what every trial needs.
        bundle: the repository.
        before: settings that were tried, whose trials find their experiments done.
        histories: of the experiments that there are, by their names: a row an epoch.
    """
    plan = findings.plan
    for module in (settings, clone, trial):
        cloudpickle.register_pickle_by_value(module)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox = ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=here).remote(findings.numbers, histories)

    def receive() -> None:
        for name, (numbers, content) in ray.get(mailbox.take.remote()).items():
            experiments.receive(job.commit, name, content)
            findings.numbers[name] = numbers

    resources = {"CPU": plan.cpus}
    if plan.sweep.resources.memory_gb:
        resources["memory"] = int(plan.sweep.resources.memory_gb * 2**30)
    grid = plan.settings is not None
    progress = Progress(findings, receive)
    with progress.bar, tempfile.TemporaryDirectory(dir=job.folder, ignore_cleanup_errors=True) as storage:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(Trial, job=job, bundle=bundle, mailbox=mailbox), resources),
            param_space={"setting": tune.grid_search([*plan.settings])} if plan.settings is not None else {},
            tune_config=tune.TuneConfig(
                metric=plan.sweep.metric, mode=plan.mode, num_samples=1 if grid else max(plan.trials, len(before)),
                search_alg=None if grid else Search(plan, before),
                scheduler=Rungs(time_attr="epoch", max_t=MOST_EPOCHS) if job.by_epoch else FIFOScheduler(),
                reuse_actors=not job.by_epoch,  # a process that is kept goes on with what was stopped
            ),
            run_config=tune.RunConfig(
                name=plan.name, storage_path=storage, callbacks=[progress], verbose=0,
                failure_config=tune.FailureConfig(max_failures=LOST_TRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )  # fmt: skip
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            tuner.fit()
    receive()
