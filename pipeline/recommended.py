"""What a model recommends for the stages behind it: below run.yaml, above the defaults."""

from __future__ import annotations

from emseg.models.spec import ModelSpec
from emseg.pipeline.config import RunConfig
from emseg.pipeline.yamlfile import validated
from emseg.tasks.volume.errors import ConfigError

STAGES = ("fragment", "merge", "relabel")  # a model says nothing about chunks, layers or engines
NOT_ITS = ("chunk_vx",)


def with_recommended(config: RunConfig, spec: ModelSpec) -> RunConfig:
    """The config, with the model's values where run.yaml (and `--set`) say nothing.

    Raises:
        ConfigError: the model recommends what no run takes, or what does not go with the values of run.yaml.
    """
    given = config.model_dump(exclude_unset=True)
    stages = dict(given.get("stages", {}))
    for stage, values in spec.recommended.items():
        if stage not in STAGES or not set(NOT_ITS).isdisjoint(values):
            raise ConfigError(
                f"model {spec.name} recommends {stage} {dict(values)}: only thresholds of {STAGES} can be"
            )
        stages[stage] = {**values, **stages.get(stage, {})}
    return validated(RunConfig, {**given, "stages": stages}, {}, f"with what model {spec.name} recommends")
