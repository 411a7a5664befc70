"""From an experiment to what runs it: dataset, text, devices, model and context; and back from a run folder."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jax

from jaxrec import config as configuration
from jaxrec.config import Experiment
from jaxrec.data.dataset import Dataset
from jaxrec.data.histories import histories
from jaxrec.data.item_features import ItemFeatures, encode_fields, load_item_features
from jaxrec.data.prepared import find_source, load_dataset
from jaxrec.data.profiles.load import UserProfiles, load_profiles
from jaxrec.data.text import TextFeatures, load_text, require_text
from jaxrec.errors import UserError
from jaxrec.eval.pools import pools_sha256
from jaxrec.eval.rankings import Rankings
from jaxrec.models.base import Context, Model
from jaxrec.models.registry import build_model
from jaxrec.nn.graph import build_graph
from jaxrec.nn.singular_vectors import right_singular_vectors
from jaxrec.rankings import load_rankings, with_absolute_paths
from jaxrec.run_folder import read_json
from jaxrec.train.checkpoint import Checkpoints, DamagedCheckpointError
from jaxrec.train.config import DevicesConfig
from jaxrec.train.mesh import describe_devices, device_count, make_mesh, replicate
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.state import abstract_state


@dataclasses.dataclass(frozen=True)
class Assembly:
    """All that training, evaluation and serving share. hash: of configuration and data (jaxrec.config)."""

    experiment: Experiment[Any]
    hash: str
    dataset: Dataset
    text: TextFeatures | None
    mesh: jax.sharding.Mesh | None
    model: Model
    ctx: Context
    features: ItemFeatures | None = None
    profiles: UserProfiles | None = None
    rankings: Rankings | None = None

    def context(self, part: Literal["valid", "test", "serve"]) -> Context:
        """The context with the histories before the targets of a part; `ctx` itself has those of valid."""
        found = _histories(self.experiment.model, self.dataset, part)
        if found is None:
            return self.ctx
        return dataclasses.replace(self.ctx, histories=replicate(found, self.mesh))

    def of_seed(self, seed: int) -> Assembly:
        """The same with this seed alone, its hash that of a run by itself."""
        experiment = dataclasses.replace(self.experiment, seed=seed, seeds=1)
        found = self.dataset, self.text, self.features, self.profiles, self.rankings
        return dataclasses.replace(self, experiment=experiment, hash=_run_hash(experiment, *found))

    @property
    def devices_line(self) -> str:
        """Devices, processes and mesh in a few words."""
        devices = describe_devices(self.mesh)
        processes = f" in {devices['processes']} processes" if devices["processes"] > 1 else ""
        axes = "" if self.mesh is None else f" (mesh {dict(self.mesh.shape)})"
        return f"{devices['count']} x {devices['kind']}{processes}{axes}"


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A finished run, ready to score. ctx: with histories of everything; `assembly.context` gives those of a part."""

    experiment: Experiment[Any]
    dataset: Dataset
    model: Model
    params: Any
    ctx: Context
    result: dict[str, Any]
    assembly: Assembly


def absolute_paths(experiment: Experiment[Any]) -> Experiment[Any]:
    """The experiment with its paths made absolute, so that its run can be rebuilt from any folder."""
    data, text = experiment.data, experiment.text
    source = find_source(data)  # data.path, or what JAXREC_DATA names today
    if source is not None:
        data = dataclasses.replace(data, path=str(source))
    for field in ("path", "encoder"):
        if getattr(text, field) is not None:
            text = dataclasses.replace(text, **{field: str(pathlib.Path(getattr(text, field)).expanduser().absolute())})
    paths = (given.partition("=") for given in experiment.features.paths)
    absolute = tuple(f"{name}={pathlib.Path(path).expanduser().absolute()}" for name, _, path in paths)
    features = dataclasses.replace(experiment.features, paths=absolute)
    profiles = experiment.profiles
    if profiles.path is not None:
        path = str(pathlib.Path(profiles.path).expanduser().absolute())
        profiles = dataclasses.replace(profiles, path=path)
    evaluation = experiment.eval
    if evaluation.pools is not None:
        pools = str(pathlib.Path(evaluation.pools).expanduser().absolute())
        evaluation = dataclasses.replace(evaluation, pools=pools)
    parts = {"data": data, "text": text, "features": features, "profiles": profiles, "eval": evaluation}
    return dataclasses.replace(experiment, model=with_absolute_paths(experiment.model), **parts)


