// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The path of one model's entry: `/v1/models/ID`, where an id's slashes may be escaped or not, as SDKs differ.
enum ModelPath {
  private static let prefix = "/v1/models/"

  /// The id in a path without its query; nil for the list's own path, and for what is no UTF-8.
  static func id(ofPath path: some StringProtocol) -> String? {
    guard path.hasPrefix(prefix) else { return nil }
    let id = String(path.dropFirst(prefix.count)).removingPercentEncoding
    return id?.isEmpty == false ? id : nil
  }
}
