"""A generator of commands that no run can be meant by: the same ones for the same seed."""
# ruff: noqa: SIM905 (many words, which lists would spread over a line each)

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product

CONFIG_DIR = "@CONFIG_DIR@"
"""Stands for the folder of a command's own files."""


@dataclass(frozen=True)
class Malformed:
    """A command with a mistake.

    Attributes
    ----------
    kind
        The kind of mistake.
    arguments
        What is added to a command that works.
    names
        Parts that the message must have, such as the name of the option.
    files
        Names and contents of files for --config-dir.
    """

    kind: str
    arguments: tuple[str, ...]
    names: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        files = "".join(f" {name}:{content!r}" for name, content in self.files.items())
        return f"{self.kind}: {' '.join(self.arguments)!a}{files}"


INTEGERS: Mapping[str, Sequence[object]] = {
    "seed": (-1, 2**32),
    "backbone.seed": (-1, 2**40),
    "evaluation.batch_size": (0, -4, 10**9),
    "method.training.image_size": (0, -64, 100_000),
    "method.training.depth_size": (0, 10**6),
    "method.training.batch_size": (0, -1, 10**9),
    "method.training.epochs": (0, -3, 10**12),
    "method.training.validation_seed": (-1, 2**32),
    "+method.training.stages.student.steps": (0, -1, 10**12),
    "+method.training.pretraining.limit": (0, 10**12),
    "+method.training.pretraining.image_size": (0, 10**6),
}
NULLABLE_INTEGERS: Mapping[str, Sequence[object]] = {
    "runtime.threads": (0, -1, 100_000),
    "method.map_size": (0, -1, 10**6),
}
NUMBERS: Mapping[str, Sequence[object]] = {
    "evaluation.quantile": (0, 1.5, 99.5, -0.1),
    "evaluation.fpr_limit": (0, 30, -0.3, 1.0001),
    "method.training.validation_fraction": (1, -0.2, 20),
    "method.training.optimizer.lr": (-0.1,),
    "method.training.optimizer.weight_decay": (-1,),
    "method.training.optimizer.momentum": (-0.9,),
    "method.width": (0, 1.5, -1),
    "runtime.features.device_gb": (-1,),
    "runtime.features.memory_gb": (-0.1,),
    "runtime.features.disk_gb": (-1e9,),
}
NULLABLE_NUMBERS: Mapping[str, Sequence[object]] = {
    "runtime.checkpoint_seconds": (-5,),
    "jobs.cell_seconds": (0, -1, 1e12, 1e300),
}
BOOLEANS = (
    *("jobs.force", "jobs.fail_fast", "runtime.channels_last", "runtime.malloc", "runtime.deterministic"),
    *("runtime.progress", "tracking.maps", "tracking.detector", "tracking.report", "method.half"),
)
CHOICES = ("runtime.device", "runtime.precision", "evaluation.threshold", "method.student", "method.mode")
LISTS = ("tables", "evaluation.pro_variants", "dataset.categories", "method.layers")
TEXTS = (
    *("tracking.uri", "tracking.experiment", "backbone.name", "backbone.weights", "results_dir"),
    *("runtime.cache_dir", "protocol.name", "sweep", "+method.training.pretraining.images"),
)
GROUPS = ("runtime", "evaluation", "tracking", "backbone", "method", "dataset", "jobs", "protocol")
INNER_GROUPS = ("method.training", "runtime.features", "method.training.optimizer", "method.training.stages")
GROUP = "{a: 1}"
OPTIMIZER = "method.training.optimizer"


def option(name: str) -> str:
    """Return the part of an option's name that a message must have."""
    return OPTIMIZER if name.startswith(f"{OPTIMIZER}.") else name.rpartition(".")[2].lstrip("+")


def values(kind: str, options: Sequence[str], wrong: Sequence[object]) -> Iterator[Malformed]:
    """Give every option every wrong value."""
    for name, value in product(options, wrong):
        yield Malformed(kind, (f"{name}={value}",), (option(name),))


