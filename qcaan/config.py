"""The one run configuration: a YAML file, validated, with every default in one place.

Unknown keys are errors that suggest the near one; all errors of a file are reported at once, each with its key, its
value and the remedy. `Config.to_yaml` writes the resolved form that every run directory keeps.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from qcaan.errors import ConfigError

NAMED_BASES = ("Z", "X", "Y", "trained")
Topology = Literal["all", "line", "star"]
Binarise = Literal["threshold", "bernoulli"]


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(Section):
    """What is learned."""

    name: str = Field("mnist", description="'mnist', or the path of a folder of IDX files")


class PriorConfig(Section):
    """The prior over the generator's input bits, and how it is fitted."""

    kind: str = Field(
        "born_machine",
        description="born_machine, mixture, unentangled, shuffled, bernoulli, product_bernoulli, rbm, gaussian "
        "or uniform",
    )
    n_qubits: int = Field(8, ge=1, le=24, description="qubits of the Born machine; bits a basis")
    n_layers: int = Field(7, ge=1, description="alternating sublayers: rotations, XX, rotations, ...")
    topology: Topology = Field("all", description="which pairs an XX sublayer entangles")
    bases: tuple[str | tuple[float, ...], ...] = Field(
        ("Z",), min_length=1, description="measured bases: Z, X, Y, trained, or one angle a qubit, in radians"
    )
    gradient: Literal["exact", "parameter_shift", "spsa"] = Field(
        "exact", description="exact: computed on the backend, no shots are taken; the others need shots alone"
    )
    optimizer: Literal["adam", "cma_es", "cobyla"] = Field(
        "adam", description="adam follows the gradient; cma_es and cobyla read losses, sampled unless gradient is exact"
    )
    loss: Literal["nll", "mmd"] = Field("nll", description="clipped likelihood, or maximum mean discrepancy")
    shots: int = Field(10_000, ge=1, description="shots of one circuit, in training and in sampling")
    update_shots: int | None = Field(
        None, ge=1, description="budget of one update, shared by its circuits; by default each of them takes `shots`"
    )
    refresh_every: int = Field(400, ge=1, description="GAN steps between refits")
    updates: int = Field(
        30, ge=0, description="in one refit: gradient steps, generations, or evaluations of cobyla; an rbm has its own"
    )
    learning_rate: float | None = Field(
        None, gt=0, description="of adam; the first spread of the others, in radians; by default what suits"
    )
    noise_aware: bool = Field(False, description="adam's steps shrink as shot noise hides the gradient")
    warm_start: bool = Field(True, description="a refit starts from the last theta, not from a new one")
    target_images: int = Field(8192, ge=1, description="images whose latent bits make the target of a refit")
    activations: Literal["real", "both"] = Field(
        "real", description="which images those are: real ones, or from the second refit on half of them generated"
    )

    @field_validator("bases")
    @classmethod
    def _known_bases(cls, bases: tuple[str | tuple[float, ...], ...]) -> tuple[str | tuple[float, ...], ...]:
        for basis in bases:
            if isinstance(basis, str) and basis not in NAMED_BASES:
                raise ValueError(f"basis '{basis}' is unknown; use {', '.join(NAMED_BASES)}, or one angle a qubit")
        return bases

    @property
    def n_bits(self) -> int:
        """Bits of the prior: n_qubits a basis, for every kind."""
        return self.n_qubits * len(self.bases)


