# SPDX-License-Identifier: Apache-2.0
"""`/metrics` as Prometheus' own parser reads it, and what a real OTLP receiver decodes of the exports."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from conftest import providers
from expectations import post
from fake_upstream import Exchange, FakeUpstream
from program import PATIENCE, Daemon, Home, eventually
from wire import ANTHROPIC_STREAMS, MESSAGES_REQUEST, PLAIN

CACHE = next(answer for answer in ANTHROPIC_STREAMS if answer.name == "cache-reads-and-both-writes")

PROMPT = "a secret prompt nobody else may read"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def ids_as_base64(value: object) -> object:
    """OTLP writes ids in hexadecimal where Protocol Buffers' JSON has base64."""
    if isinstance(value, list):
        return [ids_as_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode()
        if key in ("traceId", "spanId", "parentSpanId")
        else ids_as_base64(item)
        for key, item in value.items()
    }


class Receiver:
    """An OTLP/HTTP collector that decodes strictly what it is sent."""

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.texts: list[str] = []
        self.failures: list[str] = []
        self.answers: list[int] = []
        self.holds: threading.Event | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.holds:
                    receiver.holds.wait(PATIENCE)
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        kinds = {
            "/v1/traces": (ExportTraceServiceRequest, self.traces),
            "/v1/metrics": (ExportMetricsServiceRequest, self.metrics),
        }
        try:
            message, kept = kinds[path]
            assert headers["content-type"] == "application/json"
            kept.append(json_format.ParseDict(ids_as_base64(json.loads(body)), message()))
            self.headers.append(headers)
            self.texts.append(body.decode())
        except Exception as error:
            self.failures.append(f"{path}: {error!r}: {body[:500]!r}")

    def spans(self) -> list:
        return [
            span
            for one in list(self.traces)
            for resource in one.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def span(self, model: str):
        return eventually(
            f"the span of {model}",
            lambda: next((span for span in self.spans() if span.name.endswith(model)), None),
        )

    def close(self) -> None:
        if self.holds:
            self.holds.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()
    assert one.failures == []


def attributes(of) -> dict:
    """Attributes as Python has them."""

    def value(one):
        kind = one.WhichOneof("value")
        if kind == "array_value":
            return [value(item) for item in one.array_value.values]
        return getattr(one, kind)

    return {pair.key: value(pair.value) for pair in of.attributes}


def started(home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, **more) -> Daemon:
    home.configure(providers=providers(upstream))
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_METRIC_EXPORT_INTERVAL": "50",
    }
    daemon = home.serve(**environment | more)
    daemons.append(daemon)
    return daemon


