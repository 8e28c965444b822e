"""Optuna proposes the settings to try, in numbers that can be read, typed and found again."""

import optuna
from ray.tune.search.optuna import OptunaSearch

from commands.sweep.plan import Plan
from commands.sweep.settings import Numbers, Setting, Value, distinct, experiment_name, key
from commands.sweep.space import contains, ends, rounded

SEED = 1  # of what the searches draw: the same file asks for the same settings
MOST_DRAWS = 100


def tried_before(plan: Plan, settings: list[Setting], known: dict[str, Numbers]) -> list[Setting]:
    """Draws of those settings that are of the space, of which a search that learns from results is to hear first.

    It hears nothing where it draws its seeds, too. `known` are the experiments by the names that trials give them.
    """
    if plan.sweep.search != "tpe" or "seed" in plan.sweep.space:
        return []
    begun = [
        setting
        for setting in settings
        if any(experiment_name(plan.name, setting, seed) in known for seed in plan.seeds)
    ]
    return [drawn for setting in begun if (drawn := _drawn(plan, setting)) is not None]


def _drawn(plan: Plan, setting: Setting) -> Setting | None:
    """A draw that comes to this setting, or None where it lies outside of the space."""
    whole = plan.baseline.given | setting
    drawn = {
        name: whole[name] if contains(domain, whole[name]) else ends(domain)[0]
        for name, domain in plan.sweep.space.items()
    }
    return drawn if distinct(drawn, plan.baseline) == setting else None


class Search(OptunaSearch):  # type: ignore[misc] # which has no types
    """Optuna's settings, each once and in as many digits as are told."""

    def __init__(self, plan: Plan, before: list[Setting]) -> None:
        sampler = (
            optuna.samplers.RandomSampler(seed=SEED)
            if plan.sweep.search == "random"
            else optuna.samplers.TPESampler(seed=SEED + len(before))
        )
        super().__init__(
            plan.sweep.space, metric=plan.sweep.metric, mode=plan.mode, sampler=sampler, points_to_evaluate=before
        )
        self._plan = plan
        self._seen: set[tuple[str, Value | None]] = set()

    def suggest(self, trial_id: str) -> Setting | None:
        """The next setting to try; one that comes to another's is drawn again, as long as there may be others."""
        for _ in range(MOST_DRAWS):
            self._ot_trials.pop(trial_id, None)  # else it gives the same again
            found = super().suggest(trial_id)
            drawn = {name: rounded(self._plan.sweep.space[name], value) for name, value in found.items()}
            if self._identity(drawn) not in self._seen:
                break
        self._seen.add(self._identity(drawn))
        return drawn

    def _identity(self, drawn: Setting) -> tuple[str, Value | None]:
        return key(distinct(drawn, self._plan.baseline)), drawn.get("seed")


def drawn_ahead(plan: Plan, most: int) -> list[Setting]:
    """The first settings that a random search, or one that has learned nothing yet, tries."""
    search = Search(plan, [])
    return [found for place in range(most) if (found := search.suggest(str(place)))]
