"""The external processor answers the protocol's messages over a real channel, and fails open."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.decision_log import DecisionLog
from pointsman.router import Router

grpc = pytest.importorskip("grpc")
pytest.importorskip("envoy.service.ext_proc.v3.external_processor_pb2")

from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service  # noqa: E402

from pointsman.gateways.envoy.__main__ import main  # noqa: E402
from pointsman.gateways.envoy.messages import FULL_DUPLEX, PARTIAL, STREAMED, UNSEEN, pb  # noqa: E402
from pointsman.gateways.envoy.processor import ExternalProcessor, start  # noqa: E402
from pointsman.gateways.envoy.settings import ProcessorSettings  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

BUFFERED = 2
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello, what is the sum?"}]}).encode()


class Talk:
    """One stream, as Envoy opens it."""

    def __init__(self, stub: Any, mode: int = BUFFERED, response_mode: int = UNSEEN) -> None:
        self.call = stub.Process()
        self._first: tuple[int, int] | None = (mode, response_mode)

    async def send(self, **message: Any) -> None:
        one = pb.ProcessingRequest(**message)
        if self._first is not None:
            one.protocol_config.request_body_mode, one.protocol_config.response_body_mode = self._first
            self._first = None
        await self.call.write(one)

    async def get(self) -> Any:
        return await asyncio.wait_for(self.call.read(), 20)

    async def ask(self, **message: Any) -> Any:
        await self.send(**message)
        return await self.get()

    async def end(self) -> None:
        await self.call.done_writing()
        assert await self.get() is grpc.aio.EOF


def head(path: str = "/v1/chat/completions", *, last: bool = False, length: int | None = None) -> Any:
    named = {":method": "POST", ":path": path, "x-request-id": "r1"}
    if length is not None:
        named["content-length"] = str(length)
    found = pb.HttpHeaders(end_of_stream=last)
    for name, value in named.items():
        found.headers.headers.add(key=name, raw_value=value.encode())
    return found


def answered(status: int, *, last: bool = False) -> Any:
    found = pb.HttpHeaders(end_of_stream=last)
    found.headers.headers.add(key=":status", raw_value=str(status).encode())
    return found


def body(text: bytes, *, last: bool = True) -> Any:
    return pb.HttpBody(body=text, end_of_stream=last)


def headers_in(common: Any) -> dict[str, str]:
    return {one.header.key: one.header.raw_value.decode() for one in common.header_mutation.set_headers}


@pytest.fixture
def router(tiny_bundle: Path, tmp_path: Path) -> Iterator[Router]:
    one = Router.load(tiny_bundle, log=DecisionLog(tmp_path / "log.jsonl"))
    yield one
    one.close()


def outcomes(tmp_path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == "outcome"]


@asynccontextmanager
async def serving(router: Router, **settings: Any) -> AsyncIterator[tuple[Any, ExternalProcessor]]:
    processor = ExternalProcessor(router, ProcessorSettings(**{"decide_ms": 15_000.0, **settings}))
    server, port = await start(processor, "127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield service.ExternalProcessorStub(channel), processor
    finally:
        await server.stop(None)
        await processor.settle()


def test_headers_body_and_answer_of_one_request(router: Router, tmp_path: Path) -> None:
    async def talk() -> None:
        async with serving(router, rewrite_model=True) as (stub, _):
            one = Talk(stub)
            first = await one.ask(request_headers=head(length=len(BODY)))
            assert first.WhichOneof("response") == "request_headers"
            assert not headers_in(first.request_headers.response)
            common = (await one.ask(request_body=body(BODY))).request_body.response
            expected = router.route("hello, what is the sum?")
            headers = headers_in(common)
            assert headers.pop("x-pointsman-reason") == expected.reason
            changed = BODY.replace(b"auto", expected.model.encode())
            assert headers == {
                "x-ai-eg-model": expected.model,
                "x-pointsman-model": expected.model,
                "x-pointsman-intent": expected.intent,
                "content-length": str(len(changed)),
            }
            assert common.body_mutation.body == changed
            assert common.clear_route_cache
            last = await one.ask(response_headers=answered(200, last=True))
            assert last.WhichOneof("response") == "response_headers"
            await one.end()

    asyncio.run(talk())
    [outcome] = outcomes(tmp_path)
    assert (outcome["request_id"], outcome["ok"], outcome["status"]) == ("r1", True, "ok")


@pytest.mark.parametrize("trailers", [False, True])
def test_full_duplex_holds_the_headers_and_sends_all_back(router: Router, trailers: bool) -> None:
    text = json.dumps({"prompt": "word " * 40_000}).encode()

    async def talk() -> None:
        async with serving(router) as (stub, _):
            one = Talk(stub, FULL_DUPLEX, FULL_DUPLEX)
            await one.send(request_headers=head())
            for start_at in range(0, len(text), 50_000):
                last = not trailers and start_at + 50_000 >= len(text)
                await one.send(request_body=body(text[start_at : start_at + 50_000], last=last))
            if trailers:
                await one.send(request_trailers=pb.HttpTrailers())
            first = await one.get()
            assert headers_in(first.request_headers.response)["x-ai-eg-model"] in router.policy.models
            back, ended = b"", False
            while len(back) < len(text):
                part = (await one.get()).request_body.response.body_mutation.streamed_response
                assert len(part.body) <= 65_536
                back, ended = back + part.body, part.end_of_stream
            assert (back, ended) == (text, not trailers)
            if trailers:
                assert (await one.get()).WhichOneof("response") == "request_trailers"
            await one.ask(response_headers=answered(200))
            part = (await one.ask(response_body=body(b"abc"))).response_body.response.body_mutation.streamed_response
            assert (part.body, part.end_of_stream) == (b"abc", True)
            await one.end()

    asyncio.run(talk())


@pytest.mark.parametrize("mode", [STREAMED, UNSEEN, PARTIAL])
def test_where_the_body_comes_late_the_safe_model_is_set_with_the_headers(router: Router, mode: int) -> None:
    async def talk() -> None:
        async with serving(router) as (stub, _):
            one = Talk(stub, mode)
            first = await one.ask(request_headers=head())
            assert headers_in(first.request_headers.response)["x-ai-eg-model"] == "small"
            assert first.request_headers.response.clear_route_cache
            assert (first.mode_override.request_body_mode == BUFFERED) is (mode != PARTIAL)
            second = await one.ask(request_body=body(BODY))
            expected = router.route("hello, what is the sum?").model
            assert headers_in(second.request_body.response)["x-ai-eg-model"] == expected
            await one.end()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "JSON"),
        (b"\xff", "UTF-8"),
        (b"{}", "none of"),
        (b'{"prompt": "' + b"x" * 3000 + b'"}', "longer than 2000"),
    ],
)
@pytest.mark.parametrize("mode", [BUFFERED, FULL_DUPLEX])
def test_what_cannot_be_read_goes_to_the_safe_model(router: Router, text: bytes, why: str, mode: int) -> None:
    async def talk() -> None:
        async with serving(router, max_body_bytes=2000) as (stub, _):
            one = Talk(stub, mode)
            await one.send(request_headers=head())
            if mode == BUFFERED:
                await one.get()
            answer = await one.ask(request_body=body(text))
            common = (answer.request_body if mode == BUFFERED else answer.request_headers).response
            assert headers_in(common)["x-ai-eg-model"] == "small"
            assert why in headers_in(common)["x-pointsman-reason"]
            await one.call.done_writing()

    asyncio.run(talk())


class Failing(Router):
    """A router that fails, or takes its time."""

    seconds = 0.0

    async def aroute(self, *args: Any, **facts: Any) -> Any:
        if not self.seconds:
            raise RuntimeError("no words of a prompt here")
        await asyncio.sleep(self.seconds)
        return await super().aroute(*args, **facts)


@pytest.mark.parametrize(("seconds", "why"), [(0.0, "the router failed"), (0.3, "the decision took too long")])
def test_a_fault_of_ours_stops_no_request(tiny_bundle: Path, tmp_path: Path, seconds: float, why: str) -> None:
    router = Failing.load(tiny_bundle, log=DecisionLog(tmp_path / "log.jsonl"))
    router.seconds = seconds  # type: ignore[attr-defined]

    async def talk() -> None:
        async with serving(router, decide_ms=50.0) as (stub, processor):
            one = Talk(stub)
            await one.ask(request_headers=head())
            headers = headers_in((await one.ask(request_body=body(BODY))).request_body.response)
            assert (headers["x-ai-eg-model"], headers["x-pointsman-reason"]) == ("small", f"safe model: {why}")
            await one.ask(response_headers=answered(200, last=True))
            await one.end()
            assert processor.failures == {why: 1}

    asyncio.run(talk())
    told = outcomes(tmp_path)
    assert [one["status"] for one in told] == (["abandoned"] if seconds else [])
    router.close()


def test_more_than_can_wait_goes_to_the_safe_model(tiny_bundle: Path) -> None:
    router = Failing.load(tiny_bundle)
    router.seconds = 1.0  # type: ignore[attr-defined]

    async def talk() -> None:
        async with serving(router, max_waiting=2) as (stub, _):

            async def ask() -> str:
                one = Talk(stub)
                await one.ask(request_headers=head())
                common = (await one.ask(request_body=body(BODY))).request_body.response
                await one.call.done_writing()
                return headers_in(common)["x-pointsman-reason"]

            found = await asyncio.gather(*(ask() for _ in range(6)))
            assert sum("too many requests wait" in one for one in found) == 4

    asyncio.run(talk())
    router.close()


def test_many_streams_at_once_some_of_them_cancelled(router: Router, tmp_path: Path) -> None:
    async def talk() -> None:
        async with serving(router) as (stub, processor):

            async def ask(number: int) -> str | None:
                one = Talk(stub)
                await one.ask(request_headers=head())  # all of one id: each is told apart
                common = (await one.ask(request_body=body(BODY))).request_body.response
                if number % 5 == 0:
                    one.call.cancel()
                    return None
                await one.ask(response_headers=answered((200, 400, 429, 504)[number % 4], last=True))
                await one.end()
                return headers_in(common)["x-ai-eg-model"]

            found = await asyncio.gather(*(ask(number) for number in range(100)))
            assert len({*found} - {None}) == 1
            for _ in range(200):
                if not processor._under_way:
                    break
                await asyncio.sleep(0.02)
            assert not processor._under_way
            assert not processor.failures

    asyncio.run(talk())
    told = outcomes(tmp_path)
    found = Counter(one["status"] for one in told)
    assert found == {"cancelled": 20, "ok": 20, "rejected": 20, "error": 20, "timeout": 20}
    assert {one["status"] for one in told if one["ok"]} == {"cancelled", "ok", "rejected"}


def test_what_is_not_ours_passes(router: Router) -> None:
    async def talk() -> None:
        async with serving(router, models=("auto",)) as (stub, _):
            for path, last in (("/v1/models", True), ("/v1/embeddings", False), ("/v1/chat/completions", True)):
                one = Talk(stub)
                answer = await one.ask(request_headers=head(path, last=last))
                assert (
                    answer.SerializeToString()
                    == pb.ProcessingResponse(
                        request_headers=pb.HeadersResponse(response=pb.CommonResponse())
                    ).SerializeToString()
                )
                await one.end()
            for mode in (BUFFERED, STREAMED):
                one = Talk(stub, mode)
                assert not headers_in((await one.ask(request_headers=head())).request_headers.response)
                named = BODY.replace(b"auto", b"gpt-x")
                common = (await one.ask(request_body=body(named))).request_body.response
                assert not headers_in(common)
                assert not common.HasField("body_mutation")
                await one.end()
            one = Talk(stub)
            await one.send(request_headers=head(), observability_mode=True)
            await one.end()

    asyncio.run(talk())


def test_the_command_says_in_one_line_what_is_wrong(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bundle", str(tmp_path)]) == 2
    assert main(["--bundle", str(tiny_bundle), "--decide-ms", "0"]) == 2
    assert main(["--bundle", str(tiny_bundle), "--listen", "256.0.0.1:1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("pointsman: ")]) == 3
