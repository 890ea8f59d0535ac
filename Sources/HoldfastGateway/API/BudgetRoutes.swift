// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Hummingbird

/// `GET /api/budgets`: what each budget allows and what was spent, out of memory.
struct BudgetRoutes {
  /// nil when there are no budgets.
  let watch: BudgetWatch?

  func add(to router: Router<BasicRequestContext>) {
    let watch = self.watch
    router.get("/api/budgets") { _, _ in try APIAnswer.json(watch?.statuses ?? []) }
  }
}