class GanConfig(Section):
    """The two networks and their game. The latent head's switches are told in `qcaan.learn.gan`."""

    channels: int = Field(32, ge=1, description="width of the narrowest layer")
    learning_rate: float = Field(2e-3, gt=0, description="constant for half of the run, then falling linearly to zero")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.0, 0.99), description="of Adam, for both networks"
    )
    r1_gamma: float = Field(0.01, ge=0, description="weight of the gradient penalty on real images; 0: off")
    r1_every: int = Field(8, ge=1, description="steps between gradient penalties")
    ema: float = Field(0.999, ge=0, lt=1, description="decay a step of the averaged generator")
    precision: Literal["auto", "bf16", "float32"] = Field("auto", description="auto: bf16 where the processor has it")
    n_noise: int = Field(0, ge=0, description="Gaussian inputs of the generator beside the prior's bits")
    feeds_logit: bool = Field(False, description="the latent units are inputs of the logit")
    batchnorm: bool = Field(True, description="the latent units are normalised over the batch")
    decorrelation: float = Field(0.05, ge=0, description="weight of the latent units' squared correlations; 0: off")
    association: float = Field(0.2, ge=0, description="weight of 'the bits read from G(z) are z'; 0: off")
    reconstruction: float = Field(
        0.0, ge=0, description="weight of 'G draws an image again from its bits', falling to zero over the run; 0: off"
    )
    binarise: Binarise = Field("threshold", description="how latent units become bits")
    classification: float = Field(
        0.0, ge=0, description="weight of 'the discriminator names the class of real images', which uses labels; 0: off"
    )
    certainty: float = Field(
        0.0, ge=0, description="weight of 'every generated image is of one class, and all classes occur'; 0: off"
    )
    conditional: bool = Field(False, description="both networks are told the class of every image")

    @field_validator("certainty")
    @classmethod
    def _classes_are_learned(cls, certainty: float, info: ValidationInfo) -> float:
        if certainty and not info.data.get("classification"):
            raise ValueError("it reads the classes that the discriminator learns: set gan.classification too")
        return certainty


class TrainConfig(Section):
    """The loop."""

    epochs: int = Field(4, ge=1, description="passes over the training images")
    max_steps: int | None = Field(None, ge=1, description="stop after so many steps, whatever `epochs` says")
    batch_size: int = Field(64, ge=2, description="real images of a step, and as many generated ones")
    log_every: int = Field(50, ge=1, description="steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints")
    evaluate_every: int = Field(0, ge=0, description="steps between evaluations; 0: only at the end")
    scores: bool = Field(True, description="score at an evaluation; false: pictures only")
    enumerated_bits: int = Field(
        16,
        ge=0,
        le=16,
        description="a run of at most 2 to so many images (ten a bitstring if conditional) is scored exactly",
    )
    evaluation_images: int = Field(10_000, ge=100, description="images drawn where the prior is not enumerated")
    mlflow: str | None = Field(
        None, description="URI of an MLflow server that is told of the run, or env:NAME where it holds a password"
    )
    accelerator: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where the networks are; auto: on a GPU if there is one"
    )
    devices: int = Field(
        1, ge=1, description="processes that share every batch, each with a GPU of its own, or its part of the threads"
    )
    strategy: Literal["auto", "ddp"] = Field(
        "auto", description="how they share it; auto: ddp, which is equal parts and averaged gradients"
    )

    @field_validator("mlflow")
    @classmethod
    def _has_no_password(cls, uri: str | None) -> str | None:
        if "@" in (uri or "").partition("://")[2].partition("/")[0]:
            raise PydanticCustomError("password", "it holds a password: use MLFLOW_TRACKING_PASSWORD, or env:NAME")
        return uri

    @field_validator("devices")
    @classmethod
    def _splits_evenly(cls, devices: int, info: ValidationInfo) -> int:
        size = info.data.get("batch_size", 2 * devices)
        if devices > 1 and size % (2 * devices):
            needed = f"{devices} processes need a multiple of {2 * devices} images"
            raise ValueError(f"train.batch_size is {size}, {needed}")
        return devices


class BackendConfig(BaseModel):
    """The device: its name, and the options of its driver (`qcaan backends show NAME` lists them)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field("local", description="which driver; its options stand beside it")

    @property
    def options(self) -> dict[str, Any]:
        """The driver's options."""
        return dict(self.model_extra or {})


class StoreConfig(Section):
    """Where shots are kept."""

    url: str | None = Field(None, description="SQLAlchemy URL; by default store.sqlite in the run directory")
    policy: Literal["fresh", "replay", "reuse"] = Field(
        "fresh",
        description="fresh: every run measures its own; reuse: also what others measured; replay: recorded shots of "
        "this run only, no device is asked, and only exact gradients, which record nothing, still need their simulator",
    )
    run: str | None = Field(None, description="the run's name in the store; by default made from the configuration")


