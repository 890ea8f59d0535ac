// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

/// OpenCode's storage of before its database: `session/<project>/<session>.json`, `message/<session>/<message>.json`
/// and `part/<message>/<part>.json`.
final class OpenCodeFiles: TranscriptReading {
  private let storage: String
  /// Sessions that are still to be read, the last first.
  private var sessions: [String]
  private var current: (id: String, turning: OpenCodeMessage.Turning, messages: [String])?

  /// - Parameter storage: the directory of `session`, `message` and `part`.
  /// - Throws: ``StoreError`` when it cannot be listed.
  init(_ storage: String) throws(StoreError) {
    self.storage = storage
    var files: [String] = []
    guard let projects = try? FileManager.default.contentsOfDirectory(atPath: storage + "/session") else {
      throw StoreError(.permission, "\(storage)/session cannot be listed.", path: storage)
    }
    for project in projects.sorted() {
      for name in Self.names(in: "\(storage)/session/\(project)") { files.append("\(project)/\(name)") }
    }
    sessions = files.reversed()
  }

  private static func names(in directory: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).filter { $0.hasSuffix(".json") }
      .sorted()
  }

  private func json(_ path: String, _ batch: inout TranscriptBatch) -> JSONTape? {
    guard let text = TextFile.contents(path, most: LineReader.usualMaximum) else {
      batch.faults.append(TranscriptFault(path, "The file cannot be read."))
      return nil
    }
    guard let json = JSONTape(text), json.isObject else {
      // It is written in place, so it may be half of one.
      if text.isEmpty || JSONTape(text) == nil, text.first.map({ $0 == "{" }) ?? true {
        batch.incomplete += 1
      } else {
        batch.faults.append(TranscriptFault(path, "The file is no JSON object."))
      }
      return nil
    }
    return json
  }

  func read(into batch: inout TranscriptBatch) throws -> Bool {
    while !batch.isFull {
      if current == nil {
        guard let file = sessions.popLast() else { return false }
        if let json = json("\(storage)/session/\(file)", &batch) { begin(json, file, &batch) }
        continue
      }
      guard let name = current?.messages.popLast(), let (session, turning, _) = current else {
        current = nil
        continue
      }
      let path = "\(storage)/message/\(session)/\(name)"
      guard let json = json(path, &batch) else { continue }
      let id = json.words(json.at("id")) ?? String(name.dropLast(5))
      OpenCodeMessage.add(
        id, of: session, json, parts: parts(of: id, &batch), time: nil, turning, into: &batch)
    }
    return true
  }

  private func begin(_ json: JSONTape, _ file: String, _ batch: inout TranscriptBatch) {
    batch.files += 1
    let name = file.split(separator: "/").last.map { String($0.dropLast(5)) } ?? ""
    let id = json.words(json.at("id")) ?? name
    guard TranscriptSession.isID(id), !id.contains("/") else {
      batch.faults.append(TranscriptFault("\(storage)/session/\(file)", "Its id cannot be one."))
      return
    }
    var session = TranscriptSession(id: id, format: .opencode)
    session.title = json.words(json.at("title")).flatMap(TranscriptSession.title)
    session.titleFrom = .model
    session.cwd = json.words(json.at("directory"))
    session.started = TranscriptTime.sinceEpoch(json.number(json.at("created", json.at("time"))))
    session.isArchived = json.kind(json.at("archived", json.at("time"))) == .number
    session.note("version", json.words(json.at("version")))
    session.note("project", json.words(json.at("projectID")))
    if let parent = json.words(json.at("parentID")), parent != id {
      (session.parent, session.edge) = (parent, .subagent)
    }
    batch.add(session)
    var turning = OpenCodeMessage.Turning()
    turning.revert(json, json.at("revert"))
    let messages = Array(Self.names(in: "\(storage)/message/\(id)").reversed())
    // From the end: the last summary is the one that counts.
    for name in messages {
      guard let text = TextFile.contents("\(storage)/message/\(id)/\(name)", most: LineReader.usualMaximum),
        text.utf8.count < 1 << 20, let json = JSONTape(text), json.isTrue(json.at("summary")),
        json.has(json.at("role"), "assistant")
      else { continue }
      turning.summary = json.words(json.at("id")) ?? String(name.dropLast(5))
      var unread = TranscriptBatch()
      let request = json.words(json.at("parentID")) ?? ""
      for part in parts(of: request, &unread) where part.json.has(part.json.at("type"), "compaction") {
        turning.keptFrom = part.json.words(part.json.at("tail_start_id"))
      }
      break
    }
    current = (id, turning, messages)
  }

  private func parts(of message: String, _ batch: inout TranscriptBatch) -> [OpenCodeMessage.Part] {
    guard !message.isEmpty, !message.contains("/") else { return [] }
    let directory = "\(storage)/part/\(message)"
    return Self.names(in: directory).compactMap { name in
      guard let json = json("\(directory)/\(name)", &batch) else { return nil }
      return OpenCodeMessage.Part(id: json.words(json.at("id")) ?? String(name.dropLast(5)), json: json)
    }
  }
}
