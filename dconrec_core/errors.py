"""Errors a user can act on: each message names the file, the column or key, the offending value and the way out."""


class DConRecError(Exception):
    """Base of every error that is the input's or the configuration's fault, never a bug. Shown as one line."""


class DataError(DConRecError):
    """The data cannot be used: a missing file or column, a wrong type, an empty table, a failed critical check."""


class ConfigError(DConRecError):
    """A setting is unknown, of the wrong type or out of range."""


class BudgetError(DConRecError):
    """A budget is impossible, or a condensed set is larger than its budget."""


class NotFittedError(DConRecError):
    """A model was asked to score before it was fitted or loaded."""


class TrainingError(DConRecError):
    """Training cannot go on, for instance after a loss that is not finite."""
