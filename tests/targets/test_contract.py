"""What holds for every target there is: its record, its place in commands and schemas, and a build of it."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import REPOSITORY, offline_environment

import exporter
from exporter.artifacts.golden import read_golden
from exporter.building.pool import Outcome, run_builds
from exporter.building.request import OPTIONS
from exporter.building.requests import Build, plan_builds
from exporter.cli import cli
from exporter.errors import ExportError, UsageError
from exporter.language.document import parse_document
from exporter.language.schema import check_schema, load_schema
from exporter.language.spec import TRACERS
from exporter.language.text import Text
from exporter.planning.plan import Axis, GraphPlan, Plan, TensorPlan
from exporter.planning.target import Flag, Target, check_settings, lasting_settings
from exporter.targets.registry import TARGETS, import_toolchain, refuse_foreign_settings
from exporter.targets.torch_program import session as torch_session
from exporter.verification.comparison import Sample, compare_outputs

PAIR = ("distilbert", "feature-extraction")
# Where a stand-in for a toolchain that is not on the package index lies.
STAND_INS = str(REPOSITORY / "tests" / "fakes" / "neuron")

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
every_flag = pytest.mark.parametrize(
    ("target", "flag"),
    [
        pytest.param(target, flag, id=f"{target.name} {flag.name}")
        for target in TARGETS.values()
        for flag in target.flags
    ],
)


@every_target
def test_a_target_is_a_folder_with_its_record(target: Target):
    folder = importlib.import_module(f"exporter.targets.{target.name.replace('-', '_')}")
    assert folder.TARGET is target
    assert TARGETS[target.name] is target


@every_target
def test_a_record_is_complete(target: Target):
    assert target.suffix.startswith(".")
    assert target.library
    assert target.tracer is None or target.tracer in TRACERS
    assert set(target.opsets) <= set(TRACERS)
    assert target.files(f"model{target.suffix}", {})[0] == f"model{target.suffix}"
    assert set(target.open_by) <= {flag.name for flag in target.flags}
    assert set(target.runtime_modules({})) <= set(target.build_modules({}))
    assert not target.build_modules({}) or target.help


def test_the_files_of_a_build_tell_its_target():
    suffixes = [target.suffix for target in TARGETS.values()]
    assert len(set(suffixes)) == len(suffixes)


@every_target
def test_its_exporter_says_how_to_record_and_writes(target: Target):
    try:
        import_toolchain(target, {})
    except ExportError:
        # The module that writes a file may import what the file is written with.
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(STAND_INS)
            skip_without_toolchain(target)
    module = target.load_exporter()
    assert callable(module.attention_of)
    assert callable(module.export_graph)


@every_target
def test_a_missing_toolchain_is_one_clear_error(target: Target):
    lacking = dataclasses.replace(target, build_modules=lambda _: ("no_such_toolchain",))
    with pytest.raises(ExportError) as caught:
        import_toolchain(lacking, {})
    assert f"the target {target.name} needs the package 'no_such_toolchain'" in caught.value.message
    assert "No module named" in caught.value.message
    assert caught.value.help == target.help


@every_target
def test_a_card_has_a_program(target: Target):
    assert target.card_template.is_file()
    assert target.card_template.is_relative_to(REPOSITORY / "exporter" / "targets")


@every_flag
def test_a_flag_says_what_it_is(target: Target, flag: Flag):
    assert flag.name.isidentifier()
    assert flag.help.endswith(".")
    assert flag.kind in (bool, str) or (isinstance(flag.kind, tuple) and len(set(flag.kind)) == len(flag.kind) > 1)
    assert flag.opposite is None or flag.kind is bool
    assert (flag.metavar is not None) is (flag.kind is str)
    assert flag.name not in OPTIONS


def test_a_flag_belongs_to_one_target():
    names = [flag.name for target in TARGETS.values() for flag in target.flags]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def help_text() -> str:
    return " ".join(CliRunner().invoke(cli, ["build", "--help"], terminal_width=400).output.split())


@every_flag
def test_the_help_of_a_build_has_its_flags(target: Target, flag: Flag, help_text: str):
    assert flag.option in help_text
    assert f"{target.name}: {flag.help}" in help_text
    assert flag.opposite is None or f"--{flag.opposite}" in help_text


@every_target
def test_the_help_of_a_build_has_its_name(target: Target, help_text: str):
    (names,) = [part.partition("]")[0] for part in help_text.split("--target [")[1:]]
    assert target.name in names.split("|")


def example(flag: Flag) -> bool | str:
    """Return a value that a flag may have."""
    return flag.kind[0] if isinstance(flag.kind, tuple) else {bool: True, str: "somewhere"}[flag.kind]


@every_target
def test_a_build_file_may_name_it_with_its_settings(target: Target):
    settings = "".join(f"\n      {flag.name}: {str(example(flag)).lower()}" for flag in target.flags)
    text = f"spec_version: 1\nkind: build\nbuilds:\n  - spec: bert\n    targets: [{target.name}]\n"
    document = parse_document(Text("build.yaml", text + (f"    settings:{settings}\n" if settings else "")))
    assert document.kind() == "build"
    assert not [*document.diagnostics, *check_schema(document)]


def test_the_schemas_name_the_targets_there_are():
    builds = load_schema("build")["properties"]["builds"]["items"]["properties"]["targets"]["items"]["enum"]
    assert builds == list(TARGETS)
    # What a spec says a target cannot do: ONNX is what a spec describes.
    limited = set(load_schema("defs")["$defs"]["targets"]["properties"])
    assert limited == set(TARGETS) - {"onnx"}


@every_flag
def test_a_setting_is_held_to_its_kind(target: Target, flag: Flag):
    wrong: bool | str = "no such word" if flag.kind is not str else True
    with pytest.raises(UsageError, match=f"is no value of the setting '{flag.name}'"):
        check_settings(dataclasses.replace(target, refuse_combinations=lambda _: None), {flag.name: wrong})


@every_flag
def test_only_its_own_target_takes_a_setting(target: Target, flag: Flag):
    refuse_foreign_settings(target, {flag.name: example(flag)})
    for other in TARGETS.values():
        if other is not target:
            with pytest.raises(UsageError, match=f"{flag.option} does not go with the target {other.name}") as caught:
                refuse_foreign_settings(other, {flag.name: example(flag)})
            assert caught.value.help == f"it belongs to --target {target.name}"


@every_flag
def test_a_manifest_keeps_what_is_made_and_not_where(target: Target, flag: Flag):
    kept = lasting_settings(target, {flag.name: example(flag)})
    assert (flag.name in kept) is not flag.local


REFUSABLE = {"opset": 18, "merged": True, "weights": "external"}


@pytest.mark.parametrize(
    ("target", "option"),
    [
        pytest.param(target, option, id=f"{target.name} {option}")
        for target in TARGETS.values()
        for option in target.refused_options
    ],
)
def test_an_option_that_means_nothing_is_refused_with_the_reason(target: Target, option: str):
    with pytest.raises(UsageError) as caught:
        exporter.plan(*PAIR, target=target.name, **{option: REFUSABLE[option]})
    reason = target.refused_options[option]
    assert caught.value.message == f"--{option} does not go with the target {target.name}: {reason}"
    assert caught.value.help == "leave it out"


@every_target
def test_a_file_without_opsets_refuses_one(target: Target):
    assert ("opset" in target.refused_options) is not bool(target.opsets)


def skip_without_toolchain(target: Target) -> None:
    """Skip where what a target is built with cannot be imported, with the reason."""
    try:
        import_toolchain(target, {})
    except ExportError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def with_stand_ins() -> Iterator[None]:
    """Stand-ins for toolchains in this process, in the workers of builds, and in the process of torch programs."""
    with pytest.MonkeyPatch.context() as patch:
        path = os.pathsep.join([offline_environment()["PYTHONPATH"], STAND_INS])
        patch.setenv("PYTHONPATH", path)
        patch.setattr(sys, "path", [*sys.path, STAND_INS])
        patch.setattr(torch_session, "_running", [])
        yield
        torch_session._stop(os.getpid())


@pytest.fixture(scope="module")
def build_here(with_stand_ins: None) -> Iterator[Callable[[Build], Outcome]]:
    """Build in one worker for all targets."""
    queue: deque[Build] = deque()

    def asked() -> Iterator[Build]:
        while True:
            yield queue.popleft()

    outcomes = run_builds(asked())

    def build(request: Build) -> Outcome:
        queue.append(request)
        return next(outcomes)

    yield build
    outcomes.close()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A small artifact of a target."""

    target: Target
    directory: Path
    outcome: Outcome

    @property
    def plan(self) -> Plan:
        assert self.outcome.error is None, self.outcome.error.message
        assert self.outcome.plan is not None
        return self.outcome.plan

    @property
    def graph(self) -> GraphPlan:
        (graph,) = self.plan.graphs
        return graph

    def copy(self, place: Path) -> Artifact:
        return dataclasses.replace(self, directory=Path(shutil.copytree(self.directory, place / "copy")))

    def problems(self, plan: Plan | None = None) -> list[str]:
        plan = plan or self.plan
        return self.target.check_structure(self.directory, plan.graphs[0], plan)

    def agrees(self, plan: Plan) -> bool:
        """Tell whether a run gives what a plan of the artifact says, at the sizes it was traced at."""
        graph = plan.graphs[0]
        session = self.target.open_session(self.directory / graph.file, plan)
        sample = Sample(plan.sizes.trace, plan.sizes.seed, *read_golden(self.directory, 0, self.graph))
        return all(comparison.passed for comparison in compare_outputs(session, graph, sample, plan.bound))

    def is_refused(self) -> bool:
        """Tell whether the structure check or the runtime notices that a file is no longer what was written."""
        if self.problems():
            return True
        try:
            self.target.open_session(self.directory / self.graph.file, self.plan)
        except ExportError:
            return True
        return False


