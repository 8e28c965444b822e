"""Ray runs the trials: a Ray of our own on this machine, or a cluster that is there."""

import contextlib
import logging
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from commands.sweep.plan import Domain, Interval, Plan
from commands.sweep.report import Progress
from commands.sweep.settings import Setting, Value, distinct, experiment_name, key
from digits.foundation.command import Refusal

# Read when Ray is imported: it calls no one, leaves Ctrl-C to us, and writes no logs of its own beside ours.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

import optuna
import psutil
import ray
from ray import cloudpickle, tune
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search.optuna import OptunaSearch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from commands.sweep import settings as settings_module
from commands.sweep import trial as trial_module
from commands.sweep.trial import LOOK, Job, Mailbox, Numbers, Trial

SEED = 1  # of what the searches draw: the same file asks for the same settings
ANSWER_S = 10
NODE_ANSWER_S = 60
STORE_BYTES = 100 * 2**20  # of shared memory: what goes through it are bundles
MOST_DRAWS = 100
WRONG_TOKEN = "InvalidAuthToken"  # in what Ray says
LOST_TRIES = 3  # times that a trial is begun anew after its node was lost
PINNED = ("requirements.txt", "requirements-sweep.txt")

logging.getLogger("ray").setLevel(logging.CRITICAL)
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore")  # of what is to come in Optuna and Ray


@contextlib.contextmanager
def own_ray(cores: int) -> Iterator[Path]:
    """A Ray on this machine alone, gone after the block; gives a folder that goes with it.

    Args:
        cores: that the trials share.
    """
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    before, os.environ["TMPDIR"], tempfile.tempdir = os.environ.get("TMPDIR"), str(folder), str(folder)
    try:
        ray.init(
            num_cpus=cores, object_store_memory=STORE_BYTES, include_dashboard=False, log_to_driver=False,
            logging_level=logging.CRITICAL, _node_ip_address="127.0.0.1", _temp_dir=str(folder),
        )  # fmt: skip
        yield folder
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
        ray.shutdown()
        while processes := _whose_temporary_folder_is_in(folder):  # as the Git of a trial that Ray has killed
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(LOOK)
        shutil.rmtree(folder)


def _whose_temporary_folder_is_in(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["environ"])
        if process.pid != os.getpid() and (process.info["environ"] or {}).get("TMPDIR", "").startswith(str(folder))
    ]


@contextlib.contextmanager
def cluster(address: str) -> Iterator[None]:
    """The Ray at an address, checked to be able to run trials.

    Args:
        address: HOST:PORT of its head.

    Raises:
        Refusal: no Ray answers there, or one of another version, or its nodes have other packages.
    """
    _check_answers(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except RuntimeError as error:
        raise Refusal(f"{address}: {_first_sentence(error)}") from error
    except (ConnectionError, ValueError) as error:
        raise Refusal(
            f"{address}: no node of that Ray is on this machine, expected `ray start --address {address}` before "
            f"({_first_sentence(error)})"
        ) from error
    try:
        _check_packages()
        yield
    finally:
        ray.shutdown()


def _first_sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Refusal(f"--address is {address!r}, expected HOST:PORT of a Ray that runs")
    trouble = _trouble(host, int(port))
    if WRONG_TOKEN in trouble and maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
        trouble = _trouble(host, int(port))  # with the token, which a Ray that wants none would take amiss
    if WRONG_TOKEN in trouble:
        raise Refusal(f"the Ray at {address} wants another token, expected its ~/.ray/auth_token here")
    if trouble:
        raise Refusal(f"no Ray answers at {address} within {ANSWER_S} s, expected the address that `ray start` told")


def _trouble(host: str, port: int) -> str:
    """What is wrong with the Ray at an address, in Ray's own words; nothing if it is well."""
    asked = ["-m", "ray.scripts.scripts", "health-check", "--skip-version-check", "--address", f"{host}:{port}"]
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
        done = subprocess.run([sys.executable, *asked], capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, OverflowError, subprocess.TimeoutExpired) as error:
        return str(error) or "no answer"
    return f"code {done.returncode}: {done.stderr}" if done.returncode else ""


def pinned_packages() -> dict[str, str]:
    """The version here of each package that a requirements file pins, and of Python."""
    text = "".join(Path(file).read_text() for file in PINNED)
    return _versions(sorted(set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))))


