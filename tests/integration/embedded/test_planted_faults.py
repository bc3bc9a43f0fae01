"""The tests of the node find what they are there for: each fault, planted into a copy of the code, turns them red."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NODE = "embedded/eventstore"
HERE = "tests/integration/embedded"
THERE = "tests/contract/eventstore"
WITHIN = 240.0  # seconds, for the tests of one fault


@dataclass(frozen=True)
class Fault:
    """`right` stands once in the file; with `wrong` in its place, `found_by` must fail."""

    what: str
    file: str
    right: str
    wrong: str
    found_by: str

    def __str__(self) -> str:
        return self.what.replace(" ", "-")


FAULTS = [
    Fault(
        "acknowledged before it is synced", f"{NODE}/files.py",
        "PRAGMA synchronous = {synchronous}", "PRAGMA synchronous = OFF",
        f"{HERE}/test_durability.py::test_the_disk_is_synced_before_the_reply_is_sent",
    ),
    Fault(
        "a failed sync is forgotten", f"{NODE}/committer.py",
        "if not full and isinstance(error, sqlite3.OperationalError):", "if False:",
        f"{HERE}/test_failing_disk.py::test_after_a_failed_sync_nothing_is_taken_until_a_restart",
    ),
    Fault(
        "a full disk is acknowledged", f"{NODE}/committer.py",
        "return [], [self._failed(error, len(jobs))] * len(jobs)",
        "self._failed(error, len(jobs)); return [], outcomes",
        f"{HERE}/test_failing_disk.py::test_a_full_disk_refuses_and_takes_again_as_soon_as_there_is_space",
    ),
    Fault(
        "records are not checked", f"{NODE}/files.py",
        "intact = checksum(entry) == row[7]", "intact = True",
        f"{HERE}/test_damage.py",
    ),
    Fault(
        "the structure is not checked", f"{NODE}/integrity_check.py",
        'if found != "ok":', "if False:",
        f"{HERE}/test_damage.py",
    ),
    Fault(
        "what stands behind a damage is cut off", f"{NODE}/wal_check.py",
        "if taken < frames.count and frames.commit_stands_behind(taken):", "if False:",
        f"{HERE}/test_write_ahead_log.py",
    ),
    Fault(
        "every torn end is taken for a damage", f"{NODE}/wal_check.py",
        "return next(ends, None) is not None and any(self._is_complete(number) for number in ends)",
        "return next(ends, None) is not None",
        f"{HERE}/test_write_ahead_log.py",
    ),
    Fault(
        "an expression may search for ever", f"{NODE}/filtering.py",
        "self._within = within if _can_be_interrupted() else _without_end", "self._within = _without_end",
        f"{HERE}/test_filters.py",
    ),
    Fault(
        "two nodes share a directory", f"{NODE}/files.py",
        "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass",
        "tests/e2e/test_bad_starts.py::test_a_second_node_on_one_directory",
    ),
    Fault(
        "repeated events are written again", f"{NODE}/writer.py",
        "return self._repeated_anywhere(head, retention, events)", "return None",
        f"{THERE}/test_client_streams.py::TestAppending",
    ),
    Fault(
        "a repeat is not compared", f"{NODE}/writer.py",
        "len(rows) == len(events) and all(same)", "len(rows) == len(events)",
        f"{THERE}/test_client_streams.py::TestAppending",
    ),
    Fault(
        "a version beyond the end is taken", f"{NODE}/writer.py",
        "if expected > head.last:", "if expected > head.last + 1:",
        f"{THERE}/test_client_streams.py::TestAppending",
    ),
    Fault(
        "a revived stream shows what was deleted", f"{NODE}/writer.py",
        "self._truncate(stream, retention, first)", "self._truncate(stream, retention, 0)",
        f"{THERE}/test_client_streams.py::TestRemoving",
    ),
    Fault(
        "a stream is looked up wrongly after a restart", f"{NODE}/stream_heads.py",
        "self._heads[name] = self._head_of(found[name]) if name in found else Head(None, -1)",
        "self._heads[name] = Head(found.get(name), -1)",
        f"{HERE}/test_failing_disk.py::test_a_torn_tail_is_recovered_to_the_last_whole_commit",
    ),
    Fault(
        "a name that no index vouches for is believed", f"{NODE}/stream_index.py",
        "if checksum != _checksum(number, name):", "if False:",
        f"{HERE}/test_names.py",
    ),
    Fault(
        "names that are not indexed yet are lost by a restart", f"{NODE}/stream_index.py",
        "self._newest[name.decode()] = number", "pass",
        f"{HERE}/test_names.py",
    ),
    Fault(
        "an append may be of any size", f"{NODE}/batches.py",
        "if self._size > MAX_BYTES:", "if False:",
        f"{HERE}/test_wire.py {THERE}/test_client_streams.py::TestAppending",
    ),
    Fault(
        "an append is answered twice", f"{NODE}/batches.py",
        "if self._open.get(key) is batch:\n            del self._open[key]",
        "if True:\n            self._open.pop(key, None)",
        f"{HERE}/test_wire.py",
    ),
    Fault(
        "a subscription begins one too early", f"{NODE}/reading.py",
        "page = self._log.stream_page(stream, at + 1,", "page = self._log.stream_page(stream, max(at, 0),",
        f"{THERE}/test_client_subscriptions.py::TestFollowingAStream",
    ),
    Fault(
        "a follower jumps over what it has not looked at", f"{NODE}/live_feed.py",
        "if entry.position != self.at + 1 or self._look(entry):", "if self._look(entry):",
        f"{HERE}/test_following.py",
    ),
    Fault(
        "a limit hides nothing", f"{NODE}/records.py",
        "low = max(low, last - self.max_count + 1)", "pass",
        f"{THERE}/test_client_streams.py::TestMetadata",
    ),
    Fault(
        "an expression has to match from the start", f"{NODE}/filtering.py",
        "_compiled(regex, self._within).search", "_compiled(regex, self._within).match",
        f"{HERE}/test_streams.py::TestReading {HERE}/test_wire.py {THERE}/test_client_subscriptions.py",
    ),
    Fault(
        "a name that is not ASCII hangs its caller", f"{NODE}/errors.py",
        "printable(shortened(str(v), MAX_OF_TRAILER))", "shortened(str(v), MAX_OF_TRAILER)",
        f"{HERE}/test_odd_content.py",
    ),
    Fault(
        "what a lost consumer held is forgotten", f"{NODE}/persistent/group.py",
        "item.retries += 1\n            self._again(item)\n        self._wake.set()",
        "item.retries += 1\n        self._wake.set()",
        f"{THERE}/test_client_subscriptions.py::TestConsuming",
    ),
    Fault(
        "the checkpoint passes what is in flight", f"{NODE}/persistent/group.py",
        "place = min((order for order in waiting if order >= 0), default=end) - 1", "place = end - 1",
        f"{HERE}/test_persistent.py::test_a_killed_node_goes_on_after_the_last_checkpoint",
    ),
    Fault(
        "replayed events are lost by a kill", f"{NODE}/persistent/replay.py",
        "self._kept = self._resume_at = replayed", "self._kept = self._resume_at = None",
        f"{HERE}/test_persistent.py::test_what_was_parked_and_delivered_again_is_not_lost_by_a_kill",
    ),
    Fault(
        "links are added twice", f"{NODE}/projections/running.py",
        "for entry in page if entry.position > self.place.added", "for entry in page",
        f"{HERE}/test_projections.py",
    ),
]  # fmt: skip


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The code of the node and its tests, to be spoilt; all else as it is."""
    for entry in ROOT.iterdir():
        if entry.name in {"embedded", "tests"}:
            shutil.copytree(entry, tmp_path / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


def run(copied: Path, tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
    return subprocess.run(command, cwd=copied, capture_output=True, text=True, timeout=WITHIN, check=False)


def test_every_fault_has_its_place_and_its_tests() -> None:
    for fault in FAULTS:
        assert (ROOT / fault.file).read_text().count(fault.right) == 1, f"{fault.what}: the place is no longer there"
        for test in fault.found_by.split():
            path, *names = test.split("::")
            assert all(name in (ROOT / path).read_text() for name in names), f"{fault.what}: {test} is no longer there"


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_found(copied: Path, fault: Fault) -> None:
    file = copied / fault.file
    code = file.read_text()
    file.write_text(code.replace(fault.right, fault.wrong))
    done = run(copied, fault.found_by)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout[-2_000:]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_without_a_fault_a_copy_is_green(copied: Path) -> None:
    done = run(
        copied, f"{HERE}/test_damage.py {HERE}/test_wire.py {HERE}/test_following.py tests/e2e/test_bad_starts.py"
    )
    assert done.returncode == pytest.ExitCode.OK, done.stdout[-2_000:]
