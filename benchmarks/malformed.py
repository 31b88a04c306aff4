"""Malformed inputs, made from a seed: what a person, a disk or a stranger may hand over, and how that must end.

Each must end in one line that a user can act on, or, where the damage changed nothing that matters, in complete output;
never in a traceback, a hang or something half-written.
"""

import gzip
import json
import random
import shutil
import signal
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dconrec_core.condensation.dataset import dataset_sha256, read_card, read_condensed, write_condensed
from dconrec_core.data.download import read_member
from dconrec_core.data.file import FileConfig, FileDataset
from dconrec_core.data.io import read_pool, read_split, write_pool, write_split
from dconrec_core.models import MODELS
from dconrec_core.models.store import save_model
from dconrec_core.options import RunOptions
from dconrec_core.splitting import random_split
from dconrec_core.types import Budget, CandidatePool, CondensedDataset, Interactions
from flows.failure import USER_ERRORS, one_line
from flows.params import check_names, read_params
from tasks.augment import augment
from tasks.ingest import ingest
from tasks.leftovers import TEMPORARY
from tasks.params import AugmentParams, ChecksParams, Component, RefreshParams
from tasks.reading import readable
from tasks.refresh import append
from tasks.validate import validate
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[1]
HANG_SECONDS = 30
LONGEST_LINE = 4000
SCRIPT = "<script>alert(1)</script>"
WORDS = (
    "",
    " ",
    "abc",
    "NaN",
    "inf",
    "-1",
    "1e999",
    "9" * 40,
    "0x1F",
    "1,5",
    "nul\x00l",
    "ü" * 5,
    "☃",
    SCRIPT,
    "../../x",
)

Call = Callable[[], object]
Kind = Callable[[random.Random, Path], Call]
"""Writes one malformed input into a folder; returns what reads it."""


