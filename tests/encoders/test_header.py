"""Headers that lie: each is refused at once and by name, and nothing but EncoderError ever comes out."""

from __future__ import annotations

import json
import struct
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import write_raw, write_sparse
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tagflow.errors import EncoderError
from tagflow.files.safetensors import LONGEST_NAME, MOST_TENSORS, read_header, read_whole_header


def entry(begin, end, shape=None, dtype="U8"):
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def refusal(path):
    start = time.process_time()  # its own work, however busy the machine is
    with pytest.raises(EncoderError) as caught:
        read_whole_header(path)
    assert time.process_time() - start < 10  # what grows with the square of a lie takes minutes
    assert str(path) in caught.value.message
    assert len(caught.value.message) < len(str(path)) + 400
    assert caught.value.cure
    return caught.value.message


def test_what_the_library_writes_is_read(tmp_path):
    path = tmp_path / "sound.safetensors"
    arrays = {"b": np.ones((2, 3), np.float16), "a": np.zeros((4,), np.float32), "none": np.zeros((0, 5))}
    save_file({**arrays, "one": np.array(1, np.float32)}, path, {"modelspec.title": "x"})
    header = read_whole_header(path)
    assert header.metadata == {"modelspec.title": "x"} and header.size == path.stat().st_size
    assert read_header(path) == header.entries
    raw, seen = path.read_bytes(), header.entries["b"]
    assert (seen.dtype, seen.shape) == ("F16", (2, 3)) and raw[seen.begin : seen.end] == arrays["b"].tobytes()
    assert header.entries["one"].shape == ()


@pytest.mark.parametrize(
    ("header", "data", "word"),
    [
        ({"a": entry(0, 4), "b": entry(2, 6)}, 6, "'b' and 'a' overlap"),
        ({"a": entry(0, 4), "b": entry(0, 4)}, 4, "overlap"),
        ({"a": entry(0, 4), "b": entry(6, 8)}, 8, "2 bytes before 'b' belong to no tensor"),
        ({"a": entry(2, 4)}, 4, "2 bytes before 'a'"),
        ({"a": entry(0, 4)}, 7, "last 3 bytes belong to no tensor"),
        ({"a": entry(0, 4)}, 3, "truncated"),
        ({"a": entry(0, 4, [-4])}, 4, "damaged"),
        ({"a": entry(-4, 0, [4])}, 4, "damaged"),
        ({"a": entry(0, 4, [2**63])}, 4, "damaged"),
        ({"a": entry(0, 2**63, [1])}, 4, "damaged"),
        ({"a": entry(0, 2**62)}, 4, "truncated"),
        ({"a": entry(0, 4, [2**62] * 10)}, 4, "not those of U8"),
        ({"a": entry(0, 0, [0] + [2**62] * 500)}, 0, "damaged"),
        ({"a": entry(0, 4, [4.0])}, 4, "damaged"),
        ({"a": entry(0, 4, [True, 4])}, 4, "damaged"),
        ({"a": entry(0, 4, [float("nan")])}, 4, "damaged"),
        ({"a": entry(0, 4, "4")}, 4, "damaged"),
        ({"a": entry(0, 4, dtype="F99")}, 4, "'F99'"),
        ({"a": entry(0, 4, dtype="x" * 10**6)}, 4, "does not have"),
        ({"a": entry(0, 4, dtype=["U8"])}, 4, "damaged"),
        ({"a": entry(0, 3, [3], "F4")}, 3, "not those of F4"),
        ({"x" * (LONGEST_NAME + 1): entry(0, 4)}, 4, "damaged"),
        ({"a": entry(0, 4), "__metadata__": {"n": 1}}, 4, "metadata"),
        ({"a": entry(0, 4), "__metadata__": "text"}, 4, "metadata"),
        ({"__metadata__": {}}, 0, "no tensor"),
        ({str(i): entry(0, 0) for i in range(MOST_TENSORS + 1)}, 0, "more than 20,000 tensors"),
        (b' {"a": ' + json.dumps(entry(0, 4)).encode() + b"}", 4, "no JSON object"),
        (b'{"a": 1, "a": 2}', 4, "names 'a' twice"),
        (b'{"a": {"dtype": "U8", "dtype": "F32", "shape": [4], "data_offsets": [0, 4]}}', 4, "'dtype' twice"),
        (b'{"a": ' + b"9" * 100_000 + b"}", 4, "no JSON"),
        (b'{"a": ' * 50_000, 4, "no JSON"),
        (b'{"a\xff": 1}', 4, "no JSON"),
        (json.dumps({"a": entry(0, 4)}).encode("utf-16"), 4, "no JSON"),
        (b'{"a": [' + b"{}," * 3_000_000 + b"1]}", 4, "damaged"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_headers_that_lie(tmp_path, header, data, word):
    assert word in refusal(write_raw(tmp_path / "evil.safetensors", header, bytes(data)))


LOGIN = ("log in there", "API key (Civitai)", "token (Hugging Face)")


@pytest.mark.parametrize(
    ("content", "what", "cure"),
    [
        (b'{"error":"Unauthorized","message":"Only signed-in users may download this"}',
         "an answer in JSON, whatever its name says: {\"error\":\"Unauthorized\"", LOGIN),
        (b'{"data":{"reason":"early access"}}', "an answer in JSON", LOGIN),
        (b'\xef\xbb\xbf\n {"error": "gone"}', "an answer in JSON", LOGIN),
        (b"Invalid username or password.", "a text, whatever its name says: Invalid username", LOGIN),
        ("Zugriff verweigert: bitte anmelden, Gr\u00fc\u00dfe".encode(), "a text", LOGIN),
        (b"<!DOCTYPE html><html><head><title>Just a moment...</title></head>", "a web page", LOGIN),
        (b"\n\n  <html>" + b"<p>sign in</p>" * 2000, "a web page", LOGIN),
        (b'<?xml version="1.0"?><Error><Code>ExpiredToken</Code></Error>', "link that has", ("new link",)),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 6938078334\n",
         "a Git LFS pointer", ("git lfs pull",)),
        (b"/annex/objects/MD5E-s69--1a.safetensors\n", "a git-annex pointer", ("git annex get",)),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image", ("not its preview",)),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image", ("not its preview",)),
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "a 7z archive", ("unpack",)),
        (b"PK\x03\x04" + bytes(100), "a PyTorch archive", ("tagflow never unpickles",)),
        (bytes(5000), "begins with zeros: a download", ("download or copy",)),
        (b"", "has only 0 bytes", ("download or copy",)),
        (bytes(range(1, 200)), "declares a header of", ("the .safetensors file",)),
    ],
)  # fmt: skip
def test_what_was_saved_in_place_of_a_model_is_named_with_the_cure_that_fits(tmp_path, content, what, cure):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(EncoderError) as caught:
        read_whole_header(path)
    assert what in caught.value.message and len(caught.value.message) < len(str(path)) + 300
    for word in cure:
        assert word in caught.value.cure
    assert "delete" not in caught.value.cure and "remove" not in caught.value.cure
    assert path.read_bytes() == content


