// SPDX-License-Identifier: Apache-2.0

public import HoldfastMailbox
public import HoldfastUsage

/// A budget as a configuration has it: what it is, and who is told.
public struct BudgetPlan: Sendable, Hashable {
  /// Who is told when a threshold is crossed.
  public enum Listener: Sendable, Hashable {
    /// A server that is sent the crossing as JSON.
    case webhook(DeliveryConfiguration.Webhook)
    /// A program that reads the crossing as JSON on its standard input.
    case command([String])
  }

  /// The budget.
  public var budget: Budget
  /// Who is told; nil for nobody.
  public var listener: Listener?
  /// No attempt to tell takes longer.
  public var timeLimit = Duration.seconds(10)

  /// A budget nobody is told of.
  public init(_ budget: Budget) { self.budget = budget }
}
