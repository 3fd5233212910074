"""``files``: the images of a tree with what the tables say about them, for programs that train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cxrsync.api.calls import ErrorsForPython, job_of_tree, options_of, taken_flag
from cxrsync.api.options import FilesOptions
from cxrsync.config.job import Job
from cxrsync.dataset.version import find_target
from cxrsync.errors import UsageError
from cxrsync.operations.index import Value, image_index
from cxrsync.operations.index_formats import as_values

__all__ = ["FilesOptions", "ImageFile", "ImageFiles", "files"]

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class ImageFile:
    """One image. ``file``: where it is, or would be, on the disk. ``image["split"]`` is the value
    of a column, as in the index; None where nothing is known."""

    file: Path
    values: dict[str, Value]

    def __getitem__(self, column: str) -> Value:
        return self.values[column]

    def __repr__(self) -> str:
        return f"<ImageFile with {len(self.values)} columns>"


class ImageFiles:
    """The images of a selection, in the order of the manifest. Each loop reads them anew, one after
    the other, and needs no more memory for more of them."""

    def __init__(self, job: Job, *, present: bool) -> None:
        target = find_target(job, lambda _event: None)
        self._job, self._present = job, present
        self.root = target.tree.root
        """The version's folder, from which paths in columns begin."""
        self._name = target.name

    def __repr__(self) -> str:
        return f"<ImageFiles of {self._name}>"

    def __iter__(self) -> Iterator[ImageFile]:
        for columns, values in self._rows():
            named = dict(zip(columns, values, strict=True))
            yield ImageFile(self.root / str(named["path"]), named)

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a table of pandas, with the columns of the index.

        Raises: UsageError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise UsageError(
                "to_pandas() needs pandas, which is not installed", next_step="pip install pandas"
            ) from None
        columns, rows = self._columns(), [values for _columns, values in self._rows()]
        table = pd.DataFrame.from_records(rows, columns=list(columns))
        table["verified_at"] = pd.to_datetime(table["verified_at"], utc=True)
        return table

    def _columns(self) -> tuple[str, ...]:
        with ErrorsForPython(), image_index(self._job, lambda _event: None) as index:
            return tuple(column.name for column in index.columns)

    def _rows(self) -> Iterator[tuple[tuple[str, ...], tuple[Value, ...]]]:
        with (
            ErrorsForPython(),
            image_index(self._job, lambda _event: None, present=self._present) as index,
        ):
            names = tuple(column.name for column in index.columns)
            for row in index.rows:
                yield names, as_values(index.columns, row)


def files(*places: str, **options: Unpack[FilesOptions]) -> ImageFiles:
    """Return the selected images of a tree, each with its row of the index.

    Reads only: no network, no lock, no write access; also while a pull works on the tree.

    Args:
        *places: As for :func:`cxrsync.pull`. Without a dataset, the only tree in ``dest``.
        **options: The options that select files, ``dest``, and ``present=True`` for only the images
            that are on the disk. ``no_tables=True`` leaves out the columns of the tables.

    Returns:
        The images, to loop over; ``to_pandas()`` makes a table of them. An image has its ``file``
        and the columns of ``cxrsync index``, such as ``image["chexpert_Edema"]``.

    Raises:
        NotFetchedYet: There is no such tree in ``dest``, or its tables are not there.
        UsageError: A keyword or a value is wrong, or nothing is selected.

    Example:
        >>> images = cxrsync.files(jpg=True, split="test", present=True)
        >>> next(iter(images))["split"]
        'test'
    """
    with ErrorsForPython():
        given: dict[str, Any] = options_of("files", FilesOptions, options)
        present = taken_flag(given, "present")
        return ImageFiles(job_of_tree(given, places), present=present)
