// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog

/// Where telemetry is sent by OTLP/HTTP, and as whose.
///
/// Read from the variables of OpenTelemetry's SDK specification, which stand over `telemetry:` in `config.yaml`. Nothing
/// is sent unless an endpoint is named.
public struct OTLPConfiguration: Sendable, Hashable {
  /// Where spans go; nil when they go nowhere.
  public var traces: BaseURL?
  /// Where metrics go; nil when they go nowhere.
  public var metrics: BaseURL?
  /// Sent with every request; their values are secrets.
  public var headers: [String: String] = [:]
  /// The resource's attributes, `service.name` among them.
  public var resource: [String: String] = [:]
  /// How often metrics are sent.
  public var metricInterval: Duration = .seconds(60)
  /// How long spans wait for others to go with them.
  public var spanDelay: Duration = .seconds(5)
  /// How long one request may take.
  public var timeout: Duration = .seconds(10)
  /// The part of the traces beginning here that is sampled.
  public var ratio = 1.0

  /// What `config.yaml` says under `telemetry`.
  public struct Section: Sendable, Hashable {
    /// The base of both paths, as in `http://localhost:4318`.
    public var endpoint: String?
    /// Sent with every request.
    public var headers: [String: String] = [:]
    /// The service's name.
    public var serviceName: String?
    /// More attributes of the resource.
    public var resource: [String: String] = [:]

    /// An empty section.
    public init() {}
  }

  /// Reads the section and the variables.
  ///
  /// - Returns: nil when nothing is to be sent.
  /// - Throws: ``GatewayError`` with code `configuration`, naming the variable that cannot be read and never a header's
  ///   value.
  public static func resolve(
    _ section: Section?, environment: [String: String], version: String
  ) throws(GatewayError) -> OTLPConfiguration? {
    func text(_ name: String) -> String? {
      environment[name].map { String($0[...].trimmingOptionalWhitespace()) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    if text("OTEL_SDK_DISABLED")?.lowercased() == "true" { return nil }
    var configuration = OTLPConfiguration()
    let base = text("OTEL_EXPORTER_OTLP_ENDPOINT") ?? section?.endpoint
    // The base gets the signals' paths; an endpoint of one signal is taken as it is.
    if text("OTEL_TRACES_EXPORTER")?.lowercased() != "none" {
      configuration.traces = try url(
        text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", base, "/v1/traces")
    }
    if text("OTEL_METRICS_EXPORTER")?.lowercased() != "none" {
      configuration.metrics = try url(
        text("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"), "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", base,
        "/v1/metrics")
    }
    guard configuration.traces != nil || configuration.metrics != nil else { return nil }
    if let name = text("OTEL_EXPORTER_OTLP_PROTOCOL"), name != "http/json" {
      throw GatewayError(
        .configuration,
        "OTEL_EXPORTER_OTLP_PROTOCOL is “\(name)”; Holdfast sends http/json, which every collector takes on its HTTP port."
      )
    }
    configuration.headers = section?.headers ?? [:]
    configuration.headers.merge(
      try pairs("OTEL_EXPORTER_OTLP_HEADERS", text("OTEL_EXPORTER_OTLP_HEADERS")),
      uniquingKeysWith: { $1 })
    for (name, value) in configuration.headers {
      // A name or a value with a line ending would be a header of its own.
      guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != ASCII.colon }),
        value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
      else {
        throw GatewayError(.configuration, "A header for telemetry has a name or a value no header can have.")
      }
    }
    configuration.resource = section?.resource ?? [:]
    configuration.resource.merge(
      try pairs("OTEL_RESOURCE_ATTRIBUTES", text("OTEL_RESOURCE_ATTRIBUTES")), uniquingKeysWith: { $1 })
    configuration.resource["service.name"] =
      text("OTEL_SERVICE_NAME") ?? configuration.resource["service.name"] ?? section?.serviceName
      ?? "holdfast"
    if configuration.resource["service.version"] == nil {
      configuration.resource["service.version"] = version
    }
    if let time = try milliseconds("OTEL_METRIC_EXPORT_INTERVAL", text("OTEL_METRIC_EXPORT_INTERVAL")) {
      configuration.metricInterval = time
    }
    if let time = try milliseconds("OTEL_BSP_SCHEDULE_DELAY", text("OTEL_BSP_SCHEDULE_DELAY")) {
      configuration.spanDelay = time
    }
    if let time = try milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", text("OTEL_EXPORTER_OTLP_TIMEOUT")) {
      configuration.timeout = time
    }
    configuration.ratio = try ratio(text("OTEL_TRACES_SAMPLER"), text("OTEL_TRACES_SAMPLER_ARG"))
    return configuration
  }

  private static func url(
    _ own: String?, _ name: String, _ base: String?, _ path: String
  ) throws(GatewayError) -> BaseURL? {
    let found = own.map { ($0, name) } ?? base.map { (dropSlash($0) + path, "OTEL_EXPORTER_OTLP_ENDPOINT") }
    guard let (text, source) = found else { return nil }
    guard let url = BaseURL(text) else {
      throw GatewayError(
        .configuration,
        "\(source) is no URL; http://localhost:4318 is one (in config.yaml: telemetry.endpoint).")
    }
    return url
  }

  private static func dropSlash(_ text: String) -> String {
    text.hasSuffix("/") ? String(text.dropLast()) : text
  }

  /// `key=value,key=value`, percent-encoded as in W3C Baggage.
  private static func pairs(_ name: String, _ text: String?) throws(GatewayError) -> [String: String] {
    var pairs: [String: String] = [:]
    for pair in (text ?? "").split(separator: ",") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, let value = decoded(parts[1].trimmingOptionalWhitespace()),
        let key = decoded(parts[0].trimmingOptionalWhitespace()), !key.isEmpty
      else {
        throw GatewayError(.configuration, "\(name) cannot be read: it is a list as in key=value,key=value.")
      }
      pairs[key] = value
    }
    return pairs
  }

  private static func decoded(_ text: some StringProtocol) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      else {
        return nil
      }
      rest = rest.dropFirst(2)
      bytes.append(value)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func milliseconds(_ name: String, _ text: String?) throws(GatewayError) -> Duration? {
    guard let text else { return nil }
    guard let number = Int64(text), (1...86_400_000).contains(number) else {
      throw GatewayError(.configuration, "\(name) is “\(text)”; milliseconds are wanted, at least 1.")
    }
    return .milliseconds(number)
  }

  private static func ratio(_ sampler: String?, _ argument: String?) throws(GatewayError) -> Double {
    switch sampler {
    case nil, "always_on", "parentbased_always_on": return 1
    case "always_off", "parentbased_always_off": return 0
    case "traceidratio", "parentbased_traceidratio":
      guard let argument else { return 1 }
      guard let ratio = Double(argument), (0...1).contains(ratio) else {
        throw GatewayError(
          .configuration, "OTEL_TRACES_SAMPLER_ARG is “\(argument)”; a ratio from 0 to 1 is wanted.")
      }
      return ratio
    case let other?:
      throw GatewayError(
        .configuration,
        "OTEL_TRACES_SAMPLER is “\(other)”; always_on, always_off, traceidratio and their parentbased forms are known."
      )
    }
  }
}