def assemble(experiment: Experiment[Any], notice: Callable[[str], None]) -> Assembly:
    """Load the data, check the experiment against it and the devices, and build the model. Nothing is compiled."""
    dataset = load_dataset(experiment.data, notice)
    text = None
    if experiment.reads_text:
        text = load_text(experiment.text, dataset, experiment.data.cache, notice)
    features, profiles = None, None
    if getattr(experiment.model, "needs_features", False):
        features = load_item_features(experiment.features, dataset, text)
    if getattr(experiment.model, "needs_profiles", False):
        profiles = load_profiles(experiment.profiles, experiment.data, dataset)
    experiment = configuration.resolve(experiment, dataset, text)
    if experiment.model.needs_text:
        text = require_text(text, experiment.model.name)
    configuration.validate_against(experiment, dataset, text, device_count(experiment.devices))
    rankings = load_rankings(experiment.model, dataset)
    run_hash = _run_hash(experiment, dataset, text, features, profiles, rankings)
    mesh = make_mesh(experiment.devices, experiment.model.mesh_axis)
    model = build_model(experiment.model, dataset.num_users, dataset.num_items)
    ctx = make_context(experiment, dataset, text, mesh, features, profiles, rankings)
    return Assembly(experiment, run_hash, dataset, text, mesh, model, ctx, features, profiles, rankings)


def _run_hash(
    experiment: Experiment[Any],
    dataset: Dataset,
    text: TextFeatures | None,
    features: ItemFeatures | None,
    profiles: UserProfiles | None,
    rankings: Rankings | None,
) -> str:
    hashes = (None if found is None else found.sha256 for found in (text, features, profiles))
    made = {"pools_sha256": pools_sha256(experiment.eval.pools, dataset)}
    made["rankings_sha256"] = None if rankings is None else rankings.sha256
    return configuration.config_hash(experiment, dataset.sha256, *hashes, **made)


def make_context(
    experiment: Experiment[Any],
    dataset: Dataset,
    text: TextFeatures | None,
    mesh: jax.sharding.Mesh | None,
    features: ItemFeatures | None = None,
    profiles: UserProfiles | None = None,
    rankings: Rankings | None = None,
) -> Context:
    """The dense state that a model reads: graph of the training part, text, counts, histories before the targets of
    valid, features of items, profiles of users, lists made before; on all devices of the mesh."""
    train = dataset.train
    graph = None
    if experiment.model.needs_graph:
        form = getattr(experiment.model, "graph_options", {})
        graph = build_graph(train.user_ids, train.item_ids, dataset.num_users, dataset.num_items, **form)
    columns: dict[str, Any] = {"item_counts": dataset.item_counts}
    if text is not None and experiment.model.needs_text:
        columns |= {
            "user_text": text.user,
            "item_text": text.item,
            "user_text_mask": text.user_mask,
            "item_text_mask": text.item_mask,
        }
    if getattr(experiment.model, "needs_features", False):
        columns["item_fields"] = encode_fields(dataset)
        columns["item_features"] = {} if features is None else features.vectors
        columns["item_feature_masks"] = {} if features is None else features.masks
    if getattr(experiment.model, "needs_profiles", False):
        columns |= _profile_columns(profiles)
    if rankings is not None:
        columns["ranked_items"] = rankings.table(dataset.num_users)
    count = getattr(experiment.model, "num_singular_vectors", 0)
    if count:
        smaller = min(dataset.num_users, dataset.num_items)
        if count >= smaller:
            raise UserError(f"model.num_singular_vectors: found {count}, allowed: below {smaller} for {dataset.name}")
        assert graph is not None
        columns["item_singular_vectors"] = right_singular_vectors(graph, count)
    return replicate(Context(graph=graph, mesh=mesh, histories=_histories(experiment.model, dataset), **columns), mesh)


