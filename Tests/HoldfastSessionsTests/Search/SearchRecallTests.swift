// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions
import HoldfastTestKit
import Testing

/// A message and questions each of which must find it.
struct RecallCase: Sendable, CustomTestStringConvertible {
  var script: String
  var text: String
  var questions: [String]
  var testDescription: String { script }
}

let recallCases: [RecallCase] = [
  .init(
    script: "English", text: "The checkpoint isn't safe: I reran WAL recovery at 3 a.m., x marks it.",
    questions: [
      "checkpoint", "CHECKPOINT", "isn't", "wal recovery", "\"wal recovery\"", "check*", "x", "3", "at",
    ]),
  .init(
    script: "German compounds",
    text: "Die Donaudampfschifffahrtsgesellschaft prüft Größe und Straßenbeleuchtung der Übermorgen-Fähre.",
    questions: [
      "Dampfschiff", "schifffahrt", "Gesellschaft", "Donaudampf*", "Beleuchtung", "Strassenbeleuchtung",
      "GRÖSSE", "größe", "prüft", "pruft", "übermorgen fähre",
    ]),
  .init(
    script: "French diacritics",
    text: "L’élève a déjà dégusté l'œuf à Noël, façade naïve; E\u{0301}te\u{0301}.",
    questions: [
      "eleve", "élève", "DÉJÀ", "deja", "oeuf", "œuf", "noel", "facade", "naïve", "été", "ete", "l'œuf",
    ]),
  .init(
    script: "Russian", text: "Ёлка у дома: сервер перезапущен, файл журнала повреждён. ЧЕЙ?",
    questions: ["ёлка", "елка", "СЕРВЕР", "файл журнала", "повреждён", "поврежден", "пере*", "у", "чей"]),
  .init(
    script: "Arabic", text: "قرأتُ الكِتَابَ في المكتبة وبالمدرسة أمس",
    questions: ["الكتاب", "كتاب", "كِتاب", "مكتبة", "مدرسة", "قرأت", "امس", "في"]),
  .init(
    script: "Hindi", text: "हिन्दी में क़िताब पढ़ना अच्छा है, सर्वर बंद था।",
    questions: ["हिन्दी", "किताब", "क़िताब", "पढ़ना", "सर्वर बंद", "में", "अच्छा", "हि*"]),
  .init(
    script: "Thai", text: "ฐานข้อมูลเสียหายเมื่อคืนนี้ เราทำสำเนาไว้แล้ว",
    questions: ["ฐานข้อมูล", "ข้อมูล", "เสียหาย", "คืน", "ฐ", "สำเนา", "ทำ", "แล้ว"]),
  .init(
    script: "Chinese", text: "我们昨天修复了数据库死锁问题，使用SQLite3存储。",
    questions: [
      "数据库", "死锁", "锁", "据库", "修复了数据库", "题", "我", "sqlite3", "SQLite", "使用sqlite3", "sqlite3存储", "数据库 死锁",
    ]),
  .init(
    script: "Japanese", text: "データベースのロックが解けない。ﾃｽﾄを書いたABC会社。",
    questions: ["データベース", "ベース", "ロック", "解けない", "の", "テスト", "書いた", "abc会社", "会社", "ABC"]),
  .init(
    script: "Korean", text: "데이터베이스를 복구했습니다. 서버가 멈췄어요 DB에서",
    questions: ["데이터베이스", "베이스", "복구", "서버", "서버가", "멈췄", "요", "db", "DB에서"]),
  .init(
    script: "emoji", text: "deployed 🚀 by 👩‍💻 with 👍🏽 and ❤️ 🇩🇪, cost 5€ → done",
    questions: ["🚀", "👩‍💻", "👍", "👍🏽", "❤", "❤️", "🇩🇪", "€", "5€", "→ done", "deployed 🚀"]),
  .init(
    script: "code identifiers",
    text: "call getUserName(max_retry_count) in HTTPServerPool, sha256 of utf8Bytes",
    questions: [
      "getUserName", "getusername", "user", "userName", "username", "get_user_name", "max_retry_count",
      "retry",
      "retry_count", "HTTPServerPool", "server", "http", "ServerPool", "sha", "sha256", "bytes", "getUser*",
    ]),
  .init(
    script: "paths",
    text: "see /usr/local/lib/libfoo.so.1 and C:\\Users\\me\\notes.txt, ~/.config/app-v2/.env",
    questions: [
      "/usr/local/lib", "/usr/local/lib/libfoo.so.1", "libfoo.so.1", "lib", "users\\me", "notes.txt",
      "C:\\Users\\me\\notes.txt", ".config/app-v2", "app-v2", ".env", "~/.config",
    ]),
  .init(
    script: "URLs",
    text: "https://docs.example.com:8443/a/b-c?q=x%20y&page=2#top mail jo.doe@mail.example.org",
    questions: [
      "https://docs.example.com:8443/a/b-c?q=x%20y&page=2#top", "docs.example.com", "example.com", "example",
      "b-c", "page=2", "#top", "jo.doe@mail.example.org", "@mail", "8443",
    ]),
]

/// Texts that hold none of the questions' whole phrases but much of what they are made of.
private let others = [
  "the quick brown fox", "der schnelle Fuchs", "le renard brun", "быстрая лиса", "الثعلب السريع", "तेज लोमड़ी",
  "สุนัขจิ้งจอก", "敏捷的狐狸", "素早い狐", "빠른 여우", "🦊", "foxTrotCount", "/fox/den", "https://fox.test/",
]

@Suite("Recall") struct SearchRecallTests {
  @Test(arguments: recallCases)
  func everyQuestionFindsItsMessageInTheIndexAndInTheTail_D11(example: RecallCase) async throws {
    let home = try await SearchHome()
    try await home.messages.append(others)
    let id = try await home.messages.append([example.text])[0]
    for question in example.questions {
      let answer = try await home.search.search(question)
      #expect(answer.hits.map(\.document.id) == [id], "scanned: \(question)")
      #expect(answer.route == .scan)
    }
    try await home.search.catchUp()
    for question in example.questions {
      let answer = try await home.search.search(question)
      #expect(answer.hits.map(\.document.id) == [id], "indexed: \(question)")
      #expect(answer.route == .index && answer.lag == 0)
      #expect(answer.hits.first?.snippet.text.isEmpty == false)
    }
    await home.close()
  }

  @Test func whatIsFoundIsHighlightedInTheMessagesOwnSpelling_D11() async throws {
    let home = try await SearchHome()
    try await home.messages.append(["Gestern war die Größe falsch", "数据库死锁", "see getUserName()"])
    try await home.search.catchUp()
    func marked(_ question: String) async throws -> [String] {
      try await home.search.search(question).hits.flatMap { hit in
        hit.snippet.highlights.map { String(decoding: Array(hit.snippet.text.utf8)[$0], as: UTF8.self) }
      }
    }
    #expect(try await marked("grosse") == ["Größe"])
    #expect(try await marked("据库") == ["据库"])
    #expect(try await marked("username") == ["getUserName"])
    await home.close()
  }
}
