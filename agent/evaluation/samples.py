"""Lists of samples as CSV: pairs of pictures, pictures of subjects, presentations.

Paths are absolute or relative to the CSV. Columns may come in any order, with others beside them, parted by commas,
semicolons or tabs. A picture that is not there is a failure to acquire when its turn comes, not an error of the list.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent.evaluation.errors import EvaluationError

SAME = {"1", "true", "t", "yes", "y", "same", "1.0"}
DIFFERENT = {"0", "false", "f", "no", "n", "different", "0.0", "-1"}
#: What spreadsheets put between columns.
DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, whether they show one person, and the group and fold that the pair belongs to."""

    a: Path
    b: Path
    same: bool
    group: str
    fold: int | None
    subject_a: str | None
    subject_b: str | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and whom it shows."""

    path: Path
    subject: str


@dataclass(frozen=True, slots=True)
class Presentation:
    """A picture or video before the camera: `live` or the species of attack, its subject and the clip it belongs to."""

    path: Path
    label: str
    subject: str
    clip: str

    @property
    def live(self) -> bool:
        """Whether this is a bona fide presentation."""
        return self.label == "live"


def read_pairs(path: Path, limit: int | None = None) -> list[Pair]:
    """Pairs from columns `a,b,same[,set,fold,subject_a,subject_b]`; `limit` takes so many, evenly over the list."""
    pairs = []
    for number, row in _evenly(_rows(path, ("a", "b", "same")), limit):
        same = row["same"].lower()
        if same not in SAME | DIFFERENT:
            raise _wrong(path, f"line {number}: same is {row['same']!r}, 0 or 1 is needed")
        pairs.append(
            Pair(
                _place(path, row["a"]),
                _place(path, row["b"]),
                same in SAME,
                row.get("set") or "all",
                _fold(path, number, row.get("fold") or ""),
                row.get("subject_a") or None,
                row.get("subject_b") or None,
            )
        )
    return pairs


def read_pictures(path: Path, limit: int | None = None) -> list[Picture]:
    """Pictures from columns `path,subject`; `limit` takes the first."""
    rows = islice(_rows(path, ("path", "subject")), limit)
    return [Picture(_place(path, row["path"]), row["subject"]) for _, row in rows]


def read_presentations(path: Path, limit: int | None = None) -> list[Presentation]:
    """Presentations from columns `path,label[,subject,clip]`; without a clip each file is one of its own.

    `limit` takes so many, evenly over the list.
    """
    found = []
    for _, row in _evenly(_rows(path, ("path", "label")), limit):
        file = _place(path, row["path"])
        clip = row.get("clip") or str(file)
        found.append(Presentation(file, row["label"].lower(), row.get("subject") or clip, clip))
    return found


def _evenly(rows: Iterator[tuple[int, dict[str, str]]], limit: int | None) -> list[tuple[int, dict[str, str]]]:
    """All rows, or `limit` of them spread over the list: lists are often sorted by what is to be told apart."""
    listed = list(rows)
    if limit is None or limit >= len(listed):
        return listed
    return [listed[i * len(listed) // limit] for i in range(limit)]


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = max(DELIMITERS, key=file.readline().count)
            file.seek(0)
            reader = csv.DictReader(file, skipinitialspace=True, delimiter=delimiter)
            names = [name.strip().lower() for name in reader.fieldnames or ()]
            missing = [name for name in needed if name not in names]
            if missing:
                raise _wrong(path, f"column {', '.join(missing)} is missing; there are {', '.join(names) or 'none'}")
            reader.fieldnames = names
            count = 0
            for row in reader:
                values = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
                if not any(values.values()):
                    continue
                absent = [name for name in needed if not values.get(name)]
                if absent:
                    raise _wrong(path, f"line {reader.line_num}: {', '.join(absent)} is empty")
                count += 1
                yield reader.line_num, values
            if count == 0:
                raise _wrong(path, "holds no sample")
    except OSError as error:
        raise _wrong(path, error.strerror or "cannot be read") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _wrong(path, f"is no UTF-8 CSV: {error}") from error


def _fold(path: Path, number: int, text: str) -> int | None:
    if not text:
        return None
    try:
        return int(float(text))
    except ValueError:
        raise _wrong(path, f"line {number}: fold is {text!r}, a number is needed") from None


def _place(table: Path, text: str) -> Path:
    return table.parent / text


def _wrong(path: Path, text: str) -> EvaluationError:
    return EvaluationError("evaluation.samples", f"{path}: {text}")
