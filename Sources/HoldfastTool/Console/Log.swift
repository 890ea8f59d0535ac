// SPDX-License-Identifier: Apache-2.0

import Logging

/// Logs go to standard error; standard output is for what scripts read.
enum Log {
  static func bootstrap() {
    let environment = Process.environment
    let name = environment["HOLDFAST_LOG_LEVEL"] ?? environment["LOG_LEVEL"] ?? "notice"
    let level = Logger.Level(rawValue: name.lowercased()) ?? .notice
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = level
      return handler
    }
  }

  /// For libraries whose notices say nothing a user needs.
  static var quiet: Logger {
    var logger = Logger(label: "holdfast.services")
    logger.logLevel = max(logger.logLevel, .error)
    return logger
  }
}
