// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird

/// How the gateway's own API answers: JSON, never cached, and errors as `{"error":{"code","message"}}`.
enum APIAnswer {
  static let fields: HTTPFields = [.cacheControl: "no-store", .xContentTypeOptions: "nosniff"]

  static func json(_ text: String, status: HTTPResponse.Status = .ok) -> Response {
    Response(
      status: status, headers: fields + [.contentType: "application/json"],
      body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }

  static func json(_ value: some Encodable) throws -> Response {
    json(try JSONLine.text(value))
  }

  static func failure(_ status: HTTPResponse.Status, _ code: String, _ message: String) -> Response {
    json(
      #"{"error":{"code":\#(JSONText.quoted(code)),"message":\#(JSONText.quoted(message))}}"#, status: status)
  }
}

extension HTTPFields {
  static func + (fields: HTTPFields, more: HTTPFields) -> HTTPFields {
    var out = fields
    for field in more { out[field.name] = field.value }
    return out
  }
}
