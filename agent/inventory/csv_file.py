"""`inventory.csv`: where things stand, for clusters whose nodes bear no labels. docs/inventory.md describes it.

    node,rack,nvlink_domain,pool,gpu,uuid,pci_bus_id,job,rank
    node-0001,rack-07,,h200,,,,,
    node-0002,rack-07,,h200,3,GPU-5c0e...,0000:5d:00.0,llama-70b,11

Only `node` must be there; columns may come in any order, empty cells say nothing, unknown columns are passed over. A
bad row gets one line with file, line and column; all good rows count.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from collectors.errors import FixConfiguration
from collectors.model import SubjectKind
from detectors.inventory import LAYOUT

NODE_COLUMNS = LAYOUT
CARD_COLUMNS = ("uuid", "pci_bus_id", "job", "rank")
COLUMNS = ("node", *NODE_COLUMNS, "gpu", *CARD_COLUMNS)
MOST_BYTES = 64 * 2**20
"""200,000 cards take about 20 MB."""
MOST_PROBLEMS = 20
"""Problems that are told one by one; the rest is counted."""
_LONGEST_CELL = 253

ByName = dict[tuple[SubjectKind, str], dict[str, str]]


@dataclass(slots=True)
class CsvInventory:
    """What one reading of the file gave."""

    by_name: ByName = field(default_factory=dict)
    """For `Inventory.tell_by_name`."""
    rows: int = 0
    """Good rows."""
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    """One line each, at most `MOST_PROBLEMS` and one that counts the rest."""


@dataclass(slots=True)
class CsvFile:
    """A file that is read anew when it has changed."""

    path: Path
    _stamp: tuple[int, int, int] | None = None
    problem: str = ""
    """Why it cannot be read now, in one line; what was read before stays in force."""

    def poll(self) -> CsvInventory | None:
        """What the file says, where it has changed since the last call; None where it has not or cannot be read."""
        try:
            stat = self.path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return None
            read = read_inventory_csv(self.path)
        except (FixConfiguration, OSError) as error:
            self.problem = str(error) if isinstance(error, FixConfiguration) else f"{self.path}: {error.strerror}"
            return None
        self._stamp, self.problem = stamp, ""
        return read


def read_inventory_csv(path: Path) -> CsvInventory:
    """Read the whole file; FixConfiguration where there is no such table in it at all."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FixConfiguration(f"{path}: larger than {MOST_BYTES} bytes; an inventory has one line a card")
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            return _read(path, csv.reader(file, strict=True))
    except OSError as error:
        raise FixConfiguration(f"{path}: {error.strerror}; name a readable file in inventory.csv") from None


def _read(path: Path, rows: "csv._reader") -> CsvInventory:  # type: ignore[name-defined]  # typeshed's own name
    found = CsvInventory()
    lines = _rows(path, rows, found)
    header = next(lines, None)
    columns = [cell.strip().lower() for cell in header[1]] if header is not None else []
    if "node" not in columns:
        raise FixConfiguration(f"{path}: line 1: no column `node`; known columns are {', '.join(COLUMNS)}")
    twice = sorted({name for name in columns if name in COLUMNS and columns.count(name) > 1})
    if twice:
        raise FixConfiguration(f"{path}: line 1: column `{twice[0]}` stands there twice")
    said_on: dict[tuple[SubjectKind, str, str], int] = {}
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        row = {name: cell.strip() for name, cell in zip(columns, cells) if name in COLUMNS and cell.strip()}
        problem = _fault(row) or _clash(row, line, said_on, found.by_name)
        if problem:
            _note(found, f"{path}: line {line}: {problem}; the row is passed over")
            continue
        found.rows += 1
        for (kind, name), facts in _facts(row):
            found.by_name.setdefault((kind, name), {}).update(facts)
            for key in facts:
                said_on.setdefault((kind, name, key), line)
    if found.refused > MOST_PROBLEMS:
        found.problems.append(f"{path}: {found.refused - MOST_PROBLEMS} more rows are passed over")
    return found


def _rows(path: Path, rows: "csv._reader", found: CsvInventory) -> Iterator[tuple[int, list[str]]]:  # type: ignore[name-defined]
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            _note(found, f"{path}: line {rows.line_num}: not CSV ({error}); the row is passed over")
            continue
        yield rows.line_num, cells


def _note(found: CsvInventory, problem: str) -> None:
    found.refused += 1
    if found.refused <= MOST_PROBLEMS:
        found.problems.append(problem)


def _fault(row: dict[str, str]) -> str:
    """What is wrong with a row by itself."""
    if "node" not in row:
        return "column node: empty"
    for name, cell in row.items():
        if len(cell) > _LONGEST_CELL or not cell.isprintable() or "\ufffd" in cell:
            return f"column {name}: {cell[:20]!r} is longer than {_LONGEST_CELL} characters or not plain text"
    for name in ("gpu", "rank"):
        if name in row and not (row[name].isascii() and row[name].isdigit()):
            return f"column {name}: {row[name]!r} is not a whole number"
    card = next((name for name in CARD_COLUMNS if name in row), None)
    if card is not None and "gpu" not in row:
        return f"column gpu: empty, but column {card} speaks of a card"
    return ""


def _clash(row: dict[str, str], line: int, said_on: dict[tuple[SubjectKind, str, str], int], known: ByName) -> str:
    """Where a row says something else than one before it."""
    for (kind, name), facts in _facts(row):
        held = known.get((kind, name), {})
        for key, value in facts.items():
            if held.get(key, value) != value:
                return f"column {key}: {value!r}, but line {said_on[kind, name, key]} says {held[key]!r} of {name}"
    return ""


def _facts(row: dict[str, str]) -> Iterator[tuple[tuple[SubjectKind, str], dict[str, str]]]:
    yield (SubjectKind.NODE, row["node"]), {key: row[key] for key in NODE_COLUMNS if key in row}
    if "gpu" in row:
        facts = {key: row[key].lower() if key == "pci_bus_id" else row[key] for key in CARD_COLUMNS if key in row}
        yield (SubjectKind.GPU, f"{row['node']}/gpu{int(row['gpu'])}"), facts
