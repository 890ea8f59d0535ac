// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox
import HoldfastSessions
import HoldfastUsage

/// Exit codes of sysexits(3), as far as the tool uses them.
enum ExitStatus {
  static let usage: Int32 = 64
  static let dataError: Int32 = 65
  static let noInput: Int32 = 66
  static let unavailable: Int32 = 69
  static let software: Int32 = 70
  static let cannotCreate: Int32 = 73
  static let ioError: Int32 = 74
  static let tryAgain: Int32 = 75
  static let permission: Int32 = 77
  static let configuration: Int32 = 78
}

/// A failure as the user meets it: one sentence and an exit code.
struct Failure: Error {
  var code: Int32
  var message: String

  init(_ code: Int32, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The failure behind an error of ours; nil for the argument parser's own.
  init?(_ error: any Error) {
    switch error {
    case let error as Failure: self = error
    case let error as GatewayError: self.init(Self.code(of: error.code), error.message)
    case let error as StoreError: self.init(Self.code(of: error.code), error.description)
    case let error as SessionError: self.init(Self.code(of: error.code), error.message)
    case let error as CatalogError: self.init(Self.code(of: error.code), error.message)
    case let error as MailboxError: self.init(Self.code(of: error.code), error.message)
    case let error as SupervisorConfigurationError: self.init(ExitStatus.configuration, error.message)
    case let error as UsageError:
      if let beneath = error.underlying as? StoreError {
        self.init(Self.code(of: beneath.code), error.message)
      } else {
        self.init(
          error.code == .invalidRates ? ExitStatus.configuration : ExitStatus.dataError, error.message)
      }
    default: return nil
    }
  }

  private static func code(of code: GatewayError.Code) -> Int32 {
    switch code {
    case .configuration, .tls: ExitStatus.configuration
    case .alreadyRunning: ExitStatus.tryAgain
    case .addressInUse, .cannotListen: ExitStatus.unavailable
    case .permission: ExitStatus.permission
    case .home: ExitStatus.cannotCreate
    default: ExitStatus.software
    }
  }

  private static func code(of code: SessionError.Code) -> Int32 {
    switch code {
    case .notFound: ExitStatus.noInput
    case .ambiguous, .cycle, .invalid, .unreadable: ExitStatus.dataError
    case .spoolRefused: ExitStatus.tryAgain
    case .closed: ExitStatus.software
    }
  }

  private static func code(of code: CatalogError.Code) -> Int32 {
    switch code {
    case .notFound: ExitStatus.noInput
    case .invalid, .unreadable: ExitStatus.dataError
    case .versionConflict, .busy: ExitStatus.tryAgain
    case .provider: ExitStatus.unavailable
    case .writesLost: ExitStatus.ioError
    case .closed: ExitStatus.software
    }
  }

  private static func code(of code: MailboxError.Code) -> Int32 {
    switch code {
    case .notFound: ExitStatus.noInput
    case .invalid, .unreadable: ExitStatus.dataError
    case .refused: ExitStatus.permission
    default: ExitStatus.software
    }
  }

  private static func code(of code: StoreError.Code) -> Int32 {
    switch code {
    case .deadline, .refused, .replaced, .cancelled, .transient: ExitStatus.tryAgain
    case .damaged, .damagedIndex, .notADatabase, .newerSchema: ExitStatus.dataError
    case .missing: ExitStatus.noInput
    case .permission, .readOnly: ExitStatus.permission
    case .cannotOpen: ExitStatus.cannotCreate
    case .diskFull, .io: ExitStatus.ioError
    default: ExitStatus.software
    }
  }
}
