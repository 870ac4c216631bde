"""A sweep told to MLflow: one MLflow run of its own, in which those of its points are nested."""

from contextlib import AbstractContextManager, nullcontext

from qcaan.learn.sweep.plan import Sweep, flow
from qcaan.learn.tracking import Tracking

_PATIENCE_S = 10.0
"""For the MLflow run to be made; points that begin earlier are not nested in it."""


def tracked(sweep: Sweep) -> AbstractContextManager[object]:
    """While it is held, MLflow is told of the sweep, if its configuration names a server in `train.mlflow`.

    Raises:
        ConfigError: MLflow is not installed, or the environment lacks what the URI refers to.
    """
    uri = sweep.points[0].config.train.mlflow
    if uri is None:
        return nullcontext()
    plan = sweep.plan
    settings = {f"grid.{key}": flow(list(values)) for key, values in plan.grid.items()}
    settings |= {"variants": flow(plan.variants), "baseline": flow(plan.baseline)}
    tracking = Tracking(sweep.path, uri, settings)
    tracking.wait_begun(_PATIENCE_S)
    return tracking
