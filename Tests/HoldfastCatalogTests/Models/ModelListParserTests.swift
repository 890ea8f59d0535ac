// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Testing

@testable import HoldfastCatalog

@Suite("Providers' lists: what is read from them")
struct ModelListParserTests {
  private let time = UTCInstant(milliseconds: 1_760_000_000_000)

  private func provider(_ kind: ProviderKind, _ base: String = "http://h/v1") throws -> Provider {
    Provider(name: "p", kind: kind, baseURL: try #require(BaseURL(base)))
  }

  private func read(_ kind: ProviderKind, _ pages: String...) throws -> (list: ModelList, next: String?) {
    var parser = ModelListParser(try provider(kind), at: time)
    var next: String?
    for page in pages { next = try parser.read(Array(page.utf8)) }
    return (parser.finish(), next)
  }

  @Test("OpenAI's own list has names and times")
  func openAI() throws {
    let (list, next) = try read(
      .openAI,
      #"{"object":"list","data":[{"id":"gpt-5","object":"model","created":1686935002,"owned_by":"openai"}]}"#)
    #expect(next == nil && list.notes.isEmpty)
    let model = try #require(list.models.first)
    #expect(
      model
        == CatalogModel(
          id: "gpt-5", provider: "p", created: UTCInstant(milliseconds: 1_686_935_002_000), fetchedAt: time))
  }

  @Test("OpenRouter's prices are dollars a token, in texts")
  func openRouter() throws {
    let (list, _) = try read(
      .openAI,
      #"""
      {"data":[{"id":"a/b","canonical_slug":"a/b-2026","name":"A: B","created":1,"context_length":200000,
        "architecture":{"input_modalities":["text","image"],"output_modalities":["text"]},
        "pricing":{"prompt":"0.000003","completion":"0.0000151234567","request":"0","input_cache_read":"3e-7",
          "input_cache_write":"0.00000375"},
        "top_provider":{"context_length":1000,"max_completion_tokens":64000}},
       {"id":"free","pricing":{"prompt":"0","completion":"0"}},
       {"id":"auto","pricing":{"prompt":"-1","completion":"-1"}}]}
      """#)
    let model = list.models[0]
    #expect(
      model.prices
        == ModelPrices(input: 3_000_000, output: 15_123_457, cacheRead: 300_000, cacheWrite: 3_750_000))
    #expect((model.context, model.maxOutput) == (200_000, 64_000))
    #expect(model.inputModalities == ["text", "image"] && model.outputModalities == ["text"])
    #expect(model.aliases == ["a/b-2026"] && model.displayName == "A: B")
    #expect(list.models[1].prices == ModelPrices(input: 0, output: 0))
    #expect(list.models[2].prices == nil)
    #expect(list.notes.count == 2 && list.notes.allSatisfy { $0.contains("“auto”") })
  }

  @Test("others that speak OpenAI's shape publish context and prices each in its own way")
  func compatible() throws {
    let together = try read(
      .openAI,
      #"[{"id":"t","type":"chat","display_name":"T","context_length":4096,"pricing":{"hourly":0,"input":0.18,"output":0.6}}]"#
    ).list.models
    #expect(together.map(\.context) == [4096])
    #expect(together[0].prices == ModelPrices(input: 180_000, output: 600_000))
    let groq = try read(
      .openAI, #"{"data":[{"id":"g","context_window":131072,"max_completion_tokens":32768,"active":true}]}"#)
    #expect(groq.list.models.map(\.context) == [131072] && groq.list.models.map(\.maxOutput) == [32768])
    let mistral = try read(
      .openAI,
      #"{"data":[{"id":"m-2","name":"m-2","max_context_length":32768,"aliases":["m-latest","m-2"],"capabilities":{"vision":true}}]}"#
    ).list.models
    #expect(mistral.map(\.context) == [32768] && mistral[0].aliases == ["m-latest"])
    #expect(mistral[0].inputModalities == ["text", "image"] && mistral[0].displayName == nil)
    let vllm = try read(.openAI, #"{"data":[{"id":"v","root":"/models/v","max_model_len":8192}]}"#)
    #expect(vllm.list.models.map(\.context) == [8192])
    let studio = try read(
      .openAI, #"{"data":[{"id":"s","type":"vlm","max_context_length":32768,"state":"not-loaded"}]}"#)
    #expect(studio.list.models[0].inputModalities == ["text", "image"])
    let xai = try read(
      .openAI,
      #"{"data":[{"id":"grok","prompt_text_token_price":20000,"completion_text_token_price":100000,"cached_prompt_text_token_price":5000}]}"#
    ).list.models
    #expect(xai[0].prices == ModelPrices(input: 2_000_000, output: 10_000_000, cacheRead: 500_000))
  }

  @Test("Anthropic's and Gemini's lists come in pages")
  func pages() throws {
    let first =
      #"{"data":[{"type":"model","id":"c-1","display_name":"C 1","created_at":"2026-01-02T00:00:00Z"}],"has_more":true,"first_id":"c-1","last_id":"c-1"}"#
    #expect(try read(.anthropic, first).next == "c-1")
    let (list, next) = try read(
      .anthropic, first, #"{"data":[{"id":"c-2"}],"has_more":false,"last_id":"c-2"}"#)
    #expect(next == nil && list.models.map(\.id) == ["c-1", "c-2"] && list.models[0].displayName == "C 1")
    #expect(list.models[0].created == UTCInstant("2026-01-02T00:00:00Z"))
    let gemini = try read(
      .gemini,
      #"{"models":[{"name":"models/g","displayName":"G","inputTokenLimit":1048576,"outputTokenLimit":8192}],"nextPageToken":"t/=&"}"#
    )
    #expect(gemini.next == "t/=&" && gemini.list.models[0].id == "g")
    #expect(gemini.list.models[0].aliases == ["models/g"] && gemini.list.models[0].context == 1_048_576)
    #expect(try read(.gemini, "{}").list == ModelList())
  }

  @Test("Ollama's models may be named without :latest")
  func ollama() throws {
    let list = try read(
      .ollama,
      #"{"models":[{"name":"llama3.2:latest","model":"llama3.2:latest","size":1},{"name":"qwen3:8b"}]}"#
    ).list
    #expect(list.models.map(\.id) == ["llama3.2:latest", "qwen3:8b"])
    #expect(list.models.map(\.aliases) == [["llama3.2"], []])
  }

  @Test("an id that stands twice counts once, an entry without one not at all, and both are said")
  func duplicatesAndNonsense_F04() throws {
    let (list, _) = try read(
      .openAI,
      #"""
      {"data":[{"id":"a","context_length":1},{"id":"a","context_length":2},{"id":""},{"id":7},null,"x",{"name":"n"},
        {"id":"b","context_length":-5,"max_output_tokens":"many","created":-1,
         "pricing":{"prompt":NaN,"completion":"Infinity","input_cache_read":{}}}]}
      """#)
    #expect(list.models.map(\.id) == ["a", "b"])
    #expect(list.models[0].context == 1)
    let other = list.models[1]
    #expect(other.context == nil && other.maxOutput == nil && other.created == nil && other.prices == nil)
    #expect(list.notes.count == 1 + 5 + 3)
  }

  @Test(
    "what is no list is refused, and an empty list is one",
    arguments: [
      "", "{}", "[", "null", "7", "<html>", #"{"data":{}}"#, #"{"data":null}"#, #"{"data":[}"#,
      #"{"data":[]"#,
      #"{"data":[]} x"#, #"{"data":[],"data":[]}"#, #"{"error":{"message":"no"}}"#, "{\"data\":[\"\u{1}\"]}",
      #"{"data":[{"id":01}]}"#, #"{"data":[{"id":"\x"}]}"#,
    ])
  func nonsenseIsRefused_F04(_ text: String) throws {
    let error = #expect(throws: CatalogError.self) { try read(.openAI, text) }
    #expect(error?.code == .provider)
    #expect(try read(.openAI, #"{"data":[]}"#).list == ModelList())
  }

  @Test("nesting and the number of models are bounded")
  func bounds_F04() throws {
    let deep = String(repeating: "[", count: 100_000)
    #expect(throws: CatalogError.self) { try read(.openAI, #"{"data":["# + deep) }
    let many = (0...ModelListParser.mostModels).map { #"{"id":"\#($0)"}"# }.joined(separator: ",")
    #expect(throws: CatalogError.self) { try read(.openAI, #"{"data":["# + many + "]}") }
  }

  @Test(
    "prices are exact, rounded half up once",
    arguments: [
      ("0.000003", 3_000_000), ("0", 0), ("0.0", 0), ("1e-6", 1_000_000), ("2.5E-07", 250_000), ("1", nil),
      ("0.0000000000005", 1), ("0.00000000000049", 0), ("1e-999", 0), ("1e999", nil), ("0e999", 0),
      ("-1", nil),
      ("NaN", nil), ("", nil), (".", nil), (".5e-6", 500_000), ("1.e-6", 1_000_000), ("0x1", nil),
      ("1e", nil),
      ("0.0000000000000000000000000000000000000001", 0), ("1,5", nil), (" 1", nil), ("0.9999999999999", nil),
    ] as [(String, Int64?)])
  func pricesAreExact(_ text: String, _ expected: Int64?) {
    let found = PublishedPrice.microdollars(text, .token)
    if text == "1" || text == "0.9999999999999" {
      // A dollar a token is the most there may be.
      #expect(found.map { $0 <= 1_000_000_000_000 } ?? true)
    } else {
      #expect(found == expected)
    }
  }

  @Test("each kind is asked where its list is")
  func requests() throws {
    func url(_ kind: ProviderKind, _ base: String, page: String? = nil) throws -> String {
      ModelListRequest(try provider(kind, base), page: page).url
    }
    #expect(try url(.openAI, "https://api.openai.com/v1") == "https://api.openai.com/v1/models")
    #expect(try url(.openAI, "http://h:8000") == "http://h:8000/v1/models")
    #expect(
      try url(.anthropic, "https://api.anthropic.com") == "https://api.anthropic.com/v1/models?limit=1000")
    #expect(
      try url(.anthropic, "https://h/v1", page: "a b&c")
        == "https://h/v1/models?limit=1000&after_id=a%20b%26c")
    #expect(try url(.ollama, "http://127.0.0.1:11434/v1") == "http://127.0.0.1:11434/api/tags")
    #expect(try url(.ollama, "http://h/ollama") == "http://h/ollama/api/tags")
    let google = "https://g/v1beta"
    #expect(try url(.gemini, google + "/openai") == google + "/models?pageSize=1000")
    #expect(
      try url(.gemini, "https://g", page: "t/=") == "https://g/v1beta/models?pageSize=1000&pageToken=t%2F%3D")
    var gemini = try provider(.gemini)
    gemini.credential = .bearer("key")
    #expect(ModelListRequest(gemini).fields.contains(.init(name: "x-goog-api-key", value: "key")))
    var openAI = try provider(.openAI)
    openAI.credential = .bearer("key")
    #expect(ModelListRequest(openAI).fields.contains(.init(name: "Authorization", value: "Bearer key")))
  }
}