def of_another_type() -> Iterator[Malformed]:
    """Text for numbers, numbers for text, lists, groups and null where none can be."""
    integers, numbers = [*INTEGERS, *NULLABLE_INTEGERS], [*NUMBERS, *NULLABLE_NUMBERS]
    yield from values("type", integers, ("many", 1.5, "true", "[1,2]", GROUP, "'8'", "1e3"))
    yield from values("type", numbers, ("'1e-3'", "much", "true", "[0.1]", GROUP, "0.5 percent"))
    yield from values("type", BOOLEANS, ("maybe", 1, 0.0, "'true'", "[true]", GROUP))
    yield from values("type", CHOICES, ("best", 1, "true", "[cpu]", GROUP))
    yield from values("type", LISTS, (1, "[1]", "[[]]", "[null]", "true"))
    yield from values("type", TEXTS, ("[a]", GROUP, "true"))
    needed = [*INTEGERS, *NUMBERS, *BOOLEANS, *CHOICES, *TEXTS, *INNER_GROUPS]
    yield from values("null", [name for name in needed if not name.startswith("+")], ("null",))
    yield from values("group", INNER_GROUPS, (5, "text", "[1]"))


def out_of_range() -> Iterator[Malformed]:
    """Numbers of the right type that cannot be meant."""
    for options in (INTEGERS, NULLABLE_INTEGERS, NUMBERS, NULLABLE_NUMBERS):
        for name, outside in options.items():
            yield from values("range", [name], outside)
    yield from values("nan", [*NUMBERS, *NULLABLE_NUMBERS, *INTEGERS], ("nan", "inf", "-inf"))
    yield from values("huge", [*INTEGERS, *NUMBERS], ("9" * 400, "1e999", "-" + "9" * 4000))


def odd_text() -> Iterator[Malformed]:
    """Empty, foreign or unprintable text where it makes no sense."""
    everything = [*INTEGERS, *NULLABLE_INTEGERS, *NUMBERS, *NULLABLE_NUMBERS, *BOOLEANS, *CHOICES, *TEXTS]
    yield from values("empty", everything, ("", "''"))
    yield from values("unicode", [*INTEGERS, *NUMBERS, *CHOICES], ("'α'", "'五'", "'１２ '", "'🙂'"))
    yield from values("newline", [*INTEGERS, *BOOLEANS, *CHOICES, "sweep", "runtime.cache_dir"], ("'a\nb'",))
    names = ("..", ".", "-x", "a/b", "'a b'", "x" * 300, "'*'", "'$HOME'", "~", "a\\\\b", "'%2e%2e'")
    yield from values("sweep name", ["sweep"], names)


def lists_and_names() -> Iterator[Malformed]:
    """Lists with nothing, unknown or the same in them; groups, choices and options that do not exist."""
    yield from values("list", ["tables", "dataset.categories"], ("[]", "[nothing]"))
    yield from values("list", ["method.layers"], ("[]",))
    yield Malformed("list", ("method.layers=[nothing]",), ("layer 'nothing'",))
    yield from values("list", ["tables"], ("[pro,pro]", "[pro_rescaled]", "image_auroc"))
    yield from values("list", ["evaluation.pro_variants"], ("[exact,exact]", "[exakt]", "exact"))
    yield from values("list", ["method.layers"], ("[blocks.1,blocks.1]",))
    yield from values("choice", (*GROUPS[:6], "protocol"), ("nothing", "../x", "'a b'", "[a,b]"))
    for name, value in product((*GROUPS[:6], "protocol"), ("null", "5")):
        yield Malformed("choice", (f"{name}={value}",), ("the name of a choice",))
    for name in UNKNOWN:
        yield Malformed("unknown", (f"{name}=1",), (name,))
        yield Malformed("unknown", (f"+{name}=1",), (name.partition(".")[0],))
    for name in ("foo.bar", "foo", "Method.half", "1", "métode.half", "seeds.0"):
        yield Malformed("unknown", (f"+{name}=1",), (option(name),))
    yield Malformed("unknown", ("+method.training.stages.nobody.steps=1",), ("nobody",))


