// SPDX-License-Identifier: Apache-2.0

/// Why the gateway could not be set up or kept running.
public struct GatewayError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure it was.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case configuration, alreadyRunning, addressInUse, permission, cannotListen, tls, home
    }

    private let kind: Kind

    private init(_ kind: Kind) { self.kind = kind }

    /// The configuration or the environment says something that cannot be done.
    public static let configuration = Code(.configuration)
    /// Another daemon serves this home.
    public static let alreadyRunning = Code(.alreadyRunning)
    /// Another program listens on the port.
    public static let addressInUse = Code(.addressInUse)
    /// The operating system refused the address or a file.
    public static let permission = Code(.permission)
    /// The address cannot be listened on.
    public static let cannotListen = Code(.cannotListen)
    /// The trusted certificates could not be loaded.
    public static let tls = Code(.tls)
    /// The home directory could not be made or used.
    public static let home = Code(.home)

    /// The code's name.
    public var description: String { kind.rawValue }
  }

  /// What kind of failure it was.
  public var code: Code
  /// One sentence: what happened, where, and what to do.
  public var message: String
  /// What lies beneath, if anything.
  public var underlying: (any Error)?

  /// Makes an error.
  public init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.underlying = underlying
  }

  /// The message.
  public var description: String { message }
}
