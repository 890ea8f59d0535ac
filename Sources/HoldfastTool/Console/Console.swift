// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Standard output and standard error, unbuffered: a line is out when the call returns.
enum Console {
  /// Writes a line to standard output; leaves the program quietly when nobody reads it any more.
  static func print(_ text: String) {
    if !write(text + "\n", to: STDOUT_FILENO) { Process.leaveBrokenPipe() }
  }

  /// Writes a line to standard output and says whether somebody reads.
  static func tryPrint(_ text: String) -> Bool { write(text + "\n", to: STDOUT_FILENO) }

  /// Writes a sentence to standard error.
  static func printError(_ text: String) { _ = write("holdfast: \(text)\n", to: STDERR_FILENO) }

  /// Shows a line on standard error that the next one replaces; on a terminal only.
  static func progress(_ text: String) {
    if isatty(STDERR_FILENO) == 1 { _ = write("\r\u{1B}[K\(text)", to: STDERR_FILENO) }
  }

  /// Takes the line away again.
  static func endProgress() { progress("") }

  /// Whether standard output is a terminal that wants colour (https://no-color.org).
  static var hasColor: Bool {
    isatty(STDOUT_FILENO) == 1 && !Process.hasEnvironment("NO_COLOR") && Process.environment["TERM"] != "dumb"
  }

  /// `text` in bold where there is colour.
  static func bold(_ text: String) -> String { hasColor ? "\u{1B}[1m\(text)\u{1B}[0m" : text }

  /// `text` dimmed where there is colour.
  static func dim(_ text: String) -> String { hasColor ? "\u{1B}[2m\(text)\u{1B}[0m" : text }

  /// `text` in green, yellow or red where there is colour.
  static func colored(_ text: String, _ color: Color) -> String {
    hasColor ? "\u{1B}[\(color.rawValue)m\(text)\u{1B}[0m" : text
  }

  /// Text that others wrote, without what would steer the terminal.
  ///
  /// - Parameter keepsLines: whether line feeds and tabs stay.
  static func printable(_ text: String, keepsLines: Bool = false) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { scalar in
          if keepsLines, scalar == "\n" || scalar == "\t" { return scalar }
          // C0, DEL and C1; some terminals act on the latter too.
          return scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? "·" : scalar
        }))
  }

  /// A colour's number in SGR sequences.
  enum Color: Int {
    case red = 31
    case green = 32
    case yellow = 33
  }

  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        let count = unsafe systemWrite(descriptor, bytes.baseAddress! + done, bytes.count - done)
        if count < 0 {
          if errno == EINTR { continue }
          if errno == EAGAIN {
            // A terminal or pipe left non-blocking by another program.
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&waiting, 1, -1)
            continue
          }
          return false
        }
        done += count
      }
      return true
    }
  }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
  #if canImport(Glibc)
    unsafe Glibc.write(descriptor, bytes, count)
  #elseif canImport(Musl)
    unsafe Musl.write(descriptor, bytes, count)
  #else
    unsafe Darwin.write(descriptor, bytes, count)
  #endif
}
