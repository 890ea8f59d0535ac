// SPDX-License-Identifier: Apache-2.0

extension MetricRegistry {
  /// Everything measured, in Prometheus' text format 0.0.4, under the names OpenTelemetry's rules for Prometheus give:
  /// characters that may not be in a name become underscores, the unit follows the name, counters end in `_total`.
  func prometheusText() -> String {
    var text = ""
    for metric in snapshot {
      let name = Self.prometheusName(metric)
      let type =
        switch metric.kind {
        case .counter: "counter"
        case .gauge: "gauge"
        case .histogram: "histogram"
        }
      text += "# HELP \(name) \(Self.escapedHelp(metric.definition.description))\n# TYPE \(name) \(type)\n"
      for (attributes, value) in metric.series.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
        let labels = attributes.map {
          "\(Self.prometheusWord($0.key))=\"\(MetricsPage.escaped($0.value))\""
        }
        switch value {
        case .number(let number):
          text += "\(name)\(Self.braces(labels)) \(number)\n"
        case .histogram(let histogram):
          var running: UInt64 = 0
          for (bound, count) in zip(metric.definition.bounds, histogram.buckets) {
            running += count
            text += "\(name)_bucket\(Self.braces(labels + ["le=\"\(bound)\""])) \(running)\n"
          }
          text += "\(name)_bucket\(Self.braces(labels + ["le=\"+Inf\""])) \(histogram.count)\n"
          text += "\(name)_sum\(Self.braces(labels)) \(histogram.sum)\n"
          text += "\(name)_count\(Self.braces(labels)) \(histogram.count)\n"
        }
      }
    }
    return text
  }

  private static func braces(_ labels: [String]) -> String {
    labels.isEmpty ? "" : "{" + labels.joined(separator: ",") + "}"
  }

  /// Units in braces are remarks, which a name does not carry.
  private static func prometheusName(_ metric: Metric) -> String {
    var name = prometheusWord(metric.definition.name)
    let unit =
      switch metric.definition.unit {
      case "s": "seconds"
      case "ms": "milliseconds"
      case "By": "bytes"
      default: ""
      }
    if !unit.isEmpty, !name.hasSuffix("_" + unit) { name += "_" + unit }
    if metric.kind == .counter, !name.hasSuffix("_total") { name += "_total" }
    return name
  }

  private static func prometheusWord(_ text: String) -> String {
    var word = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "a"..."z", "A"..."Z", "_": word.unicodeScalars.append(scalar)
      case "0"..."9":
        if word.isEmpty { word += "_" }
        word.unicodeScalars.append(scalar)
      default: word += "_"
      }
    }
    return word.isEmpty ? "_" : word
  }

  private static func escapedHelp(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
  }
}