# The ids send all tests of one target to one process, which builds it once.
@pytest.fixture(scope="module", params=TARGETS.values(), ids=[f"{name}/{PAIR[0]}" for name in TARGETS])
def artifact(
    request: pytest.FixtureRequest,
    with_stand_ins: None,
    build_here: Callable[[Build], Outcome],
    tmp_path_factory: pytest.TempPathFactory,
) -> Artifact:
    target: Target = request.param
    skip_without_toolchain(target)
    architecture, task = PAIR
    output = tmp_path_factory.mktemp(target.name) / "out"
    dims = dict(exporter.plan(*PAIR).sizes.trace.sizes) if target.all_static else {}
    given = {"tasks": (task,), "targets": (target.name,), "output": output, "dims": dims}
    (build,) = plan_builds([architecture], given)
    return Artifact(target, output, build_here(build))


def test_a_build_is_verified(artifact: Artifact):
    plan = artifact.plan
    report = artifact.outcome.report
    assert report is not None
    assert report.passed
    assert {comparison.point for comparison in report.comparisons} == {point.name for point in plan.sizes.points}
    assert all((artifact.directory / file).is_file() for file in artifact.graph.files)
    assert artifact.graph.file == f"model{artifact.target.suffix}"


def test_the_dims_that_it_probes_are_told(artifact: Artifact):
    report = artifact.outcome.report
    assert report is not None
    verdicts = dict.fromkeys(artifact.plan.sizes.probes, "dynamic") if artifact.target.probed else None
    assert report.open_dims.get("model") == verdicts