@dataclass
class Tally:
    """How the inputs of one kind ended."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    failures: list[str] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)


def run(kind: str, count: int, folder: Path, seed: int = 0) -> Tally:
    """Try ``count`` inputs of a kind; each has its own generator, so that one can be looked at alone."""
    tally = Tally()
    for number in range(count):
        place = folder / f"{kind}-{number}"
        place.mkdir(parents=True)
        try:
            call = KINDS[kind](random.Random(f"{kind} {seed} {number}"), place)
            before = set(place.rglob("*"))
            _judge(tally, f"{kind} {number}", call, place, before)
        finally:
            shutil.rmtree(place)
    return tally


def _judge(tally: Tally, name: str, call: Call, place: Path, before: set[Path]) -> None:
    tally.tried += 1
    try:
        with _no_hang():
            call()
    except USER_ERRORS as error:
        said = one_line(error)
        appeared = [path for path in set(place.rglob("*")) - before if path.is_file()]
        if not said.strip() or "\n" in said or len(said) > LONGEST_LINE:
            tally.failures.append(f"{name}: not one line a person can read: {said[:200]!r}")
        elif appeared:
            tally.failures.append(f"{name}: left {appeared[0].name} behind")
        else:
            tally.refused += 1
            tally.messages[said.replace(str(place), "…")[:160]] += 1
    except BaseException as error:
        tally.failures.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        if isinstance(error, KeyboardInterrupt):
            raise
    else:
        half = [path for path in place.rglob("*") if TEMPORARY.match(path.name)]
        if half:
            tally.failures.append(f"{name}: left {half[0].name} behind")
        else:
            tally.accepted += 1


class Hang(BaseException):
    """It took far too long."""


@contextmanager
def _no_hang() -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no answer in {HANG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Tables -------------------------------------------------------------------------------------------------------------


def tables(lot: random.Random, folder: Path) -> Call:
    """A ratings file that is not what its description says."""
    frame, config = _ratings(lot), {"path": "ratings.csv", "rating": "rating", "timestamp": "timestamp"}
    path = folder / "ratings.csv"
    spoil = lot.choice([_cells, _cells, _columns, _bytes, _bytes, _text, _description, _parquet, _gzip])
    frame.to_csv(path, index=False)
    spoil(lot, frame, path, config)
    if isinstance(config["path"], str):
        config["path"] = str(folder / config["path"])
    out = folder / "out"

    def read() -> None:
        ingest(Component(name="file", config=config), out / "raw", out / "cache", RunOptions())
        staged = folder / "staged"  # what ingest wrote is complete; what follows must write nothing
        shutil.move(out, staged)
        try:
            validate(ChecksParams(), staged / "raw", out / "validated")
        finally:
            shutil.rmtree(staged)

    return read


def _ratings(lot: random.Random) -> pd.DataFrame:
    pairs = lot.sample([(user, item) for user in range(15) for item in range(20)], 150)
    return pd.DataFrame(
        {
            "user_id": [user for user, _ in pairs],
            "item_id": [item for _, item in pairs],
            "rating": [float(lot.randint(1, 5)) for _ in pairs],
            "timestamp": [lot.randint(10**9, 15 * 10**8) for _ in pairs],
        }
    )


def _cells(lot: random.Random, frame: pd.DataFrame, path: Path, config: dict[str, Any]) -> None:
    text = frame.astype("str").astype("object")
    column = lot.choice(list(text))
    for row in lot.sample(range(len(text)), lot.choice([1, 10, 40, len(text)])):
        text.loc[row, column] = lot.choice(WORDS)
    text.to_csv(path, index=False)


def _columns(lot: random.Random, frame: pd.DataFrame, path: Path, config: dict[str, Any]) -> None:
    how, column = lot.randrange(5), lot.choice(list(frame))
    if how == 0:
        frame = frame.drop(columns=column)
    elif how == 1:
        frame = frame.rename(columns={column: lot.choice([*WORDS, column.upper(), f" {column}"])})
    elif how == 2:
        frame = frame.iloc[: lot.choice([0, 1, 20])]
    elif how == 3:
        frame = frame.assign(**{column: lot.choice([0, -5, 1, 2**62, 3.7, None])})
    else:
        frame = pd.concat([frame, frame[[column]]], axis=1)
    frame.to_csv(path, index=False)


def _bytes(lot: random.Random, frame: pd.DataFrame, path: Path, config: dict[str, Any]) -> None:
    path.write_bytes(_damaged(lot, path.read_bytes()))


def _text(lot: random.Random, frame: pd.DataFrame, path: Path, config: dict[str, Any]) -> None:
    text, how = path.read_text(), lot.randrange(9)
    lines = text.splitlines()
    if how == 0:
        path.write_bytes(text.encode(lot.choice(["utf-16", "utf-32", "utf-16-le", "cp500"])))
    elif how == 1:
        path.write_text(text.replace(",", lot.choice([";", "\t", "|", "::", " ", ", ", "\x01"])))
    elif how == 2:
        path.write_text(lot.choice(["", "\n", "\n\n\n", " ", ",", ",,,\n,,,", "\ufeff", "\x00" * 100]))
    elif how == 3:
        lines[lot.randrange(len(lines))] = lot.choice(["1,2", "1,2,3,4,5,6", '"1,2,3,4', "x" * 200_000, '1,"2""3,4'])
        path.write_text("\n".join(lines))
    elif how == 4:
        path.write_text("\r".join(lines))
    elif how == 5:
        path.write_text("\n".join(lines[1:]))  # no header
    elif how == 6:
        path.write_text("\n".join([*lines[:1], *lines[1:] * 2]))  # every pair twice
    elif how == 7:
        path.write_text("\n".join([f'"{SCRIPT}",{lines[0]}', *(f"{SCRIPT},{line}" for line in lines[1:])]))
        config["user"] = SCRIPT
    else:
        path.write_bytes(b"\xff\xfe".join(line.encode() for line in lines))


def increments(lot: random.Random, folder: Path) -> Call:
    """New interactions for a file that is right, damaged as a table may be; the file must stay as it was, or be whole.

    The thresholds on how much is new are as wide as can be: it is the file that must be refused.
    """
    files, grows = Workspace(folder), folder / "input" / "grows.csv"
    grows.parent.mkdir()
    _ratings(lot).to_csv(grows, index=False)
    fresh, increment = _ratings(lot), folder / "new.csv"
    fresh.to_csv(increment, index=False)
    lot.choice([_cells, _cells, _columns, _bytes, _text])(lot, fresh, increment, {})
    if lot.random() < 0.3:
        increment.write_bytes(_damaged(lot, increment.read_bytes()))
    before = grows.read_bytes()
    config = {"path": str(grows), "rating": "rating", "timestamp": "timestamp"}
    wide = RefreshParams(
        min_rows=1, max_growth=1e6, max_new_users=1, max_new_items=1, max_popularity_shift=1e6, max_rating_shift=1e6
    )

    def read() -> None:
        try:
            append(Component(name="file", config=config), wide, ChecksParams(), increment, files)
        except BaseException:
            if grows.read_bytes() != before:
                raise AssertionError("refused, and the file has changed") from None
            raise
        if not grows.read_bytes().startswith(before):
            raise AssertionError("appended, and what was there has changed")
        FileDataset(FileConfig.model_validate(config)).load(files.cache, RunOptions())  # the next night reads it

    return read


def _description(lot: random.Random, frame: pd.DataFrame, path: Path, config: dict[str, Any]) -> None:
    config.update(
        lot.choice(
            [
                {"path": "nowhere.csv"}, {"path": "."}, {"path": "../../../etc/passwd"}, {"path": "a\x00b"},
                {"path": "x" * 5000}, {"encoding": "no-such"}, {"encoding": "utf-16"}, {"encoding": "base64"},
                {"separator": ""}, {"separator": ";"}, {"separator": "\n"}, {"separator": '"'}, {"separator": "ü"},
                {"separator": ".*"}, {"names": []}, {"names": ["a"]}, {"names": ["a"] * 4}, {"rating_range": [5, 1]},
                {"rating_range": [float("nan"), 1]}, {"rating_range": [10, 20]}, {"timestamp_unit": "days"},
                {"timestamp_unit": "iso"}, {"timestamp": "rating"}, {"user": "item_id"}, {"titles": {"path": "no.csv"}},
                {"title": "nope"}, {"part": "user_id"}, {"rating": ""}, {"user": None}, {"nonsense": 1}, {"path": 7},
                {"titles": {"path": str(path), "item": "rating", "title": "rating"}}, {"text_ids": "perhaps"},
            ]
        )
    )  # fmt: skip


def _parquet(lot: random.Random, frame: pd.DataFrame, path: Path, config: dict[str, Any]) -> None:
    config["path"] = "ratings.parquet"
    target, how, column = path.with_name("ratings.parquet"), lot.randrange(5), lot.choice(list(frame))
    odd: list[Any] = [[1, 2], {"a": 1}, b"\xff\xfe", True, None, 1.5, float("inf"), pd.Timestamp("2400-01-01")]
    if how == 0:
        value = lot.choice(odd)
        frame = frame.assign(**{column: [value] * len(frame)})
    elif how == 1:
        frame = frame.drop(columns=column)
    elif how == 2:
        frame = frame.iloc[:0]
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), target)
    if how >= 3:
        target.write_bytes(_damaged(lot, target.read_bytes()))


def _gzip(lot: random.Random, frame: pd.DataFrame, path: Path, config: dict[str, Any]) -> None:
    config["path"] = "ratings.csv.gz"
    packed = gzip.compress(path.read_bytes())
    path.with_name("ratings.csv.gz").write_bytes(_damaged(lot, packed))


def _damaged(lot: random.Random, content: bytes) -> bytes:
    """Cut off, overwritten, with bytes flipped, doubled or swapped for noise."""
    how, place = lot.randrange(6), lot.randrange(max(len(content), 1))
    if how == 0:
        return content[:place]
    if how == 1:
        return content[place:]
    if how == 2 and content:
        spoiled = bytearray(content)
        for _ in range(lot.choice([1, 5, 50])):
            spoiled[lot.randrange(len(spoiled))] = lot.randrange(256)
        return bytes(spoiled)
    if how == 3:
        return content[:place] + bytes(lot.choice([1, 100, 5000])) + content[place:]
    if how == 4:
        return lot.randbytes(lot.choice([0, 1, 4, 100, 10_000]))
    return content[:place] + content


# params.yaml --------------------------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2, 10**30, 1.5, "", "ease", "x" * 500, [], [1], {}, {"a": {"b": 1}}, [[]], SCRIPT, "../..",
    ".nan", ".inf", "-.inf", "!!python/object/apply:os.system ['true']", "2020-01-01", "&a [*a]", "*nowhere", "0x10",
)  # fmt: skip


def params(lot: random.Random, folder: Path) -> Call:
    """A ``params.yaml`` with a value, a key or a line that cannot be."""
    text = (ROOT / "params.yaml").read_text()
    lines, how = text.splitlines(), lot.randrange(8)
    place = lot.choice([number for number, line in enumerate(lines) if ":" in line and not line.startswith("#")])
    key, _, _ = lines[place].partition(":")
    content: str | bytes
    if how <= 2:
        value = lot.choice(VALUES)
        lines[place] = f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
        content = "\n".join(lines)
    elif how == 3:
        lines[place] = lines[place].replace(key.strip(), lot.choice([f"{key.strip()}x", "seeds", "1", SCRIPT, '"']), 1)
        content = "\n".join(lines)
    elif how == 4:
        content = "\n".join([*lines[:place], *lines[place + 1 :]])
    elif how == 5:
        content = _damaged(lot, text.encode())
    elif how == 6:
        lines[place] = lot.choice(["\t", "      ", "- "]) + lines[place]
        content = "\n".join(lines)
    else:
        content = lot.choice([_bomb(), "", "[]", "7", "---\n---\n", "seed: 0\nseed: 1", "{" * 3000, "a: " * 50, "\x00"])
    path = folder / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return lambda: check_names(read_params(folder))


def _bomb() -> str:
    """Nine lists of nine of the list before: a billion entries to whoever unfolds them."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines)


