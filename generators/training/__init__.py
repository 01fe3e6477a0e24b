"""The one training loop: every family, every stage, from a corpus to a checkpoint.

``loop`` trains; ``run`` is what it works on and ``plan`` says how long; ``optimizers`` are the rules by which
parts learn and the schedules of their rates; ``evaluation`` measures and stops early; ``saving`` begins,
resumes, branches off and saves runs; ``log``, ``progress``, ``samples`` and ``gradients`` are for watching;
``stopping`` is about signals, ``distributed`` about several GPUs.
"""

from generators.training.evaluation import evaluate
from generators.training.loop import fit, train
from generators.training.optimizers import OPTIMIZERS, SCHEDULES
from generators.training.progress import Progress
from generators.training.run import Place, Run, Sums, TrainingResult
from generators.training.saving import Origin, save

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Origin",
    "Place",
    "Progress",
    "Run",
    "Sums",
    "TrainingResult",
    "evaluate",
    "fit",
    "save",
    "train",
]
