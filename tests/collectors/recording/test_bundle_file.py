"""A bundle comes from somebody else: whatever stands in the file, one clear line, and nothing good is lost."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import FixConfiguration
from collectors.model import WIRE_VERSION, Batch, Origin, Subject, SubjectKind
from collectors.recording.batches import MAGIC, record
from collectors.recording.bundle import FORMAT, SMALL, Bundle
from collectors.wire import encode

START = 1_795_392_000
META: dict[str, Any] = {
    "format": FORMAT,
    "version": 1,
    "cluster": "c",
    "incident": "INC-AAAAAAAA",
    "start_unix": START,
    "end_unix": START + 60,
    "missing": ["the weather"],
    "what a later version says": 1,
}


def batches(count: int = 5) -> bytes:
    node = Subject("c", SubjectKind.NODE, "n")
    made = (
        Batch(WIRE_VERSION, Origin.LIVE, node, "boot", "spool", n, (START + n) * 10**9, (node,)) for n in range(count)
    )
    return MAGIC + b"".join(record(one.sent_ns, encode(one)) for one in made)


def packed(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED, stored: tuple[str, ...] = ("batches.wsb",)):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_STORED if name in stored else packing)
    return out.getvalue()


def sound(**changed: Any) -> dict[str, bytes]:
    return {"batches.wsb": batches(), "meta.json": msgspec.json.encode(META | changed)}


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(FixConfiguration) as caught:
        Bundle(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said and len(said) < 500
    return said


def test_a_sound_one_is_played_as_a_replay_and_says_what_is_missing(tmp_path: Path) -> None:
    bundle = Bundle(written(tmp_path, packed(sound())))

    assert [(b.sequence, b.origin) for _, b in bundle.play()] == [(n, Origin.REPLAY) for n in range(5)]
    assert [(b.sequence, b.origin) for _, b in bundle.play()] == [(n, Origin.REPLAY) for n in range(5)]
    assert (bundle.incident, bundle.missing, bundle.small("inventory.csv")) == ("INC-AAAAAAAA", ["the weather"], None)


@given(cut=st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_file_cut_anywhere_is_said_to_be_cut(tmp_path_factory: pytest.TempPathFactory, cut: float) -> None:
    whole = packed(sound())
    path = written(tmp_path_factory.mktemp("cut"), whole[: int(cut * len(whole))])

    assert "is cut" in (said := refused(path)) or "is no bundle" in said


@given(data=st.data())
def test_a_file_with_any_byte_changed_is_refused_or_played_as_far_as_it_holds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(packed(sound()))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    path = written(tmp_path_factory.mktemp("flip"), bytes(whole))

    try:
        bundle = Bundle(path)
        played = [one.sequence for _, one in bundle.play()]
    except FixConfiguration as error:
        assert "\n" not in str(error)
    else:
        assert set(played) <= set(range(5))


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch /tmp/watchstander-was-here",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(pickle.dumps(Bomb()), "is a pickle, which is a program: never opened", id="pickle"),
        pytest.param(packed({**sound(), "archive/data.pkl": b"\x80\x04."}), "'archive/data.pkl'", id="torch file"),
        pytest.param(packed({**sound(), "../../etc/cron.d/x": b"x"}), "'../../etc/cron.d/x'", id="path upwards"),
        pytest.param(packed({**sound(), "/etc/passwd": b"x"}), "'/etc/passwd', which no bundle has", id="path of root"),
        pytest.param(packed({"meta.json": b"{}"}), "holds no batches.wsb", id="no batches"),
        pytest.param(packed({"batches.wsb": batches()}), "holds no meta.json", id="no meta"),
        pytest.param(packed(sound(), stored=()), "batches.wsb is compressed", id="batches compressed"),
        pytest.param(packed(sound(), zipfile.ZIP_LZMA), "packed in a way that no bundle is", id="lzma"),
        pytest.param(
            packed({**sound(), "incident.json": bytes(SMALL["incident.json"] + 1)}), "that it unpacks to", id="bomb"
        ),
        pytest.param(packed({**sound(), **{f"{n}": b"" for n in range(5000)}}), "5002 members", id="5000 members"),
        pytest.param(packed(sound(format="recipe")), "does not say 'watchstander bundle'", id="another format"),
        pytest.param(packed(sound(version=2)), "version 2, this reads 1; upgrade watchstander", id="newer"),
        pytest.param(packed(sound(version=0)), "version 0, this reads 1; upgrade the bundle", id="older"),
        pytest.param(packed({**sound(), "meta.json": b"[" * 100_000}), "meta.json cannot be read", id="deep meta"),
        pytest.param(packed({**sound(), "meta.json": b"\xff"}), "meta.json cannot be read", id="meta no text"),
        pytest.param(packed(sound(end_unix=START + 40 * 86_400)), "40 days apart", id="forty days"),
        pytest.param(packed(sound(end_unix=1e300)), "start_unix before end_unix", id="end of time"),
        pytest.param(packed(sound(cluster="")), "needs a cluster's name", id="no cluster"),
        pytest.param(b"\x1f\x8b\x08\x00", "does not begin as a zip archive does", id="gzip"),
        pytest.param(b"", "does not begin as a zip archive does", id="empty"),
    ],
)  # fmt: skip
def test_what_is_no_bundle_gets_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(written(tmp_path, content))
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]
    assert not Path("/tmp/watchstander-was-here").exists()


def test_a_member_that_lies_about_its_size_is_not_unpacked_beyond_its_bound(tmp_path: Path) -> None:
    content = bytearray(packed({**sound(), "meta.json": bytes(SMALL["meta.json"] * 4)}))
    true, lie = struct.pack("<L", SMALL["meta.json"] * 4), struct.pack("<L", 100)
    assert content.count(true) == 2
    path = written(tmp_path, bytes(content.replace(true, lie)))

    assert "meta.json" in refused(path)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in (*sound().items(), ("meta.json", b"{}")):
                archive.writestr(name, content)

    assert "holds meta.json twice" in refused(written(tmp_path, out.getvalue()))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(packed(sound()))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1

    assert "encrypted" in refused(written(tmp_path, bytes(content)))


def test_a_batch_that_rots_costs_itself(tmp_path: Path) -> None:
    content = packed(sound())
    at = content.index(MAGIC) + len(batches(3)) - 10
    bundle = Bundle(written(tmp_path, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]))

    assert [one.sequence for _, one in bundle.play()] == [0, 1, 3, 4]
    assert sum(bundle.bad.values()) == 1


def test_a_batch_from_another_century_is_passed_over(tmp_path: Path) -> None:
    node = Subject("c", SubjectKind.NODE, "n")
    late = Batch(WIRE_VERSION, Origin.LIVE, node, "boot", "spool", 9, 7_000_000_000 * 10**9, (node,))
    content = packed({**sound(), "batches.wsb": batches() + record(late.sent_ns, encode(late))})
    bundle = Bundle(written(tmp_path, content))

    assert [one.sequence for _, one in bundle.play()] == [0, 1, 2, 3, 4]
    assert dict(bundle.bad) == {"received outside the time that meta.json names": 1}


def test_what_is_neither_folder_nor_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "neither a folder nor a plain file" in refused(tmp_path / "pipe")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "nowhere.zip")