def _versions(names: list[str]) -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def check_room(cpus: int, memory_gb: float | None) -> None:
    """See that the Ray has a node where a trial fits, which would wait for one without end.

    Args:
        cpus: that a trial takes.
        memory_gb: that it takes besides, if it says so.

    Raises:
        Refusal: there is none.
    """
    rooms = [(int(node["Resources"]["CPU"]), node["Resources"].get("memory", 0) / 2**30) for node in _nodes()]
    if any(cores >= cpus and memory >= (memory_gb or 0) for cores, memory in rooms):
        return
    there = "; ".join(f"cpus {cores}, memory_gb {memory:.1f}" for cores, memory in sorted(set(rooms), reverse=True)[:5])
    taken = f"cpus {cpus}" + (f", memory_gb {memory_gb:g}" if memory_gb else "")
    raise Refusal(
        f"resources: a trial takes {taken}, expected what a node has ({there or 'no node has any'}); "
        "without resources.cpus it takes `threads` of params.yaml"
    )


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]


def _check_packages() -> None:
    here = pinned_packages()
    look = ray.remote(num_cpus=0)(_versions)
    names = sorted(here.keys() - {"python"})
    asked = {
        node["NodeManagerHostname"] + " " + node["NodeManagerAddress"]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(names)
        for node in _nodes()
    }
    for node, answer in asked.items():
        try:
            there = ray.get(answer, timeout=NODE_ANSWER_S)
        except ray.exceptions.RayError as error:
            raise Refusal(f"node {node} does not answer: {_first_sentence(error)}") from error
        differ = [
            f"{name} {there.get(name, 'none')} instead of {expected}"
            for name, expected in here.items()
            if there.get(name) != expected
        ]
        if differ:
            more = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
            raise Refusal(f"node {node} has {', '.join(differ[:5])}{more}: install the requirements there")


def distribution(domain: Domain) -> Any:
    """A parameter's values as Optuna draws them."""
    match domain:
        case Interval(low, high, None, logarithmic):
            return optuna.distributions.FloatDistribution(low, high, log=logarithmic)
        case Interval(low, high, step, logarithmic):
            return optuna.distributions.IntDistribution(int(low), int(high), step=step or 1, log=logarithmic)
        case _:
            return optuna.distributions.CategoricalDistribution(domain.options)


class Rounded(OptunaSearch):  # type: ignore[misc] # which has no types
    """Optuna's settings, in numbers that can be read, typed and found again."""

    def __init__(self, plan: Plan, finished: list[tuple[Setting, float]], begun: list[Setting]) -> None:
        self._domains = plan.sweep.space
        sampler = (
            optuna.samplers.RandomSampler(seed=SEED)
            if plan.sweep.search == "random"
            else optuna.samplers.TPESampler(seed=SEED + len(finished) + len(begun))
        )
        super().__init__(
            {name: distribution(domain) for name, domain in self._domains.items()},
            metric=plan.sweep.metric, mode=plan.mode, sampler=sampler, points_to_evaluate=begun,
        )  # fmt: skip
        for drawn, value in finished:
            self.add_evaluated_point(drawn, value)
        self._plan = plan
        self._seen = {self._identity(drawn) for drawn, _ in finished}
        self._asked: dict[str, str] = {}  # the draw that each of Tune's trials got

    def suggest(self, trial_id: str) -> Setting | None:
        """The next setting to try; one that comes to another's is drawn again, as long as there may be others."""
        for attempt in range(MOST_DRAWS):
            self._asked[trial_id] = f"{trial_id}-{attempt}"
            found = super().suggest(self._asked[trial_id])
            drawn = {name: _rounded(self._domains[name], value) for name, value in found.items()}
            if self._identity(drawn) not in self._seen:
                break
        self._seen.add(self._identity(drawn))
        return drawn

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Learn how a trial fares."""
        super().on_trial_result(self._asked[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn from a trial that is over."""
        super().on_trial_complete(self._asked[trial_id], result, error)

    def _identity(self, drawn: Setting) -> tuple[str, Value | None]:
        return key(distinct(drawn, self._plan.baseline)), drawn.get("seed")


def _rounded(domain: Domain, value: Value) -> Value:
    return domain.rounded(float(value)) if isinstance(domain, Interval) else value


def drawn_ahead(plan: Plan, most: int) -> list[Setting]:
    """The first settings that a random search, or one that has learned nothing yet, tries."""
    search = Rounded(plan, [], [])
    return [found for place in range(most) if (found := search.suggest(str(place)))]


@dataclass(frozen=True)
class History:
    """Settings of a sweep's space that were tried before.

    Attributes:
        finished: with all seeds, and the metric's mean over them.
        begun: with some.
    """

    finished: list[tuple[Setting, float]]
    begun: list[Setting]


