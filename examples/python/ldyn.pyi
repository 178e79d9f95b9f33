"""The learning dynamics of LLM finetuning: softmax dynamics, preference losses and their weights, the squeezing effect.

Arrays are float32 or float64 and may be views of any layout; results are new and have the same type. A row is a vocabulary:
functions of rows take one, of shape (V,), or many, of shape (N, V). Logarithms are natural.
"""

from collections.abc import Sequence
from typing import TypedDict, TypeVar, final

import numpy as np
from numpy.typing import NDArray

__version__: str

_Float = TypeVar("_Float", np.float32, np.float64)
_Labels = int | Sequence[int] | NDArray[np.integer]

class LossInfo(TypedDict):
    """A row of losses()."""

    aliases: list[str]
    loss: str
    chosen_weight: str
    rejected_weight: str
    source: str
    parameters: list[str]
    options: list[str]

class Checked(TypedDict):
    """A row of statements()."""

    id: str
    kind: str
    words: str
    outcome: str
    margin: float | None

@final
class Step:
    """What one exact step does to every label."""

    after: NDArray
    log_growth: NDArray
    runner_up: int
    risers: int
    threshold: float
    label_change: float
    runner_up_change: float
    risen: float
    fallen: float
    entropy_change: float

def softmax(logits: NDArray[_Float]) -> NDArray[_Float]: ...
def log_softmax(logits: NDArray[_Float]) -> NDArray[_Float]: ...
def residual(logits: NDArray[_Float], labels: _Labels, weight: float = 1.0) -> NDArray[_Float]: ...
def token_stats(logits: NDArray[_Float], labels: _Labels) -> dict[str, float] | dict[str, NDArray]: ...
def response_stats(logits: NDArray[_Float], labels: _Labels) -> dict[str, float]: ...
def adapt(pi: NDArray[_Float], v: NDArray[_Float]) -> NDArray[_Float]: ...
def losses() -> dict[str, LossInfo]: ...
def preference_loss(
    name: str,
    chosen: NDArray[np.floating],
    rejected: NDArray[np.floating],
    ref_chosen: NDArray[np.floating] | None = None,
    ref_rejected: NDArray[np.floating] | None = None,
    chosen_len: Sequence[int] | NDArray[np.integer] | None = None,
    rejected_len: Sequence[int] | NDArray[np.integer] | None = None,
    **parameters: float | bool | str,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def step(pi: NDArray[_Float], label: int, size: float) -> Step: ...
def trajectory(logits: NDArray[_Float], label: int, size: float, steps: int) -> NDArray[_Float]: ...
def predict_step(
    weights: NDArray[_Float],
    phi_observed: NDArray[_Float],
    phi_updated: NDArray[_Float],
    label: int,
    learning_rate: float,
) -> tuple[NDArray[_Float], NDArray[_Float]]: ...
def statements(logits: NDArray[np.float64], label: int, other: int, size: float) -> list[Checked]: ...
