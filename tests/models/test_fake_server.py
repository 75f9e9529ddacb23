"""What the fake server promises, over a plain HTTP client: the protocol, its faults, and that it counts truly."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from recension.errors import UsageError
from recension.models.fake_answers import source_of, written
from recension.models.fake_faults import ANSWERED, KINDS, TRANSIENT, Faults, read_shares
from recension.models.fake_server import FakeServer

SOURCE = (
    "The mill stood by the river. The miller, an old man, looked at the water. It told him what the day would bring. "
    * 4
)
PROMPT = f"Rewrite the text.\n\n<source>\n{SOURCE}\n</source>\n"
SCHEMA = {
    "type": "object",
    "properties": {
        "genre_1": {"type": "string", "maxLength": 30},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "fit": {"enum": ["yes", "no"]},
        "claims": {"type": "array", "items": {"$ref": "#/$defs/claim"}, "minItems": 2, "maxItems": 3},
    },
    "required": ["genre_1", "score", "fit", "claims"],
    "$defs": {
        "claim": {"type": "object", "properties": {"text": {"type": "string", "minLength": 5}}, "required": ["text"]}
    },
}


def chat(content: str = PROMPT, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def ask(server: FakeServer, body: Any, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, Any, Any]:
    """Status, parsed body and headers of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read()), reply.headers
    finally:
        connection.close()


def text_of(reply: tuple[int, Any, Any]) -> str:
    return reply[1]["choices"][0]["message"]["content"]


def until(server: FakeServer, wanted: Any) -> None:
    """Wait for what the server learns a moment after the client has done it."""
    for _ in range(200):
        if wanted(server.counts):
            return
        time.sleep(0.01)
    raise AssertionError(server.counts)


@pytest.fixture(scope="module")
def server():
    with FakeServer(context=4000) as running:
        yield running


def test_a_chat_is_answered_the_same_way_every_time(server):
    status, body, _ = ask(server, chat(seed=1))
    assert status == 200
    assert body["model"] == "m"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert body["id"] and body["created"] > 1.7e9
    text = body["choices"][0]["message"]["content"]
    assert text == text_of(ask(server, chat(seed=1))) == written(chat(seed=1))
    assert "river" in text and text != SOURCE.strip()
    assert text != text_of(ask(server, chat(seed=2)))
    assert text == text_of(ask(server, chat(seed=1), Connection="close"))
    several = ask(server, chat(n=3))[1]["choices"]
    assert [choice["index"] for choice in several] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in several}) == 3


def test_stop_and_the_most_tokens_cut_the_answer(server):
    short = ask(server, chat(max_tokens=5))[1]
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 5
    assert "river" not in text_of(ask(server, chat(stop=["river"])))
    plain = ask(server, {"prompt": PROMPT, "max_tokens": 50}, "/v1/completions")[1]
    assert plain["choices"][0]["text"]
    assert plain["object"] == "text_completion"


def test_json_fits_the_schema_that_is_asked_for(server):
    for seed in range(5):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
        found = json.loads(text_of(ask(server, chat(seed=seed, response_format=form))))
        assert set(found) == set(SCHEMA["required"])
        assert 0 < len(found["genre_1"]) <= 30
        assert found["score"] in range(1, 6)
        assert found["fit"] in ("yes", "no")
        assert 2 <= len(found["claims"]) <= 3
        assert all(len(claim["text"]) >= 5 for claim in found["claims"])
    described = text_of(ask(server, chat(f"Answer as JSON that fits {json.dumps(SCHEMA)}, please.")))
    assert '"genre_1"' in described
    with FakeServer(schemas=False) as older:
        assert ask(older, chat(response_format=form))[0] == 400


def test_the_source_is_what_stands_between_fences():
    assert source_of("Do.\n<text id=3>\nThe <b>bold</b> one.\n</text>\nNow.") == "The <b>bold</b> one."
    assert source_of("Do.\n```text\nThe one.\n```\nNow or never, whatever.") == "The one."
    assert source_of("Do it.\n\nThe longest paragraph of all.\n\nNow.") == "The longest paragraph of all."
    assert source_of("<a>\n" * 2000) != ""


def test_a_request_that_cannot_be_answered_is_told_why(server):
    status, body, _ = ask(server, chat("x" * 16_000))
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    assert ask(server, chat(max_tokens=4000))[1]["error"]["code"] == "context_length_exceeded"
    assert ask(server, {"model": "m"})[0] == 400
    assert ask(server, chat(stream=True))[0] == 400
    assert ask(server, chat(), "/v1/elsewhere")[0] == 404
    with FakeServer(key="sk-1") as closed:
        status, body, _ = ask(closed, chat(), Authorization="Bearer sk-2")
        assert status == 401
        assert "sk-2" in body["error"]["message"]
        assert ask(closed, chat(), Authorization="Bearer sk-1")[0] == 200


def meet(server: FakeServer, body: Any) -> str:
    """What one attempt comes to, in a word or two."""
    broken = {
        ConnectionResetError: "reset",
        ConnectionRefusedError: "refused connection",
        http.client.IncompleteRead: "cut",
        http.client.RemoteDisconnected: "disconnected",
    }
    try:
        return told(*ask(server, body))
    except json.JSONDecodeError as error:
        return "half" if error.doc.startswith("{") else "html"
    except tuple(broken) as error:
        return broken[type(error)]


def told(status: int, found: Any, headers: Any) -> str:
    if status != 200:
        return f"{status} after {headers['Retry-After']}" if "Retry-After" in headers else str(status)
    if "choices" not in found:
        return "no choices"
    choice = found["choices"][0]
    if choice["message"]["refusal"] or choice["finish_reason"] == "content_filter":
        return "refusal"
    size = len(json.dumps(found))
    return f"{choice['finish_reason']} {'big' if size > 1 << 20 else 'ok' if choice['message']['content'] else 'empty'}"


