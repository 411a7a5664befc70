"""A server on loopback that speaks the OpenAI protocol, keeps its own books, and misbehaves when told to."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import http.server
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable

PROMPT_USD, COMPLETION_USD = 1e-6, 2e-6
"""A token; the price file of the tests says the same."""
PRICES = "[test-chat]\nprompt = 1.0\ncompletion = 2.0\n\n[test-embed]\nprompt = 1.0\ncompletion = 0.0\n"
RETRY_AFTER = 0.15
SILENT = ("hang", "reset", "cut", "half_json", "drip")
"""No whole answer comes: whether the server charges for them is its own affair (charges_silent)."""
FAULTS = ("429", "429_wait", "500", "no_choice", *SILENT)

Fault = Callable[[int, dict, int], str | None]
"""Number of the request, its body, how often this body came before -> the name of a fault, or None."""


def in_turn(*faults: str | None) -> Fault:
    """These for the first requests, none for the rest."""
    return lambda number, body, before: faults[number] if number < len(faults) else None


def always(fault: str) -> Fault:
    return lambda number, body, before: fault


def at_random(share: float, seed: int, faults: Iterable[str] = FAULTS) -> Fault:
    chooser, names = random.Random(seed), list(faults)
    return lambda number, body, before: chooser.choice(names) if chooser.random() < share else None


def told(messages: list[dict]) -> str:
    """What the server answers to these messages: their digest, so that an answer is known to be of its request."""
    return hashlib.sha256(json.dumps(messages[:2]).encode()).hexdigest()[:16]


class MisbehavingServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    """together: the first so many requests are answered when all of them are there. silence: seconds until a server
    that hangs or drips closes the connection. answered: when each answer began to leave.
    """

    def __init__(
        self,
        fault: Fault | None = None,
        charges_silent: bool = False,
        delay: float = 0.0,
        together: int = 0,
        silence: float = 5.0,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault, self.charges_silent, self.delay = fault or in_turn(), charges_silent, delay
        self.together, self.silence = together, silence
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.received: list[tuple[float, str, dict]] = []
        self.answered: list[float] = []
        self.charged: collections.Counter[str] = collections.Counter()
        self.charged_usd, self.under_way, self.most_under_way = 0.0, 0, 0
        self.keys: set[str] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> MisbehavingServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        """Broken pipes are this server's daily bread."""

    def charge(self, digest: str, usd: float) -> None:
        with self.lock:
            self.charged[digest] += 1
            self.charged_usd += usd


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body leave in two writes, which otherwise wait for each other.
    disable_nagle_algorithm = True
    server: MisbehavingServer

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body, digest = json.loads(raw), hashlib.sha256(raw).hexdigest()
        server = self.server
        with server.lock:
            number, before = len(server.received), sum(1 for _, other, _ in server.received if other == digest)
            server.received.append((time.monotonic(), digest, body))
            server.keys.add(self.headers.get("Authorization", ""))
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            fault = server.fault(number, body, before)
        server.stopping.wait(server.delay)
        while len(server.received) < server.together and not server.stopping.wait(0.005):
            pass
        # Before the answer leaves: its client may ask again at once.
        with server.lock:
            server.under_way -= 1
            server.answered.append(time.monotonic())
        self._answer(body, digest, fault)

    def _answer(self, body: dict, digest: str, fault: str | None) -> None:
        answer, usd = _embedded(body) if "input" in body else _told(body, fault)
        if fault in ("429", "429_wait"):
            self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": RETRY_AFTER} if "_" in fault else {})
        elif fault == "429_tomorrow":
            self._send(429, {"error": {"message": "come tomorrow"}}, {"Retry-After": 86400})
        elif fault == "quota":
            self._send(429, {"error": {"message": "no money", "code": "insufficient_quota"}})
        elif fault in ("400", "401", "404", "500"):
            self._send(int(fault), {"error": {"message": f"no: {self.headers['Authorization']}"}})
        elif fault == "no_choice":
            self._send(200, {**answer, "choices": [], "data": []})
        elif fault in SILENT:
            if self.server.charges_silent:
                self.server.charge(digest, usd)
            self._fall_silent(fault, json.dumps(answer).encode())
        elif not self._gone():
            self.server.charge(digest, usd)
            echoed = {"X-Echo": self.headers["Authorization"]} if fault == "echo" else {}
            self._send(200, answer, echoed)

    def _fall_silent(self, fault: str, raw: bytes) -> None:
        if fault == "hang":
            self.server.stopping.wait(self.server.silence)
        elif fault == "reset":
            # Closing with a time to linger of zero sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault == "half_json":
            self._raw(200, raw[: len(raw) // 2], len(raw) // 2)
        elif fault == "cut":
            self._raw(200, raw[: len(raw) // 2], len(raw))
        else:
            self._raw(200, b"", len(raw))
            until = time.monotonic() + self.server.silence
            for place in range(len(raw)):
                if self.server.stopping.wait(0.05) or time.monotonic() > until or self._gone():
                    break
                self.wfile.write(raw[place : place + 1])
        self.close_connection = fault != "half_json"

    def _send(self, status: int, answer: dict, headers: dict = {}) -> None:  # noqa: B006
        raw = json.dumps(answer).encode()
        self._raw(status, raw, len(raw), headers)

    def _raw(self, status: int, raw: bytes, length: int, headers: dict = {}) -> None:  # noqa: B006
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": length, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(raw)

    def _gone(self) -> bool:
        """Whether the client has closed: nobody is charged for what nobody waits for."""
        with contextlib.suppress(BlockingIOError):
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        return False

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def told_text(body: dict) -> str:
    """The text of a right answer."""
    return json.dumps({"answer": told(body["messages"])})


def _told(body: dict, fault: str | None) -> tuple[dict, float]:
    text = told_text(body)
    texts = {"wrong_schema": '{"other": 1}', "half_answer": text[:-4], "empty": "", "echo": text}
    text = texts.get(fault or "", text)
    if fault == "wrong_once" and len(body["messages"]) < 3:
        text = '{"other": 1}'
    prompt = sum(len(message["content"]) for message in body["messages"]) // 4 + 10
    completion = len(text) // 3 + 1
    usage: object = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    wrong = {"usage_missing": None, "usage_negative": {"prompt_tokens": -5, "completion_tokens": -7}}
    wrong |= {"usage_absurd": {"prompt_tokens": 10**12, "completion_tokens": 10**12}}
    wrong |= {"usage_words": {"prompt_tokens": "many", "completion_tokens": 1.5}, "usage_list": [1, 2]}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": "I will not" if fault == "refusal" else None},
        "finish_reason": "length" if fault == "length" else "stop",
    }
    answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
    answer["usage"] = wrong.get(fault or "", usage)
    return answer, prompt * PROMPT_USD + completion * COMPLETION_USD


def _embedded(body: dict) -> tuple[dict, float]:
    width = body.get("dimensions", 8)
    rows = [[float(len(text)), *([1.0] * (width - 1))] for text in body["input"]]
    tokens = sum(len(text) // 4 + 1 for text in body["input"])
    data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)]
    # Servers may answer in any order.
    answer = {"object": "list", "data": data[::-1], "model": body["model"], "usage": {"prompt_tokens": tokens}}
    return answer, tokens * PROMPT_USD