class BudgetConfig(Section):
    """What may be spent."""

    cap_usd: float = Field(gt=0, description="hard limit of the run, in US dollars")


class Config(Section):
    """A whole run."""

    seed: int = Field(1, ge=0, lt=2**63, description="of all that is random: same seed, same run")
    data: DataConfig = DataConfig()
    prior: PriorConfig = PriorConfig()
    gan: GanConfig = GanConfig()
    train: TrainConfig = TrainConfig()
    backend: BackendConfig = BackendConfig()
    store: StoreConfig = StoreConfig()
    budget: BudgetConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the YAML file holds
        """A section that is written without content (`gan:`) means its defaults."""
        if isinstance(value, dict):
            return {
                key: {} if entry is None and key not in {"seed", "budget"} else entry for key, entry in value.items()
            }
        return value

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Self:
        """Read a YAML file (or a mapping), apply `KEY=VALUE` overrides, validate.

        Raises:
            ConfigError: the file cannot be read, or keys or values are wrong; lists all of them.
        """
        where = "the configuration" if isinstance(source, Mapping) else str(source)
        tree = read_yaml(source)
        for item in overrides:
            _apply(tree, item)
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(f"{where}:\n{explain(error, cls)}") from error

    def to_yaml(self) -> str:
        """The resolved configuration, every key with its value."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def flat(self) -> dict[str, Any]:
        """Dotted key -> value, for every leaf."""
        return dict(_leaves(self.model_dump(mode="json")))


def diff(a: Config, b: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (value in a, value in b) for every key that differs; None where a key is absent."""
    left, right = a.flat(), b.flat()
    keys = [*left, *(key for key in right if key not in left)]
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets the last of two equal keys win in silence; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise ConfigError(f"line {key.start_mark.line + 1}: the key '{key.value}' stands twice; keep one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a YAML file, or of a mapping.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or names a key twice.
    """
    if isinstance(source, Mapping):
        return {key: dict(value) if isinstance(value, Mapping) else value for key, value in source.items()}
    path = Path(source)
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader) or {}  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}, {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected sections such as 'prior:' and 'train:', found {type(tree).__name__}")
    return tree


def parse_setting(item: str, example: str) -> tuple[str, Any]:
    """Key and value of KEY=VALUE, the value in YAML.

    Raises:
        ConfigError: it is not of that form.
    """
    key, equals, text = item.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {item}: write KEY=VALUE, for example {example}")
    try:
        return key.strip(), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {item}: the value is not YAML: {error}") from error


def _apply(tree: dict[str, Any], item: str) -> None:
    key, value = parse_setting(item, "prior.shots=1000")
    *sections, leaf = key.split(".")
    for section in sections:
        if tree.get(section) is None:
            tree[section] = {}
        tree = tree[section]
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {item}: '{section}' is a value, not a section")
    if key == "backend.name" and value != tree.get(leaf, BackendConfig().name):
        tree.clear()  # another driver has other options
    tree[leaf] = value


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """One line an error: the key, the value, the remedy."""
    return "\n".join(f"  {prefix}{_explain(entry, model)}" for entry in error.errors())


def _explain(entry: Mapping[str, Any], model: type[BaseModel]) -> str:
    path = [str(part) for part in entry["loc"]]
    key = ".".join(path)
    if entry["type"] == "extra_forbidden":
        known = _known_keys(path[:-1], model)
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if entry["type"] == "missing":
        return f"{key}: missing; add it"
    message = str(entry["msg"])
    value = "" if entry["type"] == "password" else f"{entry['input']!r} - "
    return f"{key}: {value}{message[0].lower()}{message[1:]}"


def _known_keys(path: Sequence[str], model: type[BaseModel]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation
        options = getattr(annotation, "__args__", (annotation,))
        model = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return list(model.model_fields)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