# Condensed sets -----------------------------------------------------------------------------------------------------


def _interactions(lot: random.Random) -> Interactions:
    pairs = lot.sample([(user, item) for user in range(12) for item in range(15)], 90)
    users, items = zip(*pairs, strict=True)
    return Interactions.of(users, items, 12, 15)


def _condensed(lot: random.Random, folder: Path) -> Path:
    source = _interactions(lot)
    kept = source.take(np.arange(len(source)) < 30)
    made = CondensedDataset(
        kept, np.ones(30, bool), np.ones(30, np.float32), Budget(30), "random", {}, 0, source.fingerprint(), 90, 12
    )
    ids = {"user": np.arange(12), "user_id": np.arange(12) + 100}
    items = {"item": np.arange(15), "item_id": np.arange(15) + 100, "title": [f"title {n}" for n in range(15)]}
    write_condensed(folder / "condensed", made, dataset="toy", users=pd.DataFrame(ids), items=pd.DataFrame(items))
    return folder / "condensed"


def cards(lot: random.Random, folder: Path) -> Call:
    """A card with a value, a key or bytes that cannot be."""
    condensed = _condensed(lot, folder)
    path = condensed / "card.json"
    if lot.random() < 0.4:
        path.write_bytes(_damaged(lot, path.read_bytes()))
    else:
        card = json.loads(path.read_text())
        key = lot.choice(list(card))
        if lot.random() < 0.3:
            card[lot.choice(["extra", f"{key}_", SCRIPT])] = card.pop(key)
        else:
            card[key] = lot.choice([*VALUES[:16], -(10**12), "0" * 64, float("nan")])
        path.write_text(json.dumps(card))
    return lambda: (read_card(condensed), read_condensed(condensed))


