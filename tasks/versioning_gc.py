"""Objects of DVC's cache that no state of the project needs which is worth keeping."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.retention import Unneeded, of_paths
from tasks.versioning import told


def unneeded_objects(root: Path, keep: int, hashes: Collection[str]) -> list[Unneeded]:
    """What may go from the cache of one project.

    Kept is what belongs to ``dvc.lock`` as it is now, to the last ``keep`` commits of each branch, to every tag and
    every experiment, to the last ``keep`` runs of each stage, and to ``hashes``.

    Args:
        root: The project.
        keep: See above.
        hashes: DVC's hashes of outputs that something else refers to, as ``….dir`` or of single files.

    Raises:
        VersioningError: A commit cannot be read, or DVC is busy: then nothing may go.
    """
    with told(root), Repo(str(root)) as repo, repo.lock:
        runs = Path(repo.stage_cache.cache_dir)
        entries = _by_stage(runs)
        kept = [path for newest_first in entries.values() for path in newest_first[:keep]]
        old = [path for newest_first in entries.values() for path in newest_first[keep:]]
        needed = {oid for oids in repo.used_objs(all_branches=True, all_tags=True, num=keep).values() for oid in oids}
        needed |= {oid for oids in repo.used_objs(all_experiments=True).values() for oid in oids}
        used_run_cache = [(path.parent.name, path.name) for path in kept]
        needed |= {oid for oids in repo.stage_cache.get_used_objs(used_run_cache).values() for oid in oids}
        names = {oid.value for oid in needed if oid.value} | set(hashes)
        cache = repo.cache.local
        for name in [name for name in names if name.endswith(".dir")]:
            try:
                names |= {info.value for _, _, info in Tree.load(cache, HashInfo(cache.hash_name, name))}
            except (FileNotFoundError, ObjectFormatError):
                continue  # in no cache, or altered: nothing is known of what it held
        objects = [path for path in Path(cache.path).glob("[0-9a-f][0-9a-f]/*") if path.is_file()]
    unused = [path for path in objects if path.parent.name + path.name not in names]
    return [of_paths("objects of DVC's cache", unused), _entries(old)]


def _entries(old: list[Path]) -> Unneeded:
    files = of_paths("entries of DVC's cache of runs", old)

    def remove() -> None:
        files.remove()
        for folder in {path.parent for path in old}:
            if not any(folder.iterdir()):  # DVC stumbles over an empty one
                folder.rmdir()

    return replace(files, remove=remove)


def _by_stage(runs: Path) -> dict[str, list[Path]]:
    """Entries of the cache of runs by the stage's command, newest first."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(runs.glob("*/*/*"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            found[YAML(typ="safe").load(path)["cmd"]].append(path)
        except (YAMLError, KeyError, TypeError, UnicodeDecodeError):
            found[""].append(path)  # DVC itself would remove it
    return dict(found)
