// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Where a mailbox is: `HOME/mailboxes/AGENT/SESSION/`, for its owner only.
public struct MailboxDirectory: Sendable, Hashable {
  /// Whose it is.
  public let address: MailboxAddress
  /// The directory of all mailboxes.
  let root: String

  /// The place of a mailbox in a home; nothing is looked at.
  public init(home: String, address: MailboxAddress) {
    self.address = address
    root = Self.root(home)
  }

  private static func root(_ home: String) -> String { home + "/mailboxes" }

  /// The directory.
  public var path: String { root + "/" + address.agent + "/" + address.session }
  /// What the host writes and the worker reads.
  public var inbound: String { path + "/inbound.db" }
  /// What the worker writes and the host reads.
  public var outbound: String { path + "/outbound.db" }
  /// The file a worker touches to say that it is well.
  public var heartbeat: String { path + "/heartbeat" }
  /// Files that belong to messages.
  public var attachments: String { path + "/attachments" }

  /// Whether the mailbox has been made.
  public var exists: Bool { Entry(inbound) == .file }

  /// Makes the directories that are missing, with mode 0700 whatever the umask.
  ///
  /// - Throws: `StoreError` with code `permission` for a link or a file in the way, or a missing right;
  ///   `cannotOpen` for anything else.
  public func make() throws(StoreError) {
    for directory in [root, root + "/" + address.agent, path, attachments] {
      if unsafe mkdir(directory, 0o700) == 0 {
        _ = unsafe chmod(directory, 0o700)
        continue
      }
      let code = errno
      guard code == EEXIST else {
        throw StoreError(
          code == EACCES || code == EPERM || code == EROFS ? .permission : .cannotOpen,
          "\(directory) cannot be made (\(unsafe String(cString: strerror(code)))); make it, or name another home.",
          path: directory)
      }
      // Before anything is made below it.
      try Self.check(directory)
    }
  }

  /// Refuses a mailbox one of whose directories is a link or no directory: somebody put it there, and what is kept
  /// in it would go elsewhere (row C12).
  func check() throws(StoreError) {
    for directory in [root, root + "/" + address.agent, path] { try Self.check(directory) }
  }

  private static func check(_ directory: String) throws(StoreError) {
    guard Entry(directory) != .directory else { return }
    throw StoreError(
      .permission,
      """
      \(directory) is no directory of Holdfast's making, so nothing in it was used: see who put it there, and \
      remove it.
      """, path: directory)
  }

  /// The mailboxes of a home, in order. What does not look like one is passed over.
  ///
  /// - Throws: `StoreError` with code `permission` when the directory of all cannot be read.
  public static func all(home: String) throws(StoreError) -> [MailboxAddress] {
    let root = root(home)
    guard Entry(root) != nil else { return [] }
    let agents: [String]
    do {
      agents = try FileManager.default.contentsOfDirectory(atPath: root)
    } catch {
      throw StoreError(
        .permission, "\(root) cannot be read; give this user the right to.", path: root, underlying: error)
    }
    var all: [MailboxAddress] = []
    for agent in agents where MailboxAddress.isName(agent) && Entry(root + "/" + agent) == .directory {
      let sessions = (try? FileManager.default.contentsOfDirectory(atPath: root + "/" + agent)) ?? []
      for session in sessions {
        guard let address = try? MailboxAddress(agent: agent, session: session),
          MailboxDirectory(home: home, address: address).exists
        else { continue }
        all.append(address)
      }
    }
    return all.sorted()
  }

  /// What is at a path, itself and not where it leads.
  enum Entry: Hashable {
    case file
    case directory
    case other

    init?(_ path: String) {
      var info = stat()
      guard unsafe lstat(path, &info) == 0 else { return nil }
      switch info.st_mode & S_IFMT {
      case S_IFREG: self = .file
      case S_IFDIR: self = .directory
      default: self = .other
      }
    }
  }
}
