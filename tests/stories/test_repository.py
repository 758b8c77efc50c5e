"""What stands around the code: workflows, hooks, the page for contributors and the changelog do what they say."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.cli.main import cli
from exporter.planning.tracers import find_shortfalls

REPOSITORY = Path(__file__).parent.parent.parent
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
RELEASE = REPOSITORY / ".ci" / "release.py"
# The pages for people who work on the code.
PAGES = [REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "docs" / "architecture.md"]


def read_yaml(path: str) -> Any:
    return yaml.safe_load((REPOSITORY / path).read_text("utf-8"))


def read_workflow(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what starts a workflow, and its jobs. YAML reads the key ``on`` as a truth value."""
    workflow = read_yaml(f".github/workflows/{name}.yml")
    assert workflow["permissions"] == {"contents": "read"}
    return workflow[True], workflow["jobs"]


def steps_of(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in jobs.values() for step in job.get("steps", ())]


def supported_pythons() -> list[str]:
    prefix = "Programming Language :: Python :: "
    return [each.removeprefix(prefix) for each in PROJECT["project"]["classifiers"] if each.startswith(prefix)]


def test_ci_runs_everything_on_every_python_that_records_as_the_tests_expect():
    """The matrix of versions has all; where no default tracer of a spec is taken, graphs are others."""
    starts, jobs = read_workflow("ci")
    assert "pull_request" in starts
    (job,) = jobs.values()
    pythons = job["strategy"]["matrix"]["python"]
    falls_short = [bool(find_shortfalls(tuple(map(int, python.split("."))), None)) for python in supported_pythons()]
    assert pythons == [python for python, short in zip(supported_pythons(), falls_short, strict=True) if not short]
    setup = next(step for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@"))
    assert setup["with"]["python-version"] == "${{ matrix.python }}"
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_the_ends_of_the_ranges_are_built_every_month_on_every_python_the_package_claims():
    starts, jobs = read_workflow("versions")
    (when,) = starts["schedule"]
    assert re.fullmatch(r"\d+ \d+ \d+ \* \*", when["cron"])
    (job,) = jobs.values()
    assert job["strategy"]["matrix"]["python"] == supported_pythons()
    install, matrix = (step["run"] for step in job["steps"] if "run" in step)
    assert "-c constraints.txt" in install
    assert matrix.startswith("pytest -m versions ")


def test_the_oldest_python_is_the_one_that_is_checked_for():
    oldest = supported_pythons()[0]
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


def test_ci_checks_format_lint_types_specs_and_tests():
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = script.read_text("utf-8").splitlines()
    assert {"ruff format --check .", "ruff check .", "mypy", "exporter lint specs"} <= set(lines)
    assert any(line.startswith("pytest ") for line in lines)


def test_a_release_is_started_by_a_tag_only_and_tested_before_it_is_published():
    starts, jobs = read_workflow("release")
    assert starts == {"push": {"tags": ["v*"]}}
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in read_workflow("ci")[0]
    assert [(name, jobs[name]["needs"]) for name in ("build", "publish", "describe")] == [
        ("build", "test"),
        ("publish", "build"),
        ("describe", "publish"),
    ]
    commands = [step["run"] for step in steps_of(jobs) if "run" in step]
    assert any(RELEASE.relative_to(REPOSITORY).as_posix() in command for command in commands)


def test_only_the_jobs_that_need_it_may_write():
    _, jobs = read_workflow("release")
    granted = {name: job["permissions"] for name, job in jobs.items() if "permissions" in job}
    assert granted == {"publish": {"id-token": "write"}, "describe": {"contents": "write"}}
    assert "secrets." not in (REPOSITORY / ".github" / "workflows" / "release.yml").read_text("utf-8")


@pytest.mark.parametrize("name", ["ci", "release"])
def test_actions_have_a_version(name: str):
    _, jobs = read_workflow(name)
    actions = [step["uses"] for step in steps_of(jobs) if "uses" in step]
    assert actions
    for action in actions:
        exact = r"v\d+\.\d+\.\d+" if action.startswith("pypa/") else r"v\d+"
        assert re.fullmatch(rf"[\w-]+/[\w-]+@{exact}", action), action


@pytest.fixture
def release(tmp_path: Path):
    """Ask for the notes of a tag in a repository with one version and one changelog."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "release.py").write_bytes(RELEASE.read_bytes())
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n', "utf-8")

    def release(tag: str, changelog: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "CHANGELOG.md").write_text(changelog, "utf-8")
        command = [sys.executable, tmp_path / ".ci" / "release.py", tag]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return release


def test_the_notes_of_a_release_are_its_section_of_the_changelog(release):
    done = release(
        "v1.2.0",
        "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [1.2.0] - 2027-01-31\n\n- Now.\n\n## [1.1.0]\n- Old.\n",
    )
    assert (done.returncode, done.stdout) == (0, "- Now.\n"), done.stderr


@pytest.mark.parametrize(
    ("tag", "changelog", "reason"),
    [
        ("v1.3.0", "## [1.2.0]\n- Now.\n", "tag 'v1.2.0'"),
        ("1.2.0", "## [1.2.0]\n- Now.\n", "tag 'v1.2.0'"),
        ("v1.2.0", "## [Unreleased]\n- Now.\n", "nothing under '## [1.2.0]'"),
        ("v1.2.0", "## [1.2.0]\n\n## [1.1.0]\n- Old.\n", "nothing under '## [1.2.0]'"),
        ("v1.2.0", "## [1.2.01]\n- Another version.\n", "nothing under '## [1.2.0]'"),
    ],
)
def test_a_tag_that_disagrees_with_the_version_or_the_changelog_is_refused(
    release, tag: str, changelog: str, reason: str
):
    done = release(tag, changelog)
    assert done.returncode == 1
    assert reason in done.stderr
    assert not done.stdout


def test_the_changelog_has_a_place_for_the_next_change():
    headings = re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert len(headings) == len(set(headings))
    notes = runpy.run_path(str(RELEASE))["release_notes"](CHANGELOG, "Unreleased")
    assert notes.startswith("### ")


def test_the_hook_for_other_repositories_is_one_pre_commit_takes():
    hooks = read_yaml(".pre-commit-hooks.yaml")
    for hook in hooks:
        assert {"id", "name", "entry", "language"} <= set(hook)
        program, command, *_ = shlex.split(hook["entry"])
        assert program in PROJECT["project"]["scripts"]
        assert command in cli.commands
        assert re.search(hook["files"], "specs/bert.yaml")
        assert not re.search(hook["files"], "docs/schema.yaml")
    assert f"id: {hooks[0]['id']}" in (REPOSITORY / "README.md").read_text("utf-8")


def test_the_hooks_of_this_repository_are_what_ci_runs():
    (local,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    for hook in local["hooks"]:
        assert hook["language"] == "system", hook["id"]
        words = [word for word in shlex.split(hook["entry"]) if not word.startswith("-")]
        assert f"\n{' '.join(words)}" in script, hook["id"]
    assert [hook["entry"].split()[0] for hook in local["hooks"]] == ["ruff", "ruff", "mypy", "exporter"]


def commands_of(page: str) -> list[list[str]]:
    """Return the commands in the shell blocks of a page, as words."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]


def options_of_pytest() -> set[str]:
    marks = {marker.partition(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    return {f"-m {mark}" for mark in marks} | {"-k bert/"}


def check_pytest(words: list[str]) -> None:
    if words[:1] and words[0].startswith("-"):
        assert " ".join(words) in options_of_pytest()
    else:
        assert all((REPOSITORY / word).exists() for word in words)


@pytest.mark.parametrize("words", commands_of(CONTRIBUTING), ids=" ".join)
def test_commands_for_contributors_exist(words: list[str]):
    program, *rest = words
    if program == "exporter":
        cli.commands[rest[0]].make_context(rest[0], rest[1:])
    elif program == "pytest":
        check_pytest(rest)
    elif program == "pip":
        extras = re.findall(r"\[(\w+)\]", " ".join(rest))
        assert extras
        assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])
    elif "/" in program:
        assert (REPOSITORY / program).is_file()
    else:
        assert program in {"python3", "source", "ruff", "mypy"}


def test_the_option_that_writes_what_is_expected_exists(request: pytest.FixtureRequest):
    assert "--update-goldens" in CONTRIBUTING
    assert request.config.getoption("--update-goldens") in (True, False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_for_contributors_lead_somewhere(page: Path):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text("utf-8"))
    assert links
    for link in links:
        assert (page.parent / link).exists(), link


def test_files_that_pages_for_contributors_name_exist():
    for page in PAGES:
        for name in re.findall(r"`((?:exporter|tests|schemas|docs|\.ci|\.github)/[\w/.]+)`", page.read_text("utf-8")):
            # `exporter/planning/sizes.py` and its test are an example, the catalogue is made with a wheel.
            if name not in ("tests/planning/test_sizes.py", "exporter/_catalog"):
                assert (REPOSITORY / name).exists(), f"{page.name}: {name}"


def module_table() -> dict[str, set[str]]:
    """Return what the architecture names in each package."""
    rows = re.findall(r"^\| `(\w+)/` \| (.+) \|$", ARCHITECTURE, re.MULTILINE)
    return {package: set(re.findall(r"`([\w]+)/?`", text)) for package, text in rows}


def test_the_architecture_names_every_module_and_no_other():
    root = REPOSITORY / "exporter"
    packages = {path.parent.name for path in root.glob("*/__init__.py")}
    table = module_table()
    assert set(table) == packages
    for package, named in table.items():
        modules = {path.stem for path in (root / package).glob("*.py") if not path.stem.startswith("__")}
        folders = {path.name for path in (root / package).iterdir() if path.is_dir() and path.name != "__pycache__"}
        assert named == modules | folders, package


def test_the_list_for_contributors_is_in_the_order_of_the_architecture():
    """The two pictures of the layers are one."""
    listed = re.findall(r"^\| `([\w./]+)`(?:, `([\w./]+)`)? \|", CONTRIBUTING, re.MULTILINE)
    pictured = re.search(r"^## Layers\n.*?```text\n(.*?)```", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    assert pictured is not None
    names = [re.sub(r"/$|\.py$", "", name) for row in listed for name in row if name]
    words = [re.split(r"\s{2,}", line.strip())[0] for line in pictured[1].splitlines()]
    assert names == [name for word in words for name in word.split(", ")]


def test_exceptions_from_lint_are_for_files_that_exist():
    for pattern in PROJECT["tool"]["ruff"]["lint"]["per-file-ignores"]:
        assert any(REPOSITORY.glob(pattern)), pattern


def test_the_formatter_is_switched_off_nowhere():
    # In two parts, so that this file passes.
    mark = "fmt: " + "skip"
    sources = [
        path for folder in ("exporter", "tests", "benchmarks", "docs") for path in (REPOSITORY / folder).rglob("*.py")
    ]
    assert [path.name for path in sources if mark in path.read_text("utf-8")] == []


def test_decisions_have_numbers_of_their_own_and_are_all_in_the_index():
    folder = REPOSITORY / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert len({name[:4] for name in names}) == len(names) >= 33
    index = re.findall(r"^- \[(\d+)\]\((\S+)\) (.+)$", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [file for _, file, _ in index] == names
    for number, file, title in index:
        assert (folder / file).read_text("utf-8").partition("\n")[0] == f"# {int(number)}. {title}", file
