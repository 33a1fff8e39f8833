"""Reading the JSON files of an ensemble that hold its evidence."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from prostate_alm.errors import EnsembleError

MOST_FIELDS = 3
Content = TypeVar("Content", bound=BaseModel)


def read_sealed(model: type[Content], content: bytes | str, *, file: str) -> Content:
    """Read the content of a file of an ensemble.

    Args:
        model: what it must hold.
        content: as it was written.
        file: its name, for the message.

    Raises:
        EnsembleError: it is malformed; the message names the first fields, and no value.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        found = error.errors(include_input=False)[:MOST_FIELDS]
        fields = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
        raise EnsembleError(f"{file} is malformed: {fields}. Restore the folder as it was written.") from None