def condensed_folders(lot: random.Random, folder: Path) -> Call:
    """A condensed folder with a table altered, most of them under a card that was altered to match."""
    condensed = _condensed(lot, folder)
    name = lot.choice(["interactions.parquet", "interactions.parquet", "users.parquet", "items.parquet"])
    path, how = condensed / name, lot.randrange(7)
    if how == 0:
        path.unlink()
    elif how == 1:
        path.unlink()
        path.mkdir()
    elif how == 2:
        path.write_bytes(_damaged(lot, path.read_bytes()))
    else:
        _altered_table(lot, path)
    if lot.random() < 0.8 and path.is_file():
        card = json.loads((condensed / "card.json").read_text())
        card["sha256"] = dataset_sha256(condensed)
        (condensed / "card.json").write_text(json.dumps(card))
    return lambda: read_condensed(condensed)


def _altered_table(lot: random.Random, path: Path) -> None:
    table = pd.read_parquet(path)
    column, row = lot.choice(list(table)), lot.randrange(len(table))
    how = lot.randrange(6)
    if how == 0:
        table = table.drop(columns=column)
    elif how == 1:
        table = pd.concat([table] * 2, ignore_index=True)
    elif how == 2:
        table = table.sample(frac=1, random_state=lot.randrange(100))
    elif how == 3:
        table = table.iloc[:0]
    else:
        odd = [-1, 10**6, 2**40, 1.5, float("nan"), float("inf"), None, "x", SCRIPT, [1]]
        value = lot.choice(odd)
        table[column] = table[column].astype("object")
        if how == 4:
            table.at[row, column] = value  # noqa: PD008 (a list is one value to it)
        else:
            table[column] = [value] * len(table)
    try:
        altered = pa.Table.from_pandas(table, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # no column of Parquet holds both
        altered = pa.Table.from_pandas(table.assign(**{column: table[column].map(str)}), preserve_index=False)
    pq.write_table(altered, path)


# What stages leave for each other -----------------------------------------------------------------------------------


def splits(lot: random.Random, folder: Path) -> Call:
    """Parts of a split, or a candidate pool, altered between two stages."""
    interactions = _interactions(lot)
    if lot.random() < 0.5:
        write_split(folder, random_split(interactions, 0.1, 0.1, 0))
        path, read = folder / f"{lot.choice(['train', 'valid', 'test'])}.parquet", read_split
    else:
        write_pool(folder, CandidatePool(interactions, np.ones(90, bool), np.ones(90, np.float32)))
        path, read = folder / "pool.parquet", read_pool
    if lot.random() < 0.5:
        path.write_bytes(_damaged(lot, path.read_bytes()))
    else:
        metadata = pq.read_schema(path).metadata
        _altered_table(lot, path)
        if lot.random() < 0.8:  # with the catalogue's size, which a plain table has not
            sizes = metadata if lot.random() < 0.7 else {b"n_users": b"-1", b"n_items": lot.choice([b"", b"x", b"0"])}
            pq.write_table(pq.read_table(path).replace_schema_metadata(sizes), path)
    return lambda: read(folder)


def models(lot: random.Random, folder: Path) -> Call:
    """A teacher whose weights or description were altered."""
    name = lot.choice(["ease", "bprmf", "lightgcn"])
    settings = {} if name == "ease" else {"epochs": 1, "embedding_size": 4}
    model = MODELS[name].build(MODELS[name].configure(name, settings))
    model.fit(_interactions(lot), None, RunOptions(device="cpu"))
    save_model(folder, name, model)
    (folder / "split").mkdir()
    write_split(folder / "split", random_split(_interactions(lot), 0.1, 0.1, 0))
    path = folder / lot.choice(["weights.safetensors", "weights.safetensors", "model.json"])
    how = lot.randrange(4)
    if how == 0:
        path.unlink()
    elif how == 1 and path.suffix == ".json":
        content = json.loads(path.read_text())
        content[lot.choice(list(content))] = lot.choice(VALUES[:16])
        path.write_text(json.dumps(content))
    elif how == 2:
        header = json.dumps({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4]}}).encode()
        path.write_bytes(struct.pack("<Q", lot.choice([len(header), 2**60])) + header + bytes(4))
    else:
        path.write_bytes(_damaged(lot, path.read_bytes()))
    return lambda: _augmented(folder)