UNKNOWN = """
metod.half runtim.threads trainer.threads evaluation.tables threads training.epochs method.haf
method.training.epoch runtime.features.disk jobs.forse tracking.url
""".split()
NEEDED = """
runtime evaluation tracking backbone jobs seed tables results_dir runtime.device evaluation.quantile method._target_
method.training dataset._target_ method.training.epochs method.training.optimizer runtime.features.disk_gb
backbone.name nothing seed=5
""".split()
BROKEN = "[1 1] {a {a:1 'a \"a a=b a, range(1, choice( ${ ${} [1,,2] ( ,".split()
NO_OVERRIDES = (
    "seed",
    "=3",
    "seed:3",
    "--nothing",
    "-x",
    "a b=3",
    ".seed=3",
    "seed..x=3",
    "@=1",
    "é",
    "\n",
    " ",
)
NOWHERE = "${nothing} ${oc.env:NOT_SET_ANYWHERE} ${seed} ${nothing:1} ??? ${method.training}".split()


def deleted() -> Iterator[Malformed]:
    """Options and groups that a run cannot do without."""
    for name in NEEDED:
        yield Malformed("delete", (f"~{name}",), (option(name.partition("=")[0]),))


def unreadable() -> Iterator[Malformed]:
    """Arguments that Hydra's grammar or its flags do not have."""
    yield from values("syntax", ["seed"], BROKEN)
    for argument in NO_OVERRIDES:
        yield Malformed("syntax", (argument,))
    yield from values("interpolation", ["seed"], NOWHERE)
    yield from values("sweep without -m", ["seed"], ("sort(", "glob(*)", "choice(1,2)", "1,2", "range(3)"))


NO_CLASSES = (
    "null 5 '' Nothing no.such.module.Class os.path methods.rd builtins.dict torch.optim.SGDW [a]".split()
)


def targets() -> Iterator[Malformed]:
    """Classes that do not exist or are of another kind, and options of another optimiser."""
    for name, target in product(("method", "dataset", OPTIMIZER), NO_CLASSES):
        yield Malformed("target", (f"{name}._target_={target}",), (f"{name}._target_",))
    for target in ("Adam", "LBFGS", "SparseAdam", "Muon", "Optimizer"):  # momentum is left over from SGD
        yield Malformed("optimizer", (f"{OPTIMIZER}._target_=torch.optim.{target}",), (OPTIMIZER,))
    for change in ("rate=1", "betas=[0.9,0.9]", "nesterov=maybe", "params=[1]", "fused=5", "lr.x=1"):
        yield Malformed("optimizer", (f"+{OPTIMIZER}.{change}",), (OPTIMIZER,))
    for betas in ("[0.9]", "[1.5,0.9]", "0.9", "[a,b]", "[0.9,nan]"):
        adam = "{_target_: torch.optim.Adam, lr: 0.1, betas: " + betas + "}"
        yield Malformed("optimizer", (f"~{OPTIMIZER}", f"+{OPTIMIZER}={adam}"), (OPTIMIZER,))


STFPM = "_target_: methods.stfpm.STFPM\n"
METHODS = (
    *("a: [1\nb: 2\n", "a:\n\tb: 1\n", "a: 'b\n", "a: b: c\n", "- 1\n- 2\n", "just text\n", "5\n", "a: *b\n"),
    *(
        "a: 1\na: 2\n",
        "a: \x01\n",
        "a: !!python/object:os.system x\n",
        "",
        "layers: null\n",
        "_target_: null\n",
    ),
    *(STFPM, f"{STFPM}training: null\n", f"{STFPM}training: [1]\n", "_target_: methods.stfpm.Stfpm\n"),
    *("defaults: 5\n", "defaults:\n  - override /backbone@_global_.backbone: nothing\n"),
)
EXPERIMENTS = (
    *("foo: {bar: 1}\n", "runtime: {thread: 1}\n", "evaluation: null\n", "jobs: fast\n", "seed: -1\n"),
    *(
        "seed: '0'\n",
        "seed: 1e-3\n",
        "hydra: {sweeper: {params: 5}}\n",
        "hydra: {callbacks: null}\n",
        "seed: {\n",
    ),
)