def test_every_fault_is_what_its_name_says():
    expected = {
        **{"429": "429", "429-retry-after": "429 after 0.05", "500": "500", "503": "503", "slow": "stop ok"},
        **{"cut": "cut", "half-json": "half", "wrong-schema": "no choices", "wrong-type": "html", "reset": "reset"},
        **{"empty": "stop empty", "truncated": "length ok", "refused": "refusal", "rejected": "400"},
        **{"huge": "stop big", "bulky": "stop big", "duplicate": "stop ok"},
    }
    kinds = list(expected)
    assert {*kinds, "hang", "deaf"} == {*KINDS}
    with FakeServer(faults=Faults(script=dict(enumerate(kinds))), slow=0.02) as server:
        assert {kind: meet(server, chat()) for kind in kinds} == expected
        counts = server.counts
        assert counts.faults == dict.fromkeys(kinds, 1)
        assert counts.completed == len(ANSWERED)
        assert counts.failed == len(kinds) - len(ANSWERED)
        assert counts.unique == 1
        assert 0 < counts.seconds < 60
        assert list(counts.by_request.values()) == [len(ANSWERED)]
    with pytest.raises(UsageError, match="429-retry-after"):
        Faults({"tired": 0.1})


def test_the_second_copy_of_an_answer_lies_on_the_connection():
    faults = Faults(script={0: "duplicate"})
    with (
        FakeServer(faults=faults, answer=lambda body: "one") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection,
    ):
        body = json.dumps(chat()).encode()
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        got = b""
        while got.count(b'"content":"one"') < 2:
            got += connection.recv(65536)
        first, _, second = got.removeprefix(b"HTTP/1.1").partition(b"HTTP/1.1")
        assert first == second


def test_a_client_that_goes_away_is_counted_as_lost():
    with FakeServer(faults=Faults(script={0: "hang"})) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.05)
        connection.request("POST", "/v1/chat/completions", json.dumps(chat()))
        with pytest.raises(TimeoutError):
            connection.getresponse()
        assert server.counts.in_flight == 1
        connection.close()
        until(server, lambda counts: counts.lost == 1)
        assert (server.counts.in_flight, server.counts.completed) == (0, 0)


def test_a_deaf_server_refuses_and_comes_back():
    with FakeServer(faults=Faults(script={0: "deaf"}), deaf=0.1) as server:
        assert meet(server, chat()) in ("disconnected", "reset")
        seen = set()
        for _ in range(100):
            seen.add(meet(server, chat()))
            if "stop ok" in seen:
                break
            time.sleep(0.01)
        assert seen == {"refused connection", "stop ok"}


def test_faults_are_a_function_of_request_and_attempt():
    shares = {**dict.fromkeys(TRANSIENT, 0.06), "empty": 0.2}
    faults = Faults(shares, worst=4, seed=7)
    requests = [bytes([i, j]) for i in range(40) for j in range(10)]
    drawn = {request: [faults.choose(0, request, attempt) for attempt in range(6)] for request in requests}
    assert drawn == {request: [faults.choose(9, request, attempt) for attempt in range(6)] for request in requests}
    # Past its worst attempts, each request has the answer that it always has.
    assert all(found[4] == found[5] and found[4] in ("", "empty") for found in drawn.values())
    assert 0.1 < sum(found[4] == "empty" for found in drawn.values()) / len(drawn) < 0.3
    first = [found[0] for found in drawn.values()]
    assert 0.8 < sum(kind in TRANSIENT for kind in first) / len(first) < 0.9
    assert first != [Faults(shares, worst=4, seed=8).choose(0, request, 0) for request in requests]
    assert sum(read_shares("0.3").values()) == pytest.approx(0.3)
    assert read_shares("429=0.1,cut=0.05") == {"429": 0.1, "cut": 0.05}


def test_an_idempotency_key_is_paid_once():
    with FakeServer(idempotent=True) as server:
        first, again = (ask(server, chat(), **{"Idempotency-Key": "a"}) for _ in range(2))
        assert text_of(first) == text_of(again)
        assert ask(server, chat("another"), **{"Idempotency-Key": "a"})[0] == 422
        ask(server, chat())
        assert (server.counts.completed, server.counts.replayed) == (2, 1)


def test_more_requests_than_there_is_room_for_are_sent_back():
    with FakeServer(room=2, latency=0.2) as server:
        asking = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=5) for _ in range(4)]
        for number, connection in enumerate(asking):
            connection.request("POST", "/v1/chat/completions", json.dumps(chat(f"text {number}")))
        assert sorted(connection.getresponse().status for connection in asking) == [200, 200, 429, 429]
        for connection in asking:
            connection.close()
        assert (server.counts.most_in_flight, server.counts.faults) == (2, {"room": 2})


def test_as_a_process_it_prints_its_url_and_outlives_its_clients(tmp_path):
    log = tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "recension.models.fake_server", "--text", "hello", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = urlsplit(process.stdout.readline().strip())
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=5)
            for _ in range(2):  # kept alive
                connection.request("POST", "/v1/chat/completions", json.dumps(chat()))
                assert json.loads(connection.getresponse().read())["choices"][0]["message"]["content"] == "hello"
            connection.request("GET", "/counts")
            told = json.loads(connection.getresponse().read())
            connection.close()
            assert (told["completed"], told["unique"], told["connections"]) == (2, 1, 1)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert [json.loads(line)["outcome"] for line in log.read_text().splitlines()] == ["answered", "answered"]