def test_a_header_whose_length_looks_like_a_pickle(tmp_path):
    """One length of 2,048 begins with a pickle's two bytes; the file is sound all the same."""
    header = json.dumps({"a": entry(0, 4)}).encode()
    for length in (0x0280, 0x40480, 0x3C, 0x013C):
        path = write_raw(tmp_path / "sound.safetensors", header.ljust(length), bytes(4))
        assert list(read_header(path)) == ["a"]


def test_seven_gigabytes_that_are_wrong_are_refused_at_once(tmp_path):
    path = tmp_path / "large.safetensors"
    write_sparse(path, {"a": ("F16", (3_500_000_000,))})
    size = path.stat().st_size
    if path.stat().st_blocks * 512 > 10**6:
        pytest.skip("this file system has no sparse files")
    assert size > 7 * 10**9 and list(read_header(path)) == ["a"]
    with path.open("r+b") as file:
        file.truncate(size - 1)
    assert "its last 1 bytes are missing, from within 'a' on" in refusal(path)
    with path.open("r+b") as file:
        file.truncate(size + 1)
    assert "last 1 bytes" in refusal(path)
    with path.open("r+b") as file:
        file.write(struct.pack("<Q", 2**63))
    assert "9,223,372,036,854,775,808" in refusal(path)
    with path.open("r+b") as file:
        file.write(struct.pack("<Q", 6 * 10**9))
    assert "declares a header" in refusal(path)
    with path.open("r+b") as file:
        file.write(b"\x80\x02\x8a\x0alF\xf9\x9c\x6a")  # how torch's old files begin
    assert "pickle" in refusal(path)


small = st.one_of(st.integers(-3, 12), st.sampled_from([2**31, 2**63, 2**64, 1.5, None, "1", True]))
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.one_of(st.sampled_from(["U8", "F16", "F4", "F99"]), small),
        "shape": st.one_of(st.lists(small, max_size=3), small),
        "data_offsets": st.one_of(st.lists(small, max_size=3), small),
        "more": small,
    },
)
headers = st.dictionaries(
    st.one_of(st.text(max_size=5), st.just("__metadata__")), st.one_of(entries, small), max_size=4
)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def accepted(path):
    try:
        return read_whole_header(path)
    except EncoderError:
        return None


@relaxed
@given(header=headers, data=st.binary(max_size=12))
def test_any_json_is_read_or_refused(tmp_path, header, data):
    found = accepted(write_raw(tmp_path / "any.safetensors", header, data))
    if found is not None:
        assert sum(seen.end - seen.begin for seen in found.entries.values()) == len(data)


@relaxed
@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(tmp_path, content):
    path = tmp_path / "any.safetensors"
    path.write_bytes(content)
    accepted(path)


@relaxed
@given(
    spans=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=4),
    data=st.binary(max_size=8),
)
def test_offsets_are_judged_as_the_library_judges_them(tmp_path, spans, data):
    header = {str(i): entry(b, b + n) for i, (b, n) in enumerate(spans)}
    path = write_raw(tmp_path / "any.safetensors", header, data)
    try:
        with safe_open(path, framework="np"):
            library = True
    except SafetensorError:
        library = False
    assert (accepted(path) is not None) == library
