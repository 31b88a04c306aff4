"""The registered condensed sets: who is champion, why, who was before, and the bytes, checked."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from mlflow import MlflowException
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion

from dconrec_core.atomic import atomic_folder
from dconrec_core.condensation.dataset import CARD, dataset_sha256, read_card
from dconrec_core.errors import DataError
from tasks.naming import model_name
from tasks.params import PipelineParams
from tasks.tracking import Tracker, of_name, told

CHAMPION, CHALLENGER = "champion", "challenger"
BEFORE = "champion.before"
"""Tag: the version that a rollback from this one goes to."""
DECISION = "decision"
"""Tag: the last decision on a version; its reason, author and time are in tags below it."""
CONDENSED = "condensed"
"""The artifact of a registered version that is the set."""
SHA256 = "condensed.sha256"
LONGEST = 5000
"""Of a tag or a description, in characters; databases other than SQLite hold MLflow to it."""
Decided = Literal["promoted", "rejected", "waiting", "declined", "rolled back", "restored"]


@dataclass(frozen=True)
class Registry:
    """The versions of one registered condensed dataset."""

    tracker: Tracker
    name: str

    def champion(self) -> ModelVersion | None:
        """The version in use; None before the first."""
        return self.by_alias(CHAMPION)

    def verdict(self, version: str) -> str:
        """What has become of a version by now, in words."""
        found = self._found(lambda: self.tracker.client.get_model_version(self.name, version))
        if found is None:
            return "gone from MLflow"
        if CHAMPION in found.aliases:
            return CHAMPION
        decision, reason = found.tags.get(DECISION, "undecided"), found.tags.get(f"{DECISION}.reason", "")
        if decision == "waiting":
            if self.is_waiting(version):
                return "waits for a person: python -m flows.nightly --approve asks"
            return "not champion (a later version was registered before anybody answered)"
        if decision in ("promoted", "restored"):
            return "no longer champion"
        return f"not champion ({decision}: {reason})"

    def decide(self, version: str, decided: Decided, reason: str, by: str, alias: str | None = None) -> None:
        """Write a decision to the version: as tags, and as a further line of its description.

        The alias moves after the reasons, so that whoever sees it sees them too, and the tag ``decision`` comes last:
        where it is, nothing else is missing. Another try of a decision that was cut off writes no second line.

        Args:
            version: Its number.
            decided: What.
            reason: Why.
            by: Who.
            alias: What the version is called from now on.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        client = self.tracker.client
        with told(self.tracker.uri):
            for key, value in {"reason": reason, "by": by, "at": now}.items():
                client.set_model_version_tag(self.name, version, f"{DECISION}.{key}", value[:LONGEST])
            text = client.get_model_version(self.name, version).description or ""
            heading = "" if "\n## Decisions\n" in text else "\n## Decisions\n\n"
            words = f", {by}: **{decided}**. {reason}\n"
            room = LONGEST - len(f"{text}{heading}- {now}, {by}: **{decided}**. \n")
            if room > 0 and not text.endswith(words):
                line = f"- {now}, {by}: **{decided}**. {reason[:room]}\n"
                client.update_model_version(self.name, version, description=f"{text}{heading}{line}")
            if alias:
                client.set_registered_model_alias(self.name, alias, version)
            client.set_model_version_tag(self.name, version, DECISION, decided)

    def wait(self, version: str, reason: str) -> None:
        """The version has passed the gate and a person is asked: it is challenger until then."""
        self.decide(version, "waiting", reason, "gate", CHALLENGER)

    def promote(self, version: str, reason: str, by: str) -> None:
        """Make a version champion; where the present one is the same set, a rollback goes to what was before that."""
        present, client = self.champion(), self.tracker.client
        with told(self.tracker.uri):
            if present is not None and str(present.version) != str(version):
                sha256 = client.get_model_version(self.name, version).tags.get(SHA256)
                is_same = sha256 is not None and sha256 == present.tags.get(SHA256)
                if before := present.tags.get(BEFORE) if is_same else str(present.version):
                    client.set_model_version_tag(self.name, version, BEFORE, before)
        self.decide(version, "promoted", reason, by, CHAMPION)
        self._forget_challenger(version)

    def decline(self, version: str, reason: str, by: str) -> None:
        """A person says no, or nobody answers: the champion stays."""
        self.decide(version, "declined", reason, by)
        self._forget_challenger(version)

    def supersede(self, version: str) -> None:
        """Decline an earlier challenger: ``version`` may become champion, and it was never compared with that one."""
        challenger = self.by_alias(CHALLENGER)
        if challenger is not None and int(challenger.version) < int(version):
            self.decline(str(challenger.version), f"superseded by version {version}", "gate")

    def is_waiting(self, version: str) -> bool:
        """Whether nobody has answered for a version yet, and none was registered after it."""
        challenger = self.by_alias(CHALLENGER)
        return challenger is not None and str(challenger.version) == str(version) == self._newest()

    def rollback(self, reason: str, by: str = "rollback") -> tuple[str, str]:
        """Make the champion before the present one champion again.

        Returns:
            The version that was champion, and the one that is.

        Raises:
            DataError: There is none, none was before it, or that one is gone; nothing is written then.
        """
        present = self.champion()
        if present is None:
            raise DataError(f"{self.name} has no champion; run the pipeline first")
        before = present.tags.get(BEFORE)
        if before is None:
            raise DataError(
                f"no other set was champion before version {present.version} of {self.name}; there is nothing to go "
                "back to"
            )
        was = str(present.version)
        if self._found(lambda: self.tracker.client.get_model_version(self.name, before)) is None:
            raise DataError(
                f"version {before} of {self.name}, champion before version {was}, is gone from MLflow at "
                f"{self.tracker.uri}; version {was} stays champion: give another one the alias {CHAMPION} in MLflow's "
                "page, or run the pipeline again"
            )
        self.decide(was, "rolled back", f"{reason} (back to version {before})", by)
        self.decide(before, "restored", f"{reason} (version {was} rolled back)", by, CHAMPION)
        self._forget_challenger(before)
        return was, before

    def fetch(self, out: Path, alias: str = CHAMPION) -> ModelVersion:
        """Download a version's condensed set to ``out`` and check its bytes.

        Args:
            out: Folder; a set that is there is replaced, by one whose bytes are right, and nothing else is.
            alias: Which version.

        Raises:
            DataError: There is none, its bytes are not those that were registered, or ``out`` holds something else.
        """
        version = self.by_alias(alias)
        if version is None:
            raise DataError(f"MLflow at {self.tracker.uri} has no {alias} of {self.name}; run the pipeline first")
        self.fetch_version(out, version)
        return version

    def fetch_version(self, out: Path, version: ModelVersion) -> None:
        """See ``fetch``; of a version, whatever its aliases point to by now."""
        require_replaceable(out)
        uri = f"models:/{self.name}/{version.version}"
        with tempfile.TemporaryDirectory(prefix="dconrec-") as scratch:
            with told(self.tracker.uri):
                whole = download_artifacts(uri, dst_path=scratch, tracking_uri=self.tracker.uri)
            folder = Path(whole) / "artifacts" / CONDENSED
            check_bytes(folder, version.tags.get(SHA256, ""), uri)
            with atomic_folder(out) as temporary:
                shutil.copytree(folder, temporary, dirs_exist_ok=True)

    def made_with(self, version: ModelVersion) -> dict[str, str]:
        """Settings of the run that registered a version, as text by dotted name."""
        with told(self.tracker.uri):
            settings: dict[str, str] = self.tracker.client.get_run(str(version.run_id)).data.params
        return settings

    def _newest(self) -> str:
        with told(self.tracker.uri):
            newest_first = self.tracker.client.search_model_versions(
                of_name(self.name), max_results=1, order_by=["version_number DESC"]
            )
        return str(newest_first[0].version)

    def _forget_challenger(self, version: str) -> None:
        challenger = self.by_alias(CHALLENGER)
        if challenger is not None and str(challenger.version) == str(version):
            with told(self.tracker.uri):
                self.tracker.client.delete_registered_model_alias(self.name, CHALLENGER)

    def by_alias(self, alias: str) -> ModelVersion | None:
        """The version an alias points to; None where there is none."""
        return self._found(lambda: self.tracker.client.get_model_version_by_alias(self.name, alias))

    def _found(self, ask: Callable[[], ModelVersion]) -> ModelVersion | None:
        try:
            return ask()
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            with told(self.tracker.uri):
                raise


