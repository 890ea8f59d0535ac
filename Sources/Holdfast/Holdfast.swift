// SPDX-License-Identifier: Apache-2.0

// The umbrella: one import for programs that use the engine and the stores.
@_exported public import HoldfastCatalog
@_exported public import HoldfastEngine
@_exported public import HoldfastMailbox
@_exported public import HoldfastSessions
@_exported public import HoldfastUsage
