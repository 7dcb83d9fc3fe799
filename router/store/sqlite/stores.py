"""What `[store]` says of a store in files."""

from router.config import settings
from router.store.api import Made, Stores, unsaid
from router.store.sqlite.callbacks import beside
from router.store.sqlite.store import from_url


def stores_of(wanted: settings.StoreSettings, made: Made = unsaid) -> Stores:
    """The file that the address names, with the attempts beside it. Raises StoreError."""
    rows = from_url(wanted.url, made)
    return Stores(rows, beside(rows.path, made), None, wanted.url, shared=False)
