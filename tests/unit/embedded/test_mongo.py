"""What the embedded view store asks of those who connect to it."""

from pymongo import MongoClient

from embedded.mongo import uri_of


def test_the_driver_does_not_number_writes_that_the_store_would_keep_account_of() -> None:
    with MongoClient[dict[str, object]](uri_of("127.0.0.1:1"), connect=False) as client:
        assert not client.options.retry_writes
