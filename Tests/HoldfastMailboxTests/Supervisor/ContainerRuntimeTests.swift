// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// Workers behind a command line that runs them out of this host's reach: as a daemon would, in a session of their own
/// and with nothing of the command line's. The script really runs the worker.
@Suite(.serialized) struct ContainerRuntimeTests {
  private let test: WorkerTest
  private let runtime: ContainerRuntime

  private static let script = """
    #!/bin/sh
    # Stands for docker. $0.d has a file for each container with the number of its process.
    state="$0.d"
    echo "$*" >> "$state/calls"
    if [ -e "$state/down" ]; then echo "Cannot connect to the daemon." >&2; exit 1; fi
    lives() {
      [ -r "/proc/$1/stat" ] || return 1
      case "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)" in Z*|X*|"") return 1 ;; esac
    }
    verb=$1
    shift
    case "$verb" in
    run)
      while [ $# -gt 0 ]; do
        case "$1" in
        --rm) shift ;;
        --name) name=$2; shift 2 ;;
        --volume) host=${2%%:*}; shift 2 ;;
        --env) export "$2"; shift 2 ;;
        --network) shift 2 ;;
        *) break ;;
        esac
      done
      shift
      HOLDFAST_MAILBOX="$host"
      setsid "$@" < /dev/null > /dev/null 2>&1 &
      process=$!
      echo "$process" > "$state/$name.pid"
      wait "$process"
      code=$?
      rm -f "$state/$name.pid"
      exit "$code"
      ;;
    ps)
      for file in "$state"/*.pid; do
        [ -e "$file" ] || continue
        name=${file##*/}
        if lives "$(cat "$file")"; then echo "${name%.pid} running"; else echo "${name%.pid} exited"; fi
      done
      ;;
    kill) kill -s "$2" "$(cat "$state/$3.pid")" ;;
    rm)
      [ -e "$state/$2.pid" ] || exit 0
      process=$(cat "$state/$2.pid")
      kill -s KILL "$process" 2> /dev/null
      while lives "$process"; do :; done
      rm -f "$state/$2.pid"
      ;;
    *) exit 64 ;;
    esac
    """

  init() throws {
    test = try WorkerTest()
    let program = test.directory.file("stub-docker")
    try Data(Self.script.utf8).write(to: URL(fileURLWithPath: program))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
    try FileManager.default.createDirectory(atPath: program + ".d", withIntermediateDirectories: false)
    runtime = ContainerRuntime(
      .docker, program: program, image: "image:1", command: [test.peer, "worker", "idle"],
      environment: ["OWN": "a b=c"], options: ["--network", "none"])
  }

  private func runtime(_ ways: String) -> ContainerRuntime {
    var runtime = runtime
    runtime.command = [test.peer, "worker", ways]
    return runtime
  }

  private var name: String { ContainerRuntime.containerName(test.address, mailbox: test.mailbox) }
  private var state: String { runtime.program + ".d/" }
  private var calls: [Substring] {
    ((try? String(contentsOfFile: state + "calls", encoding: .utf8)) ?? "").split(separator: "\n")
  }

  private func start(_ ways: String) async throws -> any RunningWorker {
    try await runtime(ways).start(test.launch, lock: test.lock, logger: test.logger)
  }

  @Test func aContainerIsRunUnderItsMailboxsNameAndEndedByIt() async throws {
    let worker = try await start("environment")
    await test.arrival("environment")
    #expect(worker.identity.container == name)
    let run = try #require(calls.first { $0.hasPrefix("run") })
    #expect(run.hasPrefix("run --rm --name \(name) --volume \(test.mailbox):/mailbox "))
    #expect(run.contains(" --env HOLDFAST_MAILBOX=/mailbox "))
    #expect(run.contains(" --env OWN=a b=c "))
    #expect(run.hasSuffix(" --network none image:1 \(test.peer) worker environment"))
    try await worker.terminate()
    #expect(calls.last == "kill --signal TERM \(name)")
    // As the command line tells it: 128 and the signal.
    #expect(await worker.end() == .exited(128 + SIGTERM))
    #expect(try await runtime.isLeft(name) == false)
  }