def test_its_structure_is_as_planned(artifact: Artifact):
    assert artifact.problems() == []


def replan(plan: Plan, role: str, tensors: tuple[TensorPlan, ...]) -> Plan:
    """Return a plan that has other inputs or outputs."""
    return dataclasses.replace(plan, graphs=(dataclasses.replace(plan.graphs[0], **{role: tensors}),))


@pytest.mark.parametrize("role", ["inputs", "outputs"])
def test_another_structure_than_planned_is_noticed(artifact: Artifact, role: str):
    plan = artifact.plan
    first, *others = getattr(plan.graphs[0], role)
    for changed in (
        dataclasses.replace(first, name="another"),
        dataclasses.replace(first, dtype="bool"),
        dataclasses.replace(first, shape=(*first.shape, 1)),
    ):
        assert artifact.problems(replan(plan, role, (changed, *others))), changed
    for index, axis in enumerate(first.shape):
        other = 4711 if isinstance(axis, Axis) else Axis("batch")
        shape = (*first.shape[:index], other, *first.shape[index + 1 :])
        changed = replan(plan, role, (dataclasses.replace(first, shape=shape), *others))
        # A runtime may not see that an axis of an output has one length. What comes out is held to it all the same.
        assert artifact.problems(changed) or (role == "outputs" and not artifact.agrees(changed)), (axis, other)
    if others:
        assert artifact.problems(replan(plan, role, (*others, first)))
    assert artifact.problems(replan(plan, role, (first, *others, dataclasses.replace(first, name="one more"))))


def test_a_damaged_file_is_noticed(artifact: Artifact, tmp_path: Path):
    for index, file in enumerate(artifact.graph.files):
        copy = artifact.copy(tmp_path / str(index))
        (copy.directory / file).write_bytes(b"PK not a graph")
        assert copy.is_refused()