def split(plan: Plan, settings: list[Setting], known: dict[str, Numbers]) -> History:
    """What a search that learns from results is told of those that there are; nothing where it draws its seeds, too."""
    history = History([], [])
    if plan.sweep.search != "tpe" or "seed" in plan.sweep.space:
        return history
    for setting in settings:
        drawn = _drawn(plan, setting)
        names = [experiment_name(plan.name, setting, seed) for seed in plan.seeds]
        values = [known[name][plan.sweep.metric] for name in names if name in known]
        if drawn is None or not values:
            continue
        if len(values) == len(names):
            history.finished.append((drawn, sum(values) / len(values)))
        else:
            history.begun.append(drawn)
    return history


def _drawn(plan: Plan, setting: Setting) -> Setting | None:
    """A draw that comes to this setting, or None where it lies outside of the space."""
    whole = plan.baseline.given | setting
    drawn = {
        name: whole[name] if _contains(domain, whole[name]) else domain.ends()[0]
        for name, domain in plan.sweep.space.items()
    }
    return drawn if distinct(drawn, plan.baseline) == setting else None


def _contains(domain: Domain, value: Value) -> bool:
    if isinstance(domain, Interval):
        points = domain.points()
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (value in points if points is not None else domain.low <= float(value) <= domain.high)
    return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in domain.options)


class Watch(tune.Callback):  # type: ignore[misc] # nor has this
    """Tells the progress what Tune tells of the trials, and has what arrived brought in before."""

    def __init__(self, progress: Progress, metric: str, receive: Callable[[], None]) -> None:
        self._progress, self._metric, self._receive = progress, metric, receive

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return tune.Callback, ()  # Tune keeps a copy of all that it is given, and nobody reads it

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, for the first time or again."""
        self._progress.started(trial.trial_id, trial.config.get("setting", trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial gave a result."""
        self._receive()
        told = result.get(self._metric, math.nan), int(result["epoch"]), result.get("seeds_done", 0)
        self._progress.result(trial.trial_id, *told, result.get("failure", ""))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial is over."""
        self._progress.ended(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial was begun anew as often as it may, or no node took it."""
        if trial.trial_id not in self._progress.trials:
            self.on_trial_start(iteration, trials, trial)
        error = trial.get_error()
        self._progress.ended(trial.trial_id, _first_sentence(getattr(error, "cause", None) or error))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    plan: Plan,
    job: Job,
    bundle: bytes,
    known: dict[str, Numbers],
    history: History,
    arrived: Callable[[str, Numbers, bytes], None],
    progress: Progress,
) -> None:
    """Have Ray try the settings until all are done, stopped or failed.

    Args:
        plan: what to try.
        job: what every trial needs.
        bundle: the repository.
        known: the numbers of experiments that there are, by the names that trials give them.
        history: what was tried before.
        arrived: takes an experiment in: its name, its numbers, its Git bundle.
        progress: is told how they fare.
    """
    for module in (settings_module, trial_module):
        cloudpickle.register_pickle_by_value(module)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox = ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=here).remote(known)

    def receive() -> None:
        for name, (numbers, content) in ray.get(mailbox.take.remote()).items():
            arrived(name, numbers, content)

    resources = {"CPU": plan.cpus}
    if plan.sweep.resources.memory_gb:
        resources["memory"] = int(plan.sweep.resources.memory_gb * 2**30)
    asha = ASHAScheduler(time_attr="epoch", max_t=plan.epochs + 1) if plan.sweep.stop else FIFOScheduler()
    if plan.settings is not None:
        space, search, samples = {"setting": tune.grid_search(list(plan.settings))}, None, 1
    elif plan.sweep.search == "random":
        space, search, samples = {}, Rounded(plan, [], []), plan.trials
    else:
        space, search, samples = {}, Rounded(plan, history.finished, history.begun), plan.trials - len(history.finished)
    if samples < 1:
        return
    watch = Watch(progress, plan.sweep.metric, receive)
    with tempfile.TemporaryDirectory(dir=job.folder, ignore_cleanup_errors=True) as storage:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(Trial, job=job, bundle=bundle, mailbox=mailbox), resources),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric=plan.sweep.metric, mode=plan.mode, num_samples=samples, search_alg=search, scheduler=asha,
                reuse_actors=plan.sweep.stop is None,  # a process that is kept goes on with what was stopped
            ),
            run_config=tune.RunConfig(
                name=plan.name, storage_path=storage, callbacks=[watch], verbose=0,
                failure_config=tune.FailureConfig(max_failures=LOST_TRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )  # fmt: skip
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            tuner.fit()
    receive()