def own_files() -> Iterator[Malformed]:
    """YAML files of a user's own that are broken or lack something."""
    for content in METHODS:
        yield Malformed(
            "own method", ("--config-dir", CONFIG_DIR, "method=own"), files={"method/own.yaml": content}
        )
    for content in EXPERIMENTS:
        files = {"experiment/own.yaml": f"# @package _global_\n{content}"}
        yield Malformed("own experiment", ("--config-dir", CONFIG_DIR, "experiment=own"), files=files)
    for flags in (("--config-dir", "/no/where", "method=own"), ("--config-dir=",), ("--config-dir",)):
        yield Malformed("no config dir", flags)


SWEEPS = """
seed=0,-1 seed=0,x seed=0,nan seed=0,,1 seed=range(0,-2) seed=[0,1],2 seed= seed=0, seed=choice(1 method=stfpm,stfmp
method=stfpm,none method=stfpm,glob(*) method= method=[stfpm,rd] evaluation.fpr_limit=0.3,30 jobs=1,2
method.training.epochs=1,0 runtime.threads=1,100000 dataset=synthetic,nothing backbone=resnet18,nothing
protocol=quick,nothing tables=[pro],[prro] method.haf=true,false +foo.bar=1,2 ~seed method.map_size=8,0
evaluation.threshold=f1_image,best hydra/launcher=nothing hydra/sweeper=nothing
""".split()


def several_jobs() -> Iterator[Malformed]:
    """Sweeps with one bad job among good ones: nothing of them may start."""
    yield Malformed("one bad job", ("-m", f"{OPTIMIZER}.lr=1,-1"), (OPTIMIZER,))
    for sweep in SWEEPS:
        yield Malformed("one bad job", ("-m", sweep), (option(sweep.partition("=")[0]).lstrip("~"),))


HYDRA = """
hydra.job.nme=x hydra.nothing=1 hydra/launcher=nothing hydra/job_logging=nothing hydra=null hydra.job.chdir=true
hydra.callbacks=null hydra.mode=FAST hydra.run.dir=null hydra.run.dir=
""".split()
FLAGS = ("--cfg=nothing", "--multirun=5", "--run --multirun", "--config-name=nothing", "--config-path=/no")


def hydras_own() -> Iterator[Malformed]:
    """Options of Hydra that do not exist or would break what the benchmark needs."""
    for name in HYDRA:
        yield Malformed("hydra", (name,))
    for flag in FLAGS:
        yield Malformed("flag", tuple(flag.split()))


URIS = "nonsense http:// sqlite:////dev/null/x.db ftp://x sqlite:/// 'postgresql://u:p@h/d'".split()


def paths() -> Iterator[Malformed]:
    """Folders and addresses that cannot be used."""
    for name, path in product(
        ("results_dir", "runtime.cache_dir"), ("/dev/null/x", "/proc/x", "'a\nb'", "a=b")
    ):
        yield Malformed("path", (f"{name}={path}",), ("/x" if "/" in path else option(name),))
    for uri in URIS:
        yield Malformed("path", (f"tracking.uri={uri}",), ("tracking.uri",))


GENERATORS = (
    *(of_another_type, out_of_range, odd_text, lists_and_names, deleted, unreadable, targets, own_files),
    *(several_jobs, hydras_own, paths),
)


def malformed_commands(count: int, seed: int = 0) -> list[Malformed]:
    """Return so many different commands, spread over all kinds of mistakes."""
    draw = random.Random(seed)
    pools: dict[str, list[Malformed]] = {}
    for case in chain.from_iterable(generate() for generate in GENERATORS):
        pools.setdefault(case.kind, []).append(case)
    for pool in pools.values():
        draw.shuffle(pool)
    chosen: list[Malformed] = []
    while len(chosen) < count and any(pools.values()):
        chosen += [pool.pop() for pool in pools.values() if pool]
    return chosen[:count]