def test_a_sidecar_is_part_of_the_structure(artifact: Artifact, tmp_path: Path):
    plan, empty = artifact.plan, tmp_path / "empty"
    empty.mkdir()
    artifact.target.describe_open_dims(empty, artifact.graph, plan, {})
    for sidecar in [path.name for path in empty.iterdir()]:
        copy = artifact.copy(tmp_path)
        text = (copy.directory / sidecar).read_text("utf-8")
        (copy.directory / sidecar).write_text(text.replace(artifact.graph.inputs[0].name, "another"), "utf-8")
        assert copy.problems()
        (copy.directory / sidecar).write_text("{", "utf-8")
        assert copy.problems()
        (copy.directory / sidecar).unlink()
        assert copy.problems()


@pytest.mark.parametrize("shipped", [False, True], ids=["mapped", "shipped"])
def test_a_session_runs_and_names_its_runtime(artifact: Artifact, shipped: bool):
    plan, graph = artifact.plan, artifact.graph
    session = artifact.target.open_session(artifact.directory / graph.file, plan, shipped=shipped)
    assert any(character.isdigit() for character in session.name), "a runtime has a version"
    assert artifact.outcome.report is not None
    assert session.name in artifact.outcome.report.runtime
    for index, point in enumerate(plan.sizes.points):
        inputs, outputs = read_golden(artifact.directory, index, graph)
        sample = Sample(point, plan.sizes.seed, inputs, outputs)
        comparisons = list(compare_outputs(session, graph, sample, plan.bound))
        assert [comparison.output for comparison in comparisons] == [tensor.name for tensor in graph.outputs]
        assert all(comparison.passed for comparison in comparisons), comparisons


def test_a_session_that_is_given_nonsense_fails_the_comparison(artifact: Artifact):
    plan, graph = artifact.plan, artifact.graph
    session = artifact.target.open_session(artifact.directory / graph.file, plan)
    inputs, outputs = read_golden(artifact.directory, 0, graph)
    flattened = {name: array.reshape(-1) for name, array in inputs.items()}
    sample = Sample(plan.sizes.trace, plan.sizes.seed, flattened, outputs)
    (comparison,) = compare_outputs(session, graph, sample, plan.bound)
    assert comparison.problem is not None
    assert not comparison.passed


def test_it_verifies_again(artifact: Artifact, tmp_path: Path):
    # Native code runs where it is asked to.
    report = exporter.verify(artifact.directory, trust_artifact=artifact.target.name == "neuron")
    assert report.passed
    assert len(report.comparisons) >= len(artifact.plan.sizes.points)
    copy = artifact.copy(tmp_path)
    path = copy.directory / artifact.graph.file
    path.write_bytes(path.read_bytes() + b"\0")
    assert exporter.verify(copy.directory).problems == (f"{path.name} has changed since it was built",)


def test_its_card_says_how_to_run_it(artifact: Artifact):
    card = (artifact.directory / "README.md").read_text("utf-8")
    assert f'library_name: "{artifact.target.library}"\n' in card
    section = card.partition("## How to run it")[2].partition("\n## ")[0]
    assert artifact.graph.file in section
    assert "```python" in section


# A place does not name the default target: artifacts/bert/fill-mask, but artifacts/bert/fill-mask-torchscript.
ALLOWED = {("building/requests.py", "DEFAULT_TARGET")}


def compared_targets(path: Path) -> Iterator[str]:
    """Yield the names of targets that a module compares something with."""
    # A tracer has the name of a target.
    names = set(TARGETS) - set(TRACERS)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Compare | ast.MatchValue):
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and part.value in names:
                yield str(part.value)
            elif getattr(part, "id", getattr(part, "attr", None)) == "DEFAULT_TARGET":
                yield "DEFAULT_TARGET"


def test_nothing_asks_whether_it_is_onnx():
    package = Path(exporter.__file__).parent
    asked = {
        (path.relative_to(package).as_posix(), name)
        for folder in ("planning", "models", "artifacts", "verification", "building", "cli")
        for path in sorted((package / folder).rglob("*.py"))
        for name in compared_targets(path)
    }
    assert asked == ALLOWED


def test_a_question_for_onnx_is_found(tmp_path: Path):
    for text, name in (
        ("x = target == 'onnx'", "onnx"),
        ("x = target in ('neuron', 'y')", "neuron"),
        ("x = options.DEFAULT_TARGET != target", "DEFAULT_TARGET"),
        ("match x:\n    case 'onnx':\n        pass", "onnx"),
    ):
        path = tmp_path / "module.py"
        path.write_text(text, "utf-8")
        assert list(compared_targets(path)) == [name]
