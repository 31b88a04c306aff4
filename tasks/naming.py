"""What a run and a registered dataset are called, wherever they show up."""

from tasks.params import PipelineParams


def run_name(params: PipelineParams) -> str:
    """Dataset, condenser and ratio: what tells one run from another."""
    return f"{params.dataset.name} {params.condense.name} {params.condense.ratio:g}"


def model_name(params: PipelineParams) -> str:
    """The registered model."""
    return params.registration.name or f"{params.dataset.name}-condensed"