def _augmented(folder: Path) -> None:
    augment(AugmentParams(), folder / "split", folder, folder / "pool", RunOptions())


# Archives and published files ---------------------------------------------------------------------------------------

MEMBERS = (
    "../../escaped.txt",
    "/tmp/escaped.txt",
    "ml-100k/../../escaped.txt",
    "..\\escaped.txt",
    "ml-100k/u.data\x00",
)


def archives(lot: random.Random, folder: Path) -> Call:
    """A zip archive that is damaged, lacks what is looked for, or names places outside of its folder."""
    path = folder / "ml-20m.zip"
    with zipfile.ZipFile(path, "w", lot.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for member in lot.sample(MEMBERS, 2):
            archive.writestr(member, "1\t2\t3\t4\n" * 50)
        if lot.random() < 0.7:
            archive.writestr("ml-20m/ratings.csv", "userId,movieId,rating,timestamp\n" + "1,2,3.5,4\n" * 50)
        link = zipfile.ZipInfo("ml-20m/movies.csv")
        link.external_attr = 0o120777 << 16  # a symbolic link
        archive.writestr(link, "/etc/passwd")
    if lot.random() < 0.6:
        path.write_bytes(_damaged(lot, path.read_bytes()))
    if lot.random() < 0.5:
        return lambda: _ingested("ml-20m", folder)
    member = lot.choice(["ml-20m/ratings.csv", "ml-20m/movies.csv", *MEMBERS])

    def read() -> None:
        with readable(str(path), "get it again"):
            read_member(path, member)

    return read


def published(lot: random.Random, folder: Path) -> Call:
    """The files of a published dataset, with other content than was published."""
    name = lot.choice(["gowalla", "ciao", "dianping", "ml-20m"])
    frame = _ratings(lot)
    if name == "gowalla":
        lists = "\n".join(f"{user} {' '.join(map(str, rows.item_id))}" for user, rows in frame.groupby("user_id"))
        (folder / "train.txt").write_bytes(_damaged(lot, lists.encode()))
        (folder / "test.txt").write_text(lists)
    elif name == "ciao":
        path = folder / "ciao.parquet"
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
        path.write_bytes(_damaged(lot, path.read_bytes()))
    elif name == "dianping":
        text = "\n".join(f"{row.user_id}|{row.item_id}|{row.rating}|2009-05-12" for row in frame.itertuples())
        (folder / "rating.txt").write_bytes(_damaged(lot, text.encode()))
    else:
        frame.columns = pd.Index(["userId", "movieId", "rating", "timestamp"])
        (folder / "ratings.csv").write_bytes(_damaged(lot, frame.to_csv(index=False).encode()))
        (folder / "movies.csv").write_text("movieId,title\n1,x\n")
    return lambda: _ingested(name, folder)


def _ingested(name: str, folder: Path) -> None:
    ingest(Component(name=name, config={"folder": str(folder)}), folder / "raw", folder / "cache", RunOptions())


KINDS: dict[str, Kind] = {
    "tables": tables,
    "increments": increments,
    "params": params,
    "cards": cards,
    "condensed folders": condensed_folders,
    "splits and pools": splits,
    "teachers": models,
    "archives": archives,
    "published files": published,
}
COUNTS = {
    "tables": 600, "increments": 300, "params": 500, "cards": 350, "condensed folders": 350, "splits and pools": 250,
    "teachers": 150, "archives": 200, "published files": 150,
}  # fmt: skip
