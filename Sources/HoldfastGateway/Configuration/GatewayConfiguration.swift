// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
public import HoldfastMailbox
public import HoldfastUsage

/// Everything a gateway is told before it starts.
public struct GatewayConfiguration: Sendable {
  /// The home directory, absolute.
  public var home: String
  /// The address to listen on.
  public var host = "127.0.0.1"
  /// The port to listen on; 0 picks one.
  public var port = 4141
  /// The servers requests are relayed to.
  public var providers: [Provider] = []
  /// The provider for `/v1/messages`.
  public var anthropicProvider = "anthropic"
  /// The provider for the other `/v1/…` routes.
  public var openAIProvider = "openai"
  /// Asked of every request; needed for any address but loopback.
  public var token: GatewayToken?
  /// Names, beside loopback's, that may stand in a request's Host field.
  public var allowedHosts: [String] = []
  /// Origins, beside the gateway's own pages, that may ask.
  public var allowedOrigins: [String] = []
  /// Most client connections at a time; nil: as many as the process's limit of open files allows.
  public var maximumConnections: Int?
  /// Largest body of a request that is relayed, in bytes; nil: 2 GiB.
  public var maximumRequestBytes: Int?
  /// Prices that replace those built in, by provider and model.
  public var prices: [String: [String: ConfiguredPrice]] = [:]
  /// How long running streams may go on after the order to stop.
  public var drainTimeout: Duration = .seconds(30)
  /// The backups it makes by itself; nil for none.
  public var backup: BackupPlan?
  /// Whose conversations are kept as sessions; nil for nobody's.
  public var capture: CapturePlan?
  /// How long rows of usage are kept, in days; nil: for ever.
  public var usageRetentionDays: Int?
  /// The programs whose logs are imported as they are written; none unless told.
  public var watchedLogs: [UsageLogFormat] = []
  /// How much may be spent on what.
  public var budgets: [BudgetPlan] = []
  /// What is said of telemetry; the environment stands over it (``OTLPConfiguration``).
  public var telemetry: OTLPConfiguration.Section?
  /// The workers it runs and watches; nil for none.
  public var supervise: SupervisorConfiguration?
  /// A file of certificate authorities to trust instead of the system's.
  public var certificateFile: String?

  /// A configuration with the built-in providers and no keys.
  public init(home: String) {
    self.home = home
    backup = .standard(home: home)
    providers = BuiltInProvider.all.map { $0.provider(environment: [:]).provider }
  }

  /// Whether the address to listen on can be reached from this machine only.
  public var isLoopback: Bool { HostAndPort.isLoopback(host.lowercased()) }
}

extension GatewayConfiguration {
  /// Reads `HOME/config.yaml` and the environment; what is on the command line comes after.
  ///
  /// - Parameters:
  ///   - home: the home directory, absolute.
  ///   - environment: the process's environment.
  ///   - yaml: the text of `config.yaml`, or nil when there is none.
  /// - Throws: ``GatewayError`` with code `configuration`, naming the line.
  public static func load(
    home: String, environment: [String: String], yaml: String?
  ) throws(GatewayError) -> GatewayConfiguration {
    var configuration = GatewayConfiguration(home: home)
    var providers: [String: Provider] = [:]
    for builtIn in BuiltInProvider.all {
      let (provider, problem) = builtIn.provider(environment: environment)
      if let problem { throw GatewayError(.configuration, problem) }
      providers[provider.name] = provider
    }
    if let yaml {
      let file = try ConfigFile.read(yaml, environment: environment)
      for provider in file.providers {
        var provider = provider
        // A built-in provider pointed elsewhere keeps its key from the environment only at its own vendor's place.
        if provider.credential == nil, let known = providers[provider.name],
          known.baseURL.host == provider.baseURL.host
        {
          provider.credential = known.credential
        }
        providers[provider.name] = provider
      }
      configuration.prices = file.prices
      configuration.backup = file.backup.plan(home: home, userHome: environment["HOME"])
      configuration.capture = file.capture
      configuration.telemetry = file.telemetry
      configuration.usageRetentionDays = file.usageRetentionDays
      configuration.watchedLogs = file.watchedLogs
      configuration.budgets = file.budgets
      if let workers = file.supervise {
        do {
          configuration.supervise = try SupervisorConfiguration.read(
            workers, name: "config.yaml", place: "supervise", directory: home)
        } catch {
          throw GatewayError(.configuration, error.message, underlying: error)
        }
      }
      configuration.token = file.token
      configuration.allowedHosts = file.allowedHosts
      configuration.allowedOrigins = file.allowedOrigins
      configuration.maximumConnections = file.maximumConnections
      configuration.maximumRequestBytes = file.maximumRequestBytes
      configuration.anthropicProvider = file.anthropicProvider ?? configuration.anthropicProvider
      configuration.openAIProvider = file.openAIProvider ?? configuration.openAIProvider
      for name in [configuration.anthropicProvider, configuration.openAIProvider] where providers[name] == nil
      {
        throw GatewayError(
          .configuration, "config.yaml: the default provider “\(name)” is not among the providers.")
      }
    }
    configuration.providers = providers.values.sorted { $0.name < $1.name }
    configuration.certificateFile = environment["SSL_CERT_FILE"].flatMap { $0.isEmpty ? nil : $0 }
    return configuration
  }

  /// Checks what only the whole can tell.
  ///
  /// - Throws: ``GatewayError`` with code `configuration`: a public address without a token, a provider that is
  ///   this very gateway.
  public func validate() throws(GatewayError) {
    if !isLoopback, token == nil {
      throw GatewayError(
        .configuration,
        "Listening on \(host), which other machines can reach, needs a token: set auth.token in config.yaml"
          + " (16 characters or more), or use --host 127.0.0.1.")
    }
    guard (0...65535).contains(port) else {
      throw GatewayError(.configuration, "\(port) is no port; use 1 to 65535, or 0 to have one picked.")
    }
    for provider in providers where port != 0 && provider.baseURL.isLoopback && provider.baseURL.port == port
    {
      throw GatewayError(
        .configuration,
        "The provider “\(provider.name)” points at this gateway itself (\(provider.baseURL)), so a request would go"
          + " round for ever: unset \(BuiltInProvider.baseURLVariable(of: provider.name)), or change its base_url."
      )
    }
  }
}

extension GatewayConfiguration {
  /// The prices rows are costed with: the built-in ones, what the configuration puts over them, and for
  /// providers of other names the vendor they point at.
  ///
  /// - Throws: ``GatewayError`` with code `configuration` for a price that cannot be used.
  public func rates() throws(GatewayError) -> RateCardTable {
    var table = RateCardTable.builtIn
    for provider in providers {
      if let vendor = RateCardTable.vendor(ofHost: provider.baseURL.host) {
        table.setVendor(vendor, ofProvider: provider.name)
      }
    }
    do {
      for (provider, prices) in prices { try table.set(prices, provider: provider) }
    } catch {
      throw GatewayError(.configuration, "config.yaml: \(error.message)", underlying: error)
    }
    return table
  }
}
