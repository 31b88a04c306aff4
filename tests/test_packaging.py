"""What is installed, and that ranges, pins and the Makefile agree."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(pin.name): next(iter(pin.specifier))
    for pin in map(Requirement, (ROOT / "constraints.txt").read_text().split("\n")[:-1])
}
REQUIREMENTS = [
    Requirement(line)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in group
]


def test_the_wheel_holds_the_core_alone(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"dconrec_core", "dconrec"}
    assert "dconrec_core/py.typed" in names
    assert not [name for name in names if name.endswith((".nbc", ".nbi", ".pyc"))]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_requirement_is_pinned_within_its_range_and_installed(requirement):
    pin = PINS[canonicalize_name(requirement.name)]
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)
    assert version(requirement.name).split("+")[0] == pin.version, "the environment is older than the pins: make env"


def test_pins_name_no_build_and_no_place():
    text = (ROOT / "constraints.txt").read_text()
    assert not re.findall(r"[+@/]", text)


def test_the_core_needs_no_orchestrator_tracker_or_validator():
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert core == {"filelock", "numba", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "scipy", "torch"}


def test_every_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    asked = {name for page in pages for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    assert {"demo", "test"} <= asked <= targets
