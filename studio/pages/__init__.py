"""One module a page: what it shows, and which command line its buttons start."""

from collections.abc import Callable

from studio.pages import convert, data, deliver, home, jobs, library, listen, record, system, train
from studio.texts import Texts
from studio.workspace import Workspace

PAGES: dict[str, Callable[[Workspace, Texts], None]] = {
    "home": home.show,
    "record": record.show,
    "data": data.show,
    "train": train.show,
    "listen": listen.show,
    "deliver": deliver.show,
    "convert": convert.show,
    "library": library.show,
    "jobs": jobs.show,
    "system": system.show,
}
