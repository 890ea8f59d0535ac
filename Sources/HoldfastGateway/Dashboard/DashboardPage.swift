// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird

/// The one page of the gateway, embedded in the program: nothing comes from elsewhere, nothing is inline.
enum DashboardPage {
  /// RFC 9110 and CSP level 3: only this server's own files, no frames around the page, no forms out of it.
  static let contentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    + " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

  /// Adds the page and its files to `router`.
  static func addRoutes(to router: Router<BasicRequestContext>) {
    add("/", html, "text/html; charset=utf-8", router)
    add("/assets/app.css", css, "text/css; charset=utf-8", router)
    add("/assets/overview.css", overviewCSS, "text/css; charset=utf-8", router)
    add("/assets/sessions.css", sessionsCSS, "text/css; charset=utf-8", router)
    add("/assets/theme.js", themeJS, "text/javascript; charset=utf-8", router)
    add("/assets/format.js", formatJS, "text/javascript; charset=utf-8", router)
    add("/assets/chart.js", chartJS, "text/javascript; charset=utf-8", router)
    add("/assets/events.js", eventsJS, "text/javascript; charset=utf-8", router)
    add("/assets/overview.js", overviewJS, "text/javascript; charset=utf-8", router)
    add("/assets/requests.js", requestsJS, "text/javascript; charset=utf-8", router)
    add("/assets/sessions.js", sessionsJS, "text/javascript; charset=utf-8", router)
    add("/assets/workers.js", workersJS, "text/javascript; charset=utf-8", router)
    add("/assets/models.js", modelsJS, "text/javascript; charset=utf-8", router)
    add("/assets/icon.svg", icon, "image/svg+xml", router)
  }

  private static func add(
    _ path: RouterPath, _ text: String, _ type: String, _ router: Router<BasicRequestContext>
  ) {
    let body = ByteBuffer(string: text)
    let fields: HTTPFields = [
      .contentType: type,
      .contentSecurityPolicy: contentSecurityPolicy,
      .xContentTypeOptions: "nosniff",
      .cacheControl: "no-cache",
      HTTPField.Name("Referrer-Policy")!: "no-referrer",
      HTTPField.Name("Cross-Origin-Resource-Policy")!: "same-origin",
    ]
    router.get(path) { _, _ in
      Response(status: .ok, headers: fields, body: ResponseBody(byteBuffer: body))
    }
    router.head(path) { _, _ in
      var fields = fields
      fields[.contentLength] = String(body.readableBytes)
      return Response(status: .ok, headers: fields, body: ResponseBody())
    }
  }
}
