// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The command-line tool.
@main
struct Holdfast: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfast",
    abstract: "The state layer of AI agents: a gateway that records every request, and its ledger.",
    discussion: """
      Examples:
        holdfast serve                    proxy, API and page on port 4141
        holdfast usage report --by model  what the last 7 days cost
        holdfast sessions list            what agents talked about
        holdfast state list agents        values programs share
        holdfast models list              what providers offer, and for how much
        holdfast mailbox list             messages to workers and from them
        holdfast status                   daemon, files, what waits to be written
        holdfast backup                   copies that were checked, in ~/.holdfast/backups
        holdfast torture                  prove on this machine that nothing is lost

      Data lives in ~/.holdfast, or where --home or HOLDFAST_HOME says.
      """,
    version: Version.text,
    subcommands: [
      Serve.self, Supervise.self, Status.self, Usage.self, Sessions.self, StateCommand.self,
      ModelsCommand.self,
      MailboxCommand.self,
      BackupCommand.self, RestoreCommand.self, VerifyCommand.self,
      DoctorCommand.self, TortureCommand.self, TorturePeerCommand.self,
      BackupLoadPeerCommand.self,
    ])

  static func main() async {
    // A reader that has gone away is no error of ours: writes say so, and the tool leaves quietly.
    Process.ignoreBrokenPipes()
    var arguments = Array(CommandLine.arguments.dropFirst())
    // The options every command takes mean nothing to `help`, and do no harm there.
    if arguments.first == "help" { arguments = Array(arguments.prefix { !$0.hasPrefix("-") }) }
    if arguments == ["--version"] {
      Console.print(Version.text)
      return
    }
    do {
      var command = try parseAsRoot(arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      leave(error)
    }
  }

  private static func leave(_ error: any Error) -> Never {
    if let failure = Failure(error) {
      Console.printError(failure.message)
      Process.leave(failure.code)
    }
    // Usage errors (64), help and completion scripts.
    exit(withError: error)
  }
}

/// What this program is called in the field.
enum Version {
  static let number = "0.1.0"
  static let text = "holdfast \(number)"
}
