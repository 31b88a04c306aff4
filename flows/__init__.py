"""The orchestration edge: parameters, stages, drivers and what a person sees of them."""

from flows import env as env  # before anything else of this package, and so before Prefect, MLflow and DVC