def require_replaceable(out: Path) -> None:
    """``out`` is to be new, empty, or a condensed set: whatever else lies there is somebody's.

    Raises:
        DataError: It is not.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        card = json.loads((out / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        card = None
    if not (isinstance(card, dict) and {"schema_version", "sha256"} <= card.keys()):  # of whatever version
        raise DataError(
            f"{out} exists and is no condensed set (it has no {CARD} of one), so it is not replaced; "
            "name a folder that does not exist, or empty this one"
        )


def check_bytes(folder: Path, registered: str, uri: str) -> None:
    """The tables' SHA-256 must be what the version's tag and the set's own card say.

    Args:
        folder: Where the version was downloaded to.
        registered: Its tag.
        uri: What to call it.

    Raises:
        DataError: It is not, or a file is missing or of another schema version.
    """
    way_out = "go back with python -m flows.rollback, or give another version its alias in MLflow's page"
    try:
        found, told_by_card = dataset_sha256(folder), read_card(folder).sha256
    except DataError as error:
        raise DataError(f"{str(error).replace(str(folder), uri)}; {way_out}") from None
    for sha256, where in ((registered, "registered"), (told_by_card, "on its card")):
        if found != sha256:
            raise DataError(
                f"{uri} has SHA-256 {found[:12]}…, {sha256[:12] or 'none'}… is {where}: its files were altered; "
                f"{way_out}"
            )


def registry_of(params: PipelineParams, name: str | None = None) -> Registry:
    """The registry that a pipeline run in this folder writes to.

    Args:
        params: Of the pipeline.
        name: Another registered model.
    """
    return Registry(Tracker.open(params.registration.experiment, Path("mlflow")), name or model_name(params))