def _profile_columns(profiles: UserProfiles | None) -> dict[str, Any]:
    """What the context says of profiles; without any, no fields."""
    if profiles is None:
        return {"user_fields": {}, "user_numbers": {}, "user_number_masks": {}}
    return {
        "user_fields": profiles.codes,
        "user_field_sizes": tuple(size for _, size in sorted(profiles.sizes.items())),
        "user_numbers": profiles.numbers,
        "user_number_masks": profiles.number_masks,
    }


def _histories(model: Any, dataset: Dataset, at: Literal["valid", "test", "serve"] = "valid") -> Any:
    """What a sequence model reads of each user before the targets of a part; None of other models."""
    if not getattr(model, "needs_histories", False):
        return None
    return histories(dataset, at, model.max_length, getattr(model, "merged", False))


def recorded_run(folder: pathlib.Path) -> tuple[Experiment[Any], dict[str, Any]]:
    """The experiment and the result of a finished run. Raises UserError where it is missing or has not finished."""
    result_path = folder / "result.json"
    if not folder.is_dir():
        raise UserError(f"{folder}: no such run folder")
    if not result_path.is_file():
        raise UserError(f"{result_path}: not found, so the run has not finished; start it again to resume it")
    recorded, result = read_json(folder / "config.json"), read_json(result_path)
    if "seeds" in result:
        some, count = folder / result["runs"][0]["folder"], len(result["seeds"])
        raise UserError(f"{folder}: holds the runs of {count} seeds, allowed: one of them, such as {some}")
    return configuration.from_json(recorded.get("experiment", {})), result


def check_data(folder: pathlib.Path, result: dict[str, Any], dataset: Dataset, path: str | None) -> None:
    """Raises UserError where the data are no longer those of a run."""
    if dataset.sha256 != result["dataset"]["sha256"]:
        raise UserError(f"{folder}: the data at {path or 'the sample'} is no longer what the run was trained on")


def load_run(folder: pathlib.Path, notice: Callable[[str], None] = lambda _: None) -> LoadedRun:
    """Rebuild a finished run from its folder: its data as it was, its best parameters."""
    experiment, result = recorded_run(folder)
    # Whatever devices trained it: the scores do not depend on them.
    # The pools that it was ranked in are not read again.
    evaluation = dataclasses.replace(experiment.eval, pools=None)
    assembly = assemble(dataclasses.replace(experiment, devices=DevicesConfig(count=1), eval=evaluation), notice)
    check_data(folder, result, assembly.dataset, experiment.data.path)
    for name, held in (
        ("text", "text features"),
        ("features", "features of items"),
        ("profiles", "profiles of users"),
        ("rankings", "lists in model.rankings"),
    ):
        found = getattr(assembly, name)
        if (None if found is None else found.sha256) != (result.get(name) or {}).get("sha256"):
            raise UserError(f"{folder}: the {held} are no longer those that the run was trained on")
    params = restore_params(assembly, folder, result["best_step"])
    ctx = assembly.context("serve")
    return LoadedRun(assembly.experiment, assembly.dataset, assembly.model, params, ctx, result, assembly)


def restore_params(assembly: Assembly, folder: pathlib.Path, step: int) -> Any:
    """Parameters of one checkpoint of a run folder, on this machine's devices; of a model that does not train, {}."""
    if not assembly.experiment.model.trains:
        return {}
    experiment = assembly.experiment
    abstract = abstract_state(
        assembly.model,
        make_optimizer(experiment.train.optimizer, total_steps=1),  # the state's shapes do not depend on the length
        assembly.ctx,
        experiment.seed,
        experiment.model.partition_rules,
        assembly.mesh,
    )
    try:
        return Checkpoints(folder / "checkpoints").restore(step, abstract).state.params
    except DamagedCheckpointError as error:
        raise UserError(f"{folder}: {error}") from error