  @Test func twoMailboxesNeverShareAName() throws {
    let one = ContainerRuntime.containerName(try MailboxAddress("a-b/c"), mailbox: "/home/mailboxes/a-b/c")
    let two = ContainerRuntime.containerName(try MailboxAddress("a/b-c"), mailbox: "/home/mailboxes/a/b-c")
    let three = ContainerRuntime.containerName(try MailboxAddress("a/b-c"), mailbox: "/other/mailboxes/a/b-c")
    #expect(Set([one, two, three]).count == 3)
    #expect(two.hasPrefix("holdfast-a-b-c-"))
  }

  @Test func theCommandLinesEndIsNotTheContainers_C02() async throws {
    let worker = try await start("deafSpill")
    let inside = await test.arrival("deafSpill")
    #expect(LockTable.processes(withLockedFileAt: test.lock.path).contains(inside) == false)
    // The daemon does not answer, and the command line dies: nothing is known, and so nothing is over.
    try Data().write(to: URL(fileURLWithPath: state + "down"))
    kill(try #require(worker.identity.process).pid, SIGKILL)
    let ended = Monitor(false)
    let end = Task {
      let exit = await worker.end()
      ended.withLock { $0 = true }
      return exit
    }
    let asked = calls.count
    #expect(await eventually { calls.count > asked + 2 })
    #expect(!ended.withLock { $0 })
    #expect(test.isAlive(inside))
    // It answers: what nobody is in front of any more is removed, and then it is over.
    try FileManager.default.removeItem(atPath: state + "down")
    #expect(await end.value == .signalled(SIGKILL))
    #expect(!test.isAlive(inside))
    #expect(calls.contains("rm --force \(name)"))
  }

  @Test(arguments: ["crash", "ceiling", "stop"])
  func whateverEndsAContainerItsTransactionIsUndone_C01_C02(_ way: String) async throws {
    let book = MemoryBook()
    await book.read { [test] in try await test.contents() }
    let supervised = Supervised(test, "", book: book, runtime: runtime("deafSpill,idle")) {
      $0.heartbeatCeiling = .seconds(100)
      $0.spawnGrace = .seconds(20)
    }
    #expect(await supervised.prod { supervised.names.contains("started") })
    let inside = await test.arrival("deafSpill")
    let before = try test.journal
    await supervised.pass(15)
    #expect(try test.journal == before)
    switch way {
    case "crash": kill(inside, SIGKILL)
    case "ceiling": await supervised.pass(3000) { supervised.names.contains("stopping") }
    default: await book.want(false)
    }
    await supervised.pass(300) { supervised.names.contains("ended") }
    #expect(!test.isAlive(inside))
    let recovered = try #require(supervised.names.firstIndex(of: "recovered"), "\(supervised.names)")
    #expect(try #require(supervised.names.firstIndex(of: "ended")) > recovered)
    #expect(try await test.contents() == [#""old""#])
    if way != "stop" {
      await supervised.pass(200) { supervised.names.count { $0 == "started" } == 2 }
      await test.arrival("idle", 2)
    }
    await supervised.end()
    #expect(try await runtime.isLeft(name) == false)
  }

  /// The host was killed and its command line with it; the daemon's container goes on.
  @Test func aKilledHostsContainerIsFoundByItsName_C01() async throws {
    let worker = try await start("deafSpill")
    let inside = await test.arrival("deafSpill")
    let client = try #require(worker.identity.process)
    var record = WorkerRecord()
    record.incarnation = 1
    record.process = client
    try Data().write(to: URL(fileURLWithPath: state + "down"))
    kill(client.pid, SIGKILL)
    #expect(await eventually { !test.lock.isHeld })
    #expect(test.isAlive(inside))
    let book = MemoryBook(record)
    await book.read { [test] in try await test.contents() }
    let supervised = Supervised(test, "", book: book, runtime: runtime("fail,idle"))
    // While nobody says whether it lives it is taken to: nothing is recovered and nothing started.
    await supervised.pass(5)
    #expect(supervised.names.allSatisfy { $0 == "troubled" })
    #expect(test.isAlive(inside))
    try FileManager.default.removeItem(atPath: state + "down")
    await supervised.pass(300) { supervised.names.contains("started") }
    #expect(!test.isAlive(inside))
    #expect(supervised.names.contains("recovered"))
    await test.arrival("idle", 2)
    await supervised.end()
    _ = await worker.end()
  }
}