def ask(daemon: Daemon, upstream: FakeUpstream, answer, model: str, **headers: str) -> None:
    def scenario(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.stream(answer.body(model))
        exchange.end_chunks()

    request = answer.request | {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
    done = post(daemon.url, answer.path, request, upstream.scenario(scenario) | headers)
    assert done.status == 200


def families(daemon: Daemon) -> dict:
    """What Prometheus' own parser makes of `/metrics`."""
    return {
        family.name: family for family in text_string_to_metric_families(daemon.get("/metrics")[2].decode())
    }


def test_prometheus_reads_the_histograms_of_the_conventions(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    ask(daemon, upstream, CACHE, model)
    found = families(daemon)
    tokens = found["gen_ai_client_token_usage"]
    assert tokens.type == "histogram"
    mine = [sample for sample in tokens.samples if sample.labels.get("gen_ai_request_model") == model]
    sums = {one.labels["gen_ai_token_type"]: one.value for one in mine if one.name.endswith("_sum")}
    usage = CACHE.usage
    prompt = usage.input + (usage.cache_read or 0) + (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
    assert sums == {"input": prompt, "output": usage.output}
    labels = next(one.labels for one in mine if one.name.endswith("_count"))
    assert labels["gen_ai_operation_name"] == "chat"
    assert labels["gen_ai_provider_name"] == "anthropic"
    assert labels["gen_ai_response_model"] == model
    assert (labels["server_address"], labels["server_port"]) == ("127.0.0.1", str(upstream.port))
    # Every series has its buckets in order, and all of them in the last.
    for name in (
        "gen_ai_client_token_usage",
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "holdfast_request_duration_seconds",
    ):
        series: dict[tuple, list[tuple[float, float]]] = {}
        counts = {}
        for one in found[name].samples:
            key = tuple(sorted((k, v) for k, v in one.labels.items() if k != "le"))
            if one.name.endswith("_bucket"):
                series.setdefault(key, []).append((float(one.labels["le"]), one.value))
            elif one.name.endswith("_count"):
                counts[key] = one.value
        assert series, name
        for key, buckets in series.items():
            assert buckets == sorted(buckets)
            assert [value for _, value in buckets] == sorted(value for _, value in buckets)
            assert buckets[-1] == (float("inf"), counts[key])
    # The names there were before are there still.
    for name in ("holdfast_requests", "holdfast_tokens", "holdfast_spool_depth", "holdfast_rows_accepted"):
        assert name in found


def test_labels_of_clients_are_escaped_and_bounded(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon]
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    nasty = 'quote " backslash \\ line\nend {le="1"} é \U0001f40b'
    post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": nasty})
    tokens = families(daemon)["gen_ai_client_token_usage"]
    # A model's name has no line endings by the time it is known.
    assert nasty.replace("\n", "") in {sample.labels.get("gen_ai_request_model") for sample in tokens.samples}
    for number in range(1100):
        post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": f"made-up-{number}"})
    durations = families(daemon)["gen_ai_client_operation_duration_seconds"]
    counted = [sample for sample in durations.samples if sample.name.endswith("_count")]
    assert len(counted) == 1001
    overflow = [sample for sample in counted if sample.labels == {"otel_metric_overflow": "true"}]
    assert [sample.value for sample in overflow] == [1101 - 1000]


def test_a_span_goes_on_with_the_clients_trace_and_nothing_else_is_changed_on_the_way(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, model: str
) -> None:
    daemon = started(
        home,
        upstream,
        daemons,
        receiver,
        OTEL_SERVICE_NAME="my gateway",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test,team=a%20b",
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=some%20one",
    )
    trace = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=abc"}
    ask(daemon, upstream, CACHE, model, **trace)
    span = receiver.span(model)
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert span.span_id.hex() not in (PARENT, "0" * 16)
    assert span.trace_state == "vendor=abc"
    assert span.name == f"chat {model}"
    assert span.kind == 3  # CLIENT
    assert span.status.code == 0
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
    told = attributes(span)
    usage = CACHE.usage
    assert told["gen_ai.usage.output_tokens"] == usage.output
    assert told["gen_ai.usage.cache_read.input_tokens"] == usage.cache_read
    assert told["gen_ai.provider.name"] == "anthropic"
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == model
    assert told["server.address"] == "127.0.0.1"
    assert told["http.response.status_code"] == 200
    assert "error.type" not in told
    resource = attributes(receiver.traces[0].resource_spans[0].resource)
    assert resource["service.name"] == "my gateway"
    assert (resource["deployment.environment"], resource["team"]) == ("test", "a b")
    assert receiver.headers[0]["x-tenant"] == "some one"
    # Upstream it is the client's own, byte for byte.
    (arrived,) = [one for one in upstream.requests if one.body and one.json().get("model") == model]
    assert arrived.header("traceparent") == trace["traceparent"]
    assert arrived.header("tracestate") == trace["tracestate"]

    # A client without a trace has none put in.
    ask(daemon, upstream, PLAIN, f"{model}-plain")
    (arrived,) = [
        one for one in upstream.requests if one.body and one.json().get("model") == f"{model}-plain"
    ]
    assert arrived.header("traceparent") is None
    root = receiver.span(f"{model}-plain")
    assert root.parent_span_id == b""
    assert root.trace_id.hex() not in (TRACE, "0" * 32)

    # One the client does not sample is not told of.
    ask(daemon, upstream, PLAIN, f"{model}-unsampled", traceparent=f"00-{TRACE}-{PARENT}-00")
    ask(daemon, upstream, PLAIN, f"{model}-last")
    receiver.span(f"{model}-last")
    assert not [one for one in receiver.spans() if one.name.endswith("unsampled")]
    assert daemon.stop() == 0
    everything = "".join(receiver.texts)
    assert PROMPT not in everything
    assert "sk-client" not in everything


def test_metrics_are_exported_as_they_are_scraped(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, model: str
) -> None:
    daemon = started(home, upstream, daemons, receiver)
    ask(daemon, upstream, CACHE, model)
    receiver.span(model)

    def exported() -> dict | None:
        if not receiver.metrics:
            return None
        scope = receiver.metrics[-1].resource_metrics[0].scope_metrics[0]
        named = {one.name: one for one in scope.metrics}
        return named if "gen_ai.client.token.usage" in named else None

    named = eventually("the tokens", exported)
    tokens = named["gen_ai.client.token.usage"]
    assert tokens.unit == "{token}"
    assert tokens.histogram.aggregation_temporality == 2  # CUMULATIVE
    points = {attributes(one)["gen_ai.token.type"]: one for one in tokens.histogram.data_points}
    assert points["output"].sum == CACHE.usage.output
    assert points["output"].count == 1
    for point in points.values():
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert sum(point.bucket_counts) == point.count
        assert 0 < point.start_time_unix_nano < point.time_unix_nano
    assert named["gen_ai.client.operation.duration"].unit == "s"
    assert "gen_ai.server.time_to_first_token" in named
    assert daemon.stop() == 0


def test_a_failure_is_told_as_one(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, model: str
) -> None:
    daemon = started(home, upstream, daemons, receiver)

    def overloaded(exchange: Exchange) -> None:
        exchange.whole(529, b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}')

    done = post(
        daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, upstream.scenario(overloaded)
    )
    assert done.status == 529
    span = receiver.span(model)
    assert span.status.code == 2
    assert attributes(span)["error.type"] == "529"
    assert "gen_ai.response.model" not in attributes(span)
    assert daemon.stop() == 0


def test_what_the_collector_turns_away_for_now_is_sent_again(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, model: str
) -> None:
    receiver.answers = [503]
    daemon = started(home, upstream, daemons, receiver, OTEL_METRICS_EXPORTER="none")
    ask(daemon, upstream, PLAIN, model)
    receiver.span(model)
    assert receiver.metrics == []
    assert len([span for span in receiver.spans() if span.name.endswith(model)]) == 1
    assert daemon.stop() == 0


def test_a_collector_that_hangs_holds_up_neither_requests_nor_the_end_G08(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, model: str
) -> None:
    receiver.holds = threading.Event()
    daemon = started(home, upstream, daemons, receiver)
    for number in range(20):
        ask(daemon, upstream, PLAIN, f"{model}-{number}")
    # It ends while the collector still holds what it was sent.
    assert daemon.stop() == 0
    assert not receiver.holds.is_set()


def test_the_last_spans_are_sent_when_it_stops(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, model: str
) -> None:
    daemon = started(home, upstream, daemons, receiver, OTEL_BSP_SCHEDULE_DELAY="3600000")
    ask(daemon, upstream, PLAIN, model)
    assert daemon.stop() == 0
    assert [span.name for span in receiver.spans()] == [f"chat {model}"]


def test_nothing_is_sent_unless_an_endpoint_is_named_and_the_file_may_name_it(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], receiver: Receiver, model: str
) -> None:
    telemetry = {"endpoint": receiver.url, "service_name": "from the file", "headers": {"x-tenant": "file"}}
    home.configure(providers=providers(upstream), telemetry=telemetry)
    daemons.append(daemon := home.serve())
    ask(daemon, upstream, PLAIN, model)
    assert daemon.stop() == 0
    assert attributes(receiver.traces[0].resource_spans[0].resource)["service.name"] == "from the file"
    assert receiver.headers[0]["x-tenant"] == "file"

    sent = len(receiver.texts)
    daemons.append(daemon := home.serve(OTEL_SDK_DISABLED="true"))
    ask(daemon, upstream, PLAIN, model)
    assert daemon.stop() == 0
    assert len(receiver.texts) == sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "no url"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret-without-a-name"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named_and_its_secret_is_not(
    home: Home, receiver: Receiver, name: str, value: str
) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url} | {name: value}
    refused = Daemon(home, (), environment)
    assert refused.wait() == 78
    said = "\n".join(refused.errors)
    assert name in said
    assert "secret-without-a-name" not in said
