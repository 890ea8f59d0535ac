// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastSessions

/// `holdfast sessions create`.
struct SessionsCreate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create",
    abstract: "Make a session, or fill in what one that is there lacks.",
    discussion: """
      Examples:
        holdfast sessions create                       prints the id it was given
        holdfast sessions create --id job-7 --source cron --model claude-sonnet-4-5
        holdfast sessions create --id job-7-a --parent job-7 --edge subagent

      Doing it again changes nothing; a parent that is not there yet is made.
      """)

  @Option(name: .long, help: ArgumentHelp("What it is called by (default: a new UUID).", valueName: "id"))
  var id: String?

  @Option(name: .long, help: ArgumentHelp("The program it belongs to.", valueName: "name"))
  var source: String?

  @Option(name: .long, help: ArgumentHelp("Its title; one that is taken gets a number.", valueName: "text"))
  var title: String?

  @Option(name: .long, help: ArgumentHelp("The model it runs on.", valueName: "name"))
  var model: String?

  @Option(name: .long, help: ArgumentHelp("Its working directory.", valueName: "dir"))
  var cwd: String?

  @Option(name: .long, help: ArgumentHelp("Its git branch.", valueName: "name"))
  var gitBranch: String?

  @Option(name: .long, help: ArgumentHelp("The session it came from.", valueName: "id"))
  var parent: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How it came from its parent: subagent (default), fork or continuation.", valueName: "kind"))
  var edge: String?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if let edge, SessionEdge(rawValue: edge) == nil || edge == "root" {
      throw ValidationError("An edge is subagent, fork or continuation, not “\(edge)”.")
    }
    if edge != nil, parent == nil {
      throw ValidationError("--edge says how it came from --parent: name one.")
    }
  }

  func run() async throws {
    var new = NewSession(id: id)
    (new.source, new.title, new.model, new.cwd) = (source, title, model, cwd)
    (new.gitBranch, new.parent, new.edge) = (gitBranch, parent, edge.flatMap(SessionEdge.init))
    let made = try await common.withSessions(making: true) { [new] store in try await store.create(new) }
    Console.print(common.json ? try JSONLine.text(made) : made.id)
  }
}
