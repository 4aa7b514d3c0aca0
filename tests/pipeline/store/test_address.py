"""Places in a store: what a real S3 server and one in memory answer, and what is said of it."""

from __future__ import annotations

import doctest
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_store import S3

from pipeline import files, raw, store
from pipeline.sources import Source
from pipeline.store import Address, WrongAddress, connection, place
from pipeline.trouble import Trouble, Usage

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ODD_NAMES = ("a b.jpg", "a*b?[1].jpg", "ü.jpg", "a%20b.jpg", "a#b&c=d+e.jpg", "~{}^`<>'\".jpg")


@pytest.fixture(params=["s3", "memory"])
def root(request: pytest.FixtureRequest, s3: S3) -> Address:
    return s3.bucket() / "faces" if request.param == "s3" else Address("memory://test/faces")


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Each test connects with its own environment."""
    connection.connect.cache_clear()
    yield
    connection.connect.cache_clear()


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (store, connection):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0


def test_what_is_written_is_read_listed_copied_and_deleted(root: Address) -> None:
    files.write(root / "a/x.jpg", b"one")
    files.write(root / "a/x.jpg", "né")
    assert (root / "a" / "x.jpg").read_bytes() == "né".encode()
    assert (root / "a/x.jpg").read_text() == "né"
    assert (root / "a/x.jpg").stat().st_size == 3
    files.link_all(root, [(root / "a/x.jpg", "b/y.jpg")])
    assert files.pictures_in(root, "b") == {"b/y.jpg"}
    files.remove(root, "b", ["b/y.jpg", "b/none.jpg"])
    assert [entry.name for entry in root.entries()] == ["a/x.jpg"]
    assert not (root / "b/y.jpg").exists()
    with pytest.raises(FileNotFoundError, match=r"faces/b/y\.jpg"):
        (root / "b/y.jpg").read_bytes()


def test_any_name_that_a_file_may_have_is_kept_as_it_is(root: Address) -> None:
    for name in ODD_NAMES:
        (root / name).write_bytes(name.encode())
    assert {entry.name for entry in root.entries()} == set(ODD_NAMES)
    for name in ODD_NAMES:
        assert (root / name).read_bytes() == name.encode()


def test_of_many_who_write_on_a_condition_one_succeeds(root: Address) -> None:
    lock = root / ".lock"
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda n: lock.replace_bytes(b"%d" % n, None), range(8)))
        (version,) = [version for version in first if version]
        later = list(pool.map(lambda n: lock.replace_bytes(b"new %d" % n, version), range(8)))
    assert len([version for version in later if version]) == 1
    assert lock.read_bytes().startswith(b"new")


def test_a_large_file_is_put_and_got_in_parts(s3: S3, tmp_path: Path) -> None:
    data = bytes(range(256)) * 50_000
    (tmp_path / "large").write_bytes(data)
    file = s3.bucket() / "large"
    file.write_bytes(tmp_path / "large")
    file.download(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_an_address_travels_to_workers_and_knows_its_surroundings() -> None:
    address = Address("s3://bucket/faces/a/1.jpg")
    assert pickle.loads(pickle.dumps(address)) == address  # noqa: S301
    assert store.below(address, address.parents[1]) == "a/1.jpg"
    assert address.parents[-1] == Address("s3://bucket")


@pytest.mark.parametrize("text", ["ftp://host/x", "s3://", "http://bucket/x"])
def test_an_address_of_an_unknown_kind_is_wrong_usage(text: str) -> None:
    with pytest.raises(Usage, match="is no address of a store"):
        place(text)


def said(action: Callable[[], object]) -> str:
    """The sentence with which a call ends."""
    with pytest.raises(Trouble) as caught:
        action()
    assert "\n" not in str(caught.value) and SECRET not in str(caught.value)
    return str(caught.value)


def test_a_missing_bucket_is_named(s3: S3) -> None:
    missing = Address("s3://no-such-bucket/x")
    for action in (
        missing.read_bytes,
        lambda: missing.write_bytes(b""),
        lambda: [*missing.entries()],
    ):
        assert said(action).startswith("there is no s3://no-such-bucket: ")


def connect_as(keys: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    connection.connect.cache_clear()
    for name, value in keys.items():
        monkeypatch.setenv(name, value)


def test_wrong_keys_are_said_and_the_right_ones_work(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, right = s3.bucket(), s3.user("s3:*")
    unknown = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    with s3.closed():
        connect_as(unknown, monkeypatch)
        sentence = f"{bucket} refuses the credentials (InvalidAccessKeyId): correct them"
        assert said((bucket / "x").read_bytes) == sentence
        connect_as({**right, "AWS_SECRET_ACCESS_KEY": SECRET}, monkeypatch)
        assert "SignatureDoesNotMatch" in said(lambda: (bucket / "x").write_bytes(b""))
        connect_as(right, monkeypatch)
        (bucket / "x").write_bytes(b"1")
        assert (bucket / "x").read_bytes() == b"1"


def test_one_closed_file_is_a_permission_error_and_a_bucket_that_may_not_be_written_is_trouble(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.bucket()
    for name in ("open", "closed"):
        (bucket / name).write_bytes(b"1")
    reader = s3.user("s3:Get*", closed=f"{bucket}/closed")
    with s3.closed():
        connect_as(reader, monkeypatch)
        assert (bucket / "open").read_bytes() == b"1"
        with pytest.raises(PermissionError, match="closed"):
            (bucket / "closed").read_bytes()
        sentence = f"{bucket}/new: access is denied to these credentials"
        assert said(lambda: (bucket / "new").write_bytes(b"")) == sentence


def test_a_profile_has_the_keys_where_the_environment_has_none(
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    bucket = s3.bucket()
    profile = "[faces]\naws_access_key_id = any\naws_secret_access_key = any\n"
    (tmp_path / "credentials").write_text(profile)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "faces")
    (bucket / "x").write_bytes(b"1")
    connection.connect.cache_clear()
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "no credentials were found" in said((bucket / "x").read_bytes)


def test_a_store_that_is_not_there_is_said_after_the_retries(
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(connection, "RETRIES", {**connection.RETRIES, "max_retries": 1})
    assert said(Address("s3://bucket/x").read_bytes).startswith("s3://bucket does not answer (")


def test_without_the_package_the_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(Usage, match=r"s3://bucket needs the package obstore: .*pip install"):
        Address("s3://bucket/x").exists()


def test_a_raw_folder_in_a_store_is_listed_as_the_same_folder_on_disk(
    root: Address, tmp_path: Path
) -> None:
    names = ("1.jpg", "b/2.jpg", "b/a/3.jpg", "b.jpg/4.jpg", "b-c/5.jpg", "b/\\x41.jpg")
    leftovers = ("b/Thumbs.db", "b/@eaDir/2.jpg/t.jpg", ".git/config")
    table = ",".join(Source._fields) + "\n2.jpg" + "," * 10 + "person 1,,\n"
    for name in (*names, *leftovers):
        files.write(tmp_path / name, name)
        files.write(root / name, name)
    for folder in (tmp_path, root):
        files.write(folder / "b" / "sources.csv", table)
    (tmp_path / "empty").mkdir()
    files.write(root / "empty", b"")  # as programs mark a folder
    ours, theirs = raw.find(root), raw.find(tmp_path)
    assert [(file.key, file.refusal, file.facts) for file in ours.files] == [
        (file.key, file.refusal, file.facts) for file in theirs.files
    ]
    (known,) = [file for file in ours.files if file.facts]
    assert (known.key, known.facts["given_group"]) == ("b/2.jpg", "person 1")
    assert ours.label_folders == theirs.label_folders and "empty" in ours.label_folders
    assert ours.leftovers == theirs.leftovers
    assert [place(file.path).read_bytes() for file in ours.files] == [  # as the keys lead to them
        Path(file.path).read_bytes() for file in theirs.files
    ]


def test_other_content_of_a_file_has_another_stamp_and_the_same_has_the_same(root: Address) -> None:
    stamps = []
    for data in (b"one", b"two", b"one"):
        (root / "a/1.jpg").write_bytes(data)
        stamps.append(raw.find(root).files[0].stamp)
    assert stamps[0] != stamps[1]
    (root / "a/2.jpg").write_bytes(b"one")
    assert raw.copies(raw.find(root).files) <= {"a/2.jpg"}


def test_a_name_that_can_be_no_path_is_said(s3: S3) -> None:
    bucket = s3.bucket()
    s3.client("s3").put_object(Bucket=bucket.name, Key="raw//1.jpg", Body=b"x")
    with pytest.raises(WrongAddress, match="holds a name that can be no path"):
        raw.find(bucket / "raw")
