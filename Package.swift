// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

/// One setting for every target of ours: Swift 6 mode and the checks of the house rules.
let house: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .strictMemorySafety(),
]

let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqlite: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
  name: "holdfast",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Holdfast", targets: ["Holdfast"]),
    .library(name: "HoldfastEngine", targets: ["HoldfastEngine"]),
    .library(name: "HoldfastUsage", targets: ["HoldfastUsage"]),
    .library(name: "HoldfastSessions", targets: ["HoldfastSessions"]),
    .library(name: "HoldfastMailbox", targets: ["HoldfastMailbox"]),
    .library(name: "HoldfastCatalog", targets: ["HoldfastCatalog"]),
    .library(name: "HoldfastGateway", targets: ["HoldfastGateway"]),
    .library(name: "HoldfastTestKit", targets: ["HoldfastTestKit"]),
    .executable(name: "holdfast", targets: ["HoldfastTool"]),
  ],
  dependencies: [
    // SQLite access, migrations, statement cache.
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    // The tool's commands, help and completions.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    // Heaps and deques in the engine's queues.
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    // SHA-256 of what is set aside and backed up.
    .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
    // The gateway's data path: one event loop from the client to the upstream.
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    // TLS to the upstreams.
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    // The types of Hummingbird's channel handlers.
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
    // The gateway's API and pages.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    // What requests come to is told through these two, so that a program with the library chooses where it goes.
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
    .package(url: "https://github.com/apple/swift-service-context", from: "1.5.1"),
    // Starting workers in a process group of their own, and learning of their ends without a race.
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    // Webhooks of workers’ messages: a pool of connections, TLS and deadlines (Hummingbird brings it along anyway).
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    // The paths and descriptors swift-subprocess takes.
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
    // config.yaml has keys the user invents (provider names), which a Codable decoder reads whole.
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .target(name: "CHoldfast", linkerSettings: [.linkedLibrary("sqlite3")]),
    // Inflates the copy of a compressed response that is read for usage; compresses backups.
    .systemLibrary(
      name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .target(
      name: "HoldfastEngine",
      dependencies: [
        "CHoldfast", "CZlib", grdb, sqlite, logging,
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: house),
    .target(
      name: "HoldfastUsage",
      dependencies: ["HoldfastEngine", grdb, logging],
      swiftSettings: house),
    .target(
      name: "HoldfastSessions",
      dependencies: [
        "HoldfastEngine", grdb, logging,
        // Uids of transcripts' lines that have none.
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: house),
    .target(
      name: "HoldfastMailbox",
      dependencies: [
        "HoldfastEngine", grdb, logging,
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: house),
    .target(
      name: "HoldfastCatalog",
      dependencies: [
        "HoldfastEngine", "CZlib", grdb, logging,
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      swiftSettings: house),
    .target(
      name: "HoldfastGateway",
      dependencies: [
        "HoldfastEngine", "HoldfastUsage", "HoldfastSessions", "HoldfastCatalog", "HoldfastMailbox", "CZlib",
        logging,
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "Instrumentation", package: "swift-distributed-tracing"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
        .product(name: "ServiceContextModule", package: "swift-service-context"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: house),
    .target(
      name: "HoldfastTestKit",
      dependencies: [
        "CHoldfast", "HoldfastEngine", "HoldfastUsage", "HoldfastSessions", "HoldfastCatalog",
        "HoldfastMailbox", grdb, sqlite,
      ],
      swiftSettings: house),
    // The program that tests run as their other processes.
    .executableTarget(
      name: "HoldfastTestPeer",
      dependencies: [
        "HoldfastEngine", "HoldfastSessions", "HoldfastCatalog", "HoldfastMailbox", "HoldfastTestKit", grdb,
        logging,
      ],
      swiftSettings: house),
    .target(
      name: "Holdfast",
      dependencies: [
        "HoldfastEngine", "HoldfastUsage", "HoldfastSessions", "HoldfastCatalog", "HoldfastMailbox",
      ],
      swiftSettings: house),
    .executableTarget(
      name: "HoldfastTool",
      dependencies: [
        "HoldfastEngine", "HoldfastUsage", "HoldfastSessions", "HoldfastCatalog", "HoldfastMailbox",
        "HoldfastGateway", "HoldfastTestKit", logging,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "Instrumentation", package: "swift-distributed-tracing"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: house),
    // Built with everything else, so that the example cannot rot.
    .executableTarget(
      name: "swarm",
      dependencies: [
        "HoldfastEngine", grdb, .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Examples/Swarm",
      swiftSettings: house),
    .testTarget(
      name: "HoldfastEngineTests",
      dependencies: [
        "HoldfastEngine", "HoldfastTestKit", "HoldfastTestPeer", "CHoldfast", grdb, sqlite,
      ],
      swiftSettings: house),
    .testTarget(
      name: "HoldfastTestKitTests",
      dependencies: ["HoldfastTestKit", "HoldfastTestPeer", "CHoldfast", sqlite],
      swiftSettings: house),
    .testTarget(
      name: "HoldfastUsageTests",
      dependencies: ["HoldfastUsage", "HoldfastEngine", "HoldfastTestKit", grdb],
      swiftSettings: house),
    .testTarget(
      name: "HoldfastSessionsTests",
      dependencies: ["HoldfastSessions", "HoldfastEngine", "HoldfastTestKit", "HoldfastTestPeer", grdb],
      swiftSettings: house),
    .testTarget(
      name: "HoldfastMailboxTests",
      dependencies: [
        "HoldfastMailbox", "HoldfastEngine", "HoldfastTestKit", "HoldfastTestPeer", grdb, logging,
      ],
      swiftSettings: house),
    .testTarget(
      name: "HoldfastCatalogTests",
      dependencies: [
        "HoldfastCatalog", "HoldfastEngine", "HoldfastTestKit", "HoldfastTestPeer", grdb, logging,
      ],
      swiftSettings: house),
    .testTarget(
      name: "HoldfastGatewayTests",
      dependencies: [
        "HoldfastGateway", "HoldfastUsage", "HoldfastSessions", "HoldfastCatalog", "HoldfastMailbox",
        "HoldfastEngine", "HoldfastTestKit", "CZlib", logging,
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      swiftSettings: house),
  ]
)

// For sanitizer builds (scripts/sanitize.sh): only what stands on GRDB, not the gateway and what stands on it.
if Context.environment["HOLDFAST_WITHOUT_GATEWAY"] != nil {
  let world: Set<String> = ["HoldfastGateway", "HoldfastGatewayTests", "HoldfastTool", "holdfast", "swarm"]
  package.targets.removeAll { world.contains($0.name) }
  package.products.removeAll { world.contains($0.name) }
  // The catalogue without what asks providers over HTTP, and so without NIO.
  for target in package.targets where target.name == "HoldfastCatalog" {
    target.exclude = ["Fetching"]
    target.dependencies = ["HoldfastEngine", grdb, logging]
  }
}
