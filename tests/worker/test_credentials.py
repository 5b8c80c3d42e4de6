"""Which secret a worker presents, when it makes another one, and what is left of a full disk."""

import contextlib
import dataclasses
import json
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei_worker import identity
from hodei_worker.config import BadSetting
from hodei_worker.credentials import Credentials
from hodei_worker.identity import Identity, Secret

DAY = 86_400.0


class Clock:
    """Moves only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mine(tmp_path: Path, clock: Clock) -> Credentials:
    """Of a worker that has registered and is connected; its secret is due in a day."""
    made = Credentials(tmp_path, identity.load(tmp_path), clock, clock)
    made.record_accepted(DAY)
    return made


def presented(credentials: Credentials) -> bytes:
    ((_, value),) = credentials.metadata
    return bytes.fromhex(value.rpartition(":")[2])


def renew(credentials: Credentials, clock: Clock) -> bytes:
    """The new secret, after a whole renewal."""
    clock.now += DAY
    sha256 = credentials.announcement()
    assert sha256
    assert credentials.record_stored(sha256)
    credentials.record_accepted(DAY)
    return presented(credentials)


def test_a_new_secret_is_on_disk_before_it_is_announced_and_counts_once_accepted(
    mine: Credentials, tmp_path: Path, clock: Clock
) -> None:
    first = presented(mine)
    assert mine.announcement() is None
    clock.now += DAY
    sha256 = mine.announcement()
    assert sha256
    on_disk = identity.load(tmp_path)
    assert on_disk.announced
    assert (sha256, on_disk.secret_sha256) == (
        on_disk.announced.sha256,
        mine.identity.secret_sha256,
    )
    assert mine.announcement() is None  # it was said
    clock.now += 60.0
    assert mine.announcement() == sha256  # no answer came
    assert not mine.record_stored(b"")
    assert not mine.record_stored(b"x" * 32)
    assert presented(mine) == first
    assert mine.record_stored(sha256)
    assert presented(mine) == on_disk.announced.value
    mine.record_accepted(DAY)
    on_disk = identity.load(tmp_path)
    assert [one.value for one in on_disk.secrets] == [presented(mine), first]
    assert on_disk.in_force == 0
    assert on_disk.secrets[1].until == clock.now + 60 * DAY


def test_a_server_of_the_release_before_renews_nothing(mine: Credentials, clock: Clock) -> None:
    mine.record_accepted(None)
    clock.now += 1000 * DAY
    assert mine.announcement() is None


def test_a_server_that_always_wants_a_new_secret_gets_one_an_hour(
    mine: Credentials, clock: Clock
) -> None:
    mine.record_accepted(0.0)
    clock.now -= DAY
    renew(mine, clock)
    mine.record_accepted(0.0)
    assert mine.announcement() is None
    clock.now += 3600.0
    assert mine.announcement()


def test_old_secrets_are_dropped_60_days_after_their_replacement_and_never_too_many(
    mine: Credentials, tmp_path: Path, clock: Clock
) -> None:
    values = [presented(mine)]
    for _ in range(5):
        clock.now += 22 * DAY
        values.insert(0, renew(mine, clock))
    # replaced 23, 46 and 69 days before the last renewal, which drops the third of them
    assert [one.value for one in identity.load(tmp_path).secrets] == values[:4]
    for _ in range(10):
        renew(mine, clock)
    assert len(identity.load(tmp_path).secrets) == identity.MOST_KEPT


def test_each_secret_is_presented_before_it_is_patient_for_ten_minutes(
    mine: Credentials, clock: Clock
) -> None:
    old = presented(mine)
    new = renew(mine, clock)
    for passed_s in (0.0, 300.0, 299.0):
        clock.now += passed_s
        assert presented(mine) == new
        assert mine.present_another()
        assert presented(mine) == old
        assert not mine.present_another()
        assert mine.patient
    clock.now += 1.0
    assert not mine.patient


def test_a_server_of_the_release_before_beside_a_new_one_costs_a_stream_a_minute(
    mine: Credentials, clock: Clock
) -> None:
    old = presented(mine)
    clock.now += DAY
    sha256 = mine.announcement()
    assert sha256
    assert mine.record_stored(sha256)
    assert mine.present_another()
    assert presented(mine) == old
    mine.record_accepted(0.0)
    clock.now += 59.0
    assert mine.announcement() is None
    clock.now += 1.0
    assert mine.announcement() == sha256


def test_a_worker_that_was_never_accepted_has_no_patience(tmp_path: Path, clock: Clock) -> None:
    for _ in range(2):  # also when it is started again
        made = Credentials(tmp_path, identity.load(tmp_path), clock, clock)
        assert not made.present_another()
        assert not made.patient


def test_a_database_from_before_the_renewal_gets_the_newer_secret_again(
    mine: Credentials, tmp_path: Path, clock: Clock
) -> None:
    old = presented(mine)
    new = renew(mine, clock)
    assert mine.present_another()
    mine.record_accepted(DAY)
    assert presented(mine) == old
    assert identity.load(tmp_path).in_force == 1
    sha256 = mine.announcement()  # at once, and no third secret is made
    assert sha256 == Secret(new).sha256
    assert mine.record_stored(sha256)
    mine.record_accepted(DAY)
    assert [one.value for one in identity.load(tmp_path).secrets] == [new, old]


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 10 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_puts_the_renewal_off(mine: Credentials, tmp_path: Path, clock: Clock) -> None:
    before = (tmp_path / "identity.json").read_bytes()
    clock.now += DAY
    secret = presented(mine)
    with full_disk():
        assert mine.announcement() is None
    assert (presented(mine), mine.identity.announced) == (secret, None)
    assert [path.name for path in tmp_path.iterdir()] == ["identity.json"]
    assert (tmp_path / "identity.json").read_bytes() == before
    assert mine.announcement() is None
    clock.now += 3600.0
    assert mine.announcement()


def test_the_file_has_its_mode_from_the_start_and_no_leftover_is_used(tmp_path: Path) -> None:
    left = tmp_path / "identity.new"
    left.write_text("left by a crash")
    left.chmod(0o644)
    identity.load(tmp_path)
    path = tmp_path / "identity.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not left.exists()


def test_files_of_both_releases_are_read_by_both(tmp_path: Path) -> None:
    me = identity.new()
    two = dataclasses.replace(me.with_next(), registered=True)
    identity.keep(tmp_path, two)
    assert identity.load(tmp_path) == two
    kept = json.loads((tmp_path / "identity.json").read_text())
    assert kept["secret"] == me.secrets[0].value.hex()  # what the release before reads
    old = {"worker_id": me.worker_id, "secret": me.secrets[0].value.hex()}
    (tmp_path / "identity.json").write_text(json.dumps(old))
    assert identity.load(tmp_path) == Identity(me.worker_id, me.secrets)


@pytest.mark.parametrize(
    "damage",
    [
        {"secret": "00"},
        {"secret": 7},
        {"secrets": [{"secret": "00" * 32}]},
        {"secrets": [{}]},
        {"secrets": 5},
        {"secrets": [["secret"]]},
        {"secrets": [{"secret": "11" * 32, "until": "soon"}]},
        {"worker_id": "me"},
        {"worker_id": None},
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: dict[str, object]) -> None:
    whole = {"worker_id": "019f2a60-1f0e-7b0a-8d4e-0c1d2e3f4a5b", "secret": "11" * 32}
    (tmp_path / "identity.json").write_text(json.dumps(whole | damage))
    with pytest.raises(BadSetting, match=r"identity\.json is damaged"):
        identity.load(tmp_path)
    (tmp_path / "identity.json").write_text(json.dumps([whole]))
    with pytest.raises(BadSetting, match=r"identity\.json is damaged"):
        identity.load(tmp_path)


def test_secrets_are_in_no_text(tmp_path: Path) -> None:
    me = identity.load(tmp_path)
    assert me.secrets[0].value.hex() not in repr(me)
    assert repr(me.secrets[0].value) not in repr(me)
